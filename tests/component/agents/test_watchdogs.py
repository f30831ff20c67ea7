"""Watchdogs of a worker: each bites when it should, with its own exit code and a line that says why, and
leaves those alone that are well: slow, idle, paused, without their database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import faust
import pytest
from sqlalchemy.exc import OperationalError

from pipeline import watching, worker
from pipeline.agents import watchdog
from pipeline.agents.acknowledge import InOrder, Partition
from pipeline.agents.apply import Rules
from pipeline.agents.watchdog import EXIT_LANE, EXIT_STALLED, LagWatch, Stuck, watch_lanes
from pipeline.app import region_app
from pipeline.cloudstack.resources import Resources
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.mode import Mode
from pipeline.core.stall import Place
from pipeline.metrics.instruments import Instruments
from pipeline.outbox.engine import reading
from pipeline.worker import exit_code, serve_apps
from tests.component.agents.embedded import Stage, staged
from tests.component.agents.metering import read
from tests.component.agents.rig import FAR, HERE, Rig
from tests.contract.sandbox.api import Api
from tests.unit.agents.regions import domain

P = (topics.desired(HERE), 0)
LIMIT_S = 30.0
LOOKS = 6
SOON_S = 0.2


class Kafka:
    """What Kafka says of the one partition: `left` messages are not acknowledged. Counts who asks."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.asked = asyncio.Semaphore(0)
        self._loop = asyncio.get_running_loop()

    def __call__(self, _assigned: Collection[Partition]) -> dict[Partition, Place]:
        self._loop.call_soon_threadsafe(self.asked.release)
        return {P: Place(0, self.left)}

    async def looks(self, count: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            for _ in range(count):
                await self.asked.acquire()


@asynccontextmanager
async def watched(
    rig: Rig, left: int = 1, limit_s: float = 0.2
) -> AsyncIterator[tuple[Kafka, asyncio.Task[None]]]:
    """The rig's worker, with a partition in which messages wait, and a watchdog that soon loses patience."""
    kafka = Kafka(left)
    watch = LagWatch(HERE, rig.worker, lambda: {P}, kafka)
    running = asyncio.create_task(watch.run(SOON_S))
    try:
        yield kafka, running
    finally:
        running.cancel()
        await asyncio.wait({running})


async def bitten(running: asyncio.Task[None]) -> Stuck:
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(Stuck) as found:
            await running
    return found.value


async def hang(*_: Any) -> Any:
    await asyncio.Event().wait()


async def test_work_that_hangs_is_a_stall(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.desk.resources, "read", hang)
    await rig.tell(domain(FAR, "dom"))
    (wanted,) = rig.merge(domain(FAR, "dom", "renamed"))
    giving = asyncio.create_task(rig.give(wanted))
    async with watched(rig) as (_, running):
        found = await bitten(running)
    giving.cancel()
    assert found.exit_code == EXIT_STALLED
    assert str(found).startswith("r2: 1 messages wait, and nothing was finished for ")


async def test_an_acknowledgement_that_got_lost_is_a_stall(rig: Rig) -> None:
    """All is finished, and Kafka does not know."""
    async with watched(rig) as (_, running):
        found = await bitten(running)
    assert (found.exit_code, "nothing was finished" in str(found)) == (EXIT_STALLED, True)


async def test_an_idle_topic_is_none(rig: Rig) -> None:
    async with watched(rig, left=0) as (kafka, running):
        await kafka.looks(4 * LOOKS)
        assert not running.done()


async def test_a_region_that_is_away_is_none(rig: Rig) -> None:
    (wanted,) = rig.merge(domain(FAR, "dom"))
    await rig.region.stop()
    work = asyncio.create_task(rig.give(wanted))
    await until(lambda: rig.worker.guard.waiting > 0)
    async with watched(rig) as (kafka, running):
        await kafka.looks(4 * LOOKS)
        assert not running.done()
        await rig.region.start()
        await work
    assert rig.outbox(wanted)["state"] == "delivered"


async def test_a_database_that_is_away_is_none(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    real, away = rig.desk.store.contexts, True

    def contexts(wanted: Any) -> Any:
        if away:
            with reading(rig.engine):
                raise OperationalError("SELECT", {}, ConnectionError("gone"), connection_invalidated=True)
        return real(wanted)

    monkeypatch.setattr(rig.desk._contexts, "_flush", contexts)
    (wanted,) = rig.merge(domain(FAR, "dom"))
    work = asyncio.create_task(rig.give(wanted))
    await until(lambda: rig.worker.guard.waiting > 0)
    async with watched(rig) as (kafka, running):
        await kafka.looks(4 * LOOKS)
        assert not running.done()
        away = False
        await work
    assert rig.outbox(wanted)["state"] == "delivered"


async def test_a_paused_region_is_none(rig: Rig) -> None:
    """Its desired states are settled as paused, and acknowledged: nothing waits in Kafka."""
    (wanted,) = rig.merge(domain(FAR, "dom"))
    await rig.restart(Rules(Mode.PAUSED))
    before = rig.worker.done
    await rig.give(wanted)
    assert rig.worker.done == before + 1
    assert rig.outbox(wanted)["message"] == "the region is paused"
    assert not rig.worker.busy


async def test_in_a_slow_region_every_call_that_ends_is_progress(rig: Rig) -> None:
    """Also of a job that takes many of them; what others call is none (core/test_stall has the rest)."""
    await rig.tell(domain(FAR, "dom"))
    (wanted,) = rig.merge(domain(FAR, "dom", "renamed"))
    before = rig.worker.done
    await rig.desk.resources.read(Kind.DOMAIN, "dom")
    assert rig.worker.done == before
    await rig.give(wanted)
    assert rig.worker.done == before + len(["listDomains", "updateDomain", "the message"])


async def test_what_waits_shows_in_the_metrics(rig: Rig) -> None:
    instruments = Instruments()
    watch = LagWatch(HERE, rig.worker, lambda: {P}, lambda _: {P: Place(0, 3)})
    instruments.watch_stall(HERE, watch)
    instruments.watch_signs(HERE, rig.desk.signs)
    running = asyncio.create_task(watch.run(0.1))
    await bitten(running)
    with rig.desk.signs.of("dom"):
        rig.desk.signs.passed(70)
        exposed = read(instruments.text())
    assert exposed.value("region_sync_stalled_seconds", part=HERE) > 0.1
    assert exposed.value("region_sync_lane_silent_seconds", region=HERE) == 70


async def test_a_stuck_lane_is_named(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.desk.resources, "read", hang)
    looking = asyncio.create_task(rig.look(Kind.DOMAIN, "dom"))
    found = await bitten(asyncio.create_task(watch_lanes(HERE, rig.desk.signs, 0.2)))
    looking.cancel()
    assert found.exit_code == EXIT_LANE
    assert str(found).startswith("r2: dom has been at work for ")


async def test_no_lane_is_stuck_while_its_region_is_away(rig: Rig) -> None:
    """Each try is a new one, and what waits for its next is not at work."""
    await rig.region.stop()
    work = asyncio.create_task(rig.look(Kind.DOMAIN, "dom"))
    await until(lambda: rig.worker.guard.waiting > 0)
    limit_s, signs = 2.0, rig.desk.signs
    lanes = asyncio.create_task(watch_lanes(HERE, signs, limit_s))
    began = signs._awake_s
    await until(lambda: signs._awake_s > began + 2 * limit_s)
    assert not lanes.done()
    await rig.region.start()
    await work
    lanes.cancel()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not reached():
            await asyncio.sleep(0.01)


# Whole processes' apps, on the embedded broker


async def served(stage: Stage, limit_s: float | None) -> tuple[int, faust.App]:
    """A region's worker as its process runs it, until a watchdog ends it: its exit code."""
    settings = stage.settings.model_copy(update={"stall_limit_s": limit_s})
    app = region_app(settings, settings.region(stage.name), stage.wiring)
    async with asyncio.timeout(LIMIT_S * 2):
        return await serve_apps(lambda: [app]), app


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("a read that hangs", EXIT_STALLED, "nothing was finished for"),
        ("a lane that hangs", EXIT_LANE, "without a sign of life"),
        ("a lost acknowledgement", EXIT_STALLED, "messages wait"),
    ],
)
async def test_the_process_ends_with_the_watchdog_s_code(
    what: str,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Started by a real hint over a broker; the defect is planted where the worker cannot see it."""
    limit_s: float | None = 1.0
    if what == "a lane that hangs":
        limit_s = 3_600.0
        monkeypatch.setattr(watching, "longest_s", lambda _: 0.5)
    if what == "a lost acknowledgement":
        monkeypatch.setattr(InOrder, "finish", lambda *_: None)
    else:
        monkeypatch.setattr(Resources, "read", hang)
    monkeypatch.setattr(worker, "STOP_LIMIT_S", LIMIT_S)  # not `os._exit`: this is the tests' process
    caplog.set_level(logging.ERROR, "pipeline.consuming")
    async with staged(tmp_path) as stage:
        made = await Api(stage.region).domain("dom")
        await stage.hint(Kind.DOMAIN, made)
        found, app = await served(stage, limit_s)
    assert (found, exit_code([app])) == (code, code)
    (line,) = [one.getMessage() for one in caplog.records if one.name == "pipeline.consuming"]
    assert words in line and "Stuck" in line
    if code == EXIT_LANE:
        assert made in line


async def test_a_healthy_worker_has_no_stall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the broker says: neither before its first message, nor after its last."""
    stalls: list[float] = []
    looks = asyncio.Semaphore(0)
    real = watchdog.follow

    def follow(*args: Any) -> Any:
        found = real(*args)
        stalls.append(found.seconds)
        if args[1].places:
            looks.release()
        return found

    async def rests() -> None:
        for _ in range(LOOKS):
            await looks.acquire()
        assert stalls[-LOOKS + 1 :] == [0.0] * (LOOKS - 1)

    monkeypatch.setattr(watchdog, "follow", follow)
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", SOON_S)
    async with staged(tmp_path) as stage:
        app = await stage.worker()
        made = [await Api(stage.region).domain(f"d{number}") for number in range(3)]
        async with asyncio.timeout(LIMIT_S * 2):
            await rests()
            await stage.hint(Kind.DOMAIN, *made)
            while not await stage.worked_off():
                await asyncio.sleep(0.05)
            while looks._value:  # those from before it was worked off
                await looks.acquire()
            await looks.acquire()
            await rests()
        assert not app.crashed, app.crash_reason
        await app.stop()
