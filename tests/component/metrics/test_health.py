"""A region's worker as its supervisor sees it: its own server, and what is away, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from pipeline.app import Wiring, region_app
from pipeline.core.errors import TemporaryError
from pipeline.metrics import shared
from pipeline.metrics.health import ANSWER_S, Answer, Answers, Assigned, Health, Heartbeat
from pipeline.metrics.instruments import Instruments
from pipeline.metrics.routes import told_live, told_ready
from pipeline.metrics.shared import Shared, Stock
from pipeline.outbox.engine import migrate, open_database
from pipeline.progress import Lag
from pipeline.reach import Kafka as Brokers
from pipeline.reach import topic_names
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.settings import Web
from pipeline.staging import sandbox_settings
from pipeline.web import serve
from tests.component.agents.metering import read
from tests.component.metrics.asking import Asking, Way, free_port, until, way_to
from tests.services.kafka import Kafka

NAME = "berlin"


@dataclass
class Worker:
    asking: Asking
    region: SimulatedRegion
    kafka: Kafka
    database: Way

    async def fails(self, check: str) -> str:
        """Once just this check fails: why."""

        async def failed() -> bool:
            status, checks, _ = await self.asking.ready()
            return status == 503 and [name for name, ok in checks.items() if not ok] == [check]

        await until(failed, f"only {check} fails")
        return (await self.asking.ready())[2][check]


@pytest.fixture
async def worker(tmp_path: Path, database_url: str, services_cache: Path) -> AsyncIterator[Worker]:
    """Its database behind a way that can be cut, its Kafka one that can be killed."""
    url, port = make_url(database_url), free_port()
    migrate(database_url)
    async with AsyncExitStack() as stack:
        (region,) = await stack.enter_async_context(simulated_regions(1, names=(NAME,)))
        way = await stack.enter_async_context(way_to(url.host or "", url.port or 3306))
        settings = sandbox_settings([region], tmp_path).model_copy(update={"web": Web(port=port)})
        kafka = await asyncio.to_thread(Kafka(tmp_path / "kafka", services_cache).__enter__)
        stack.callback(kafka.__exit__, None, None, None)
        await asyncio.to_thread(Brokers(kafka.address, {}).ensure_topics, topic_names(settings), 4)
        engine = open_database(url.set(host="127.0.0.1", port=way.port).render_as_string(hide_password=False))
        stack.callback(engine.dispose)
        wiring = Wiring(kafka.address, engine, "test", {"log_level": "2"})
        app = region_app(settings, settings.region(NAME), wiring)
        serve(app, settings, wiring, NAME)
        app.finalize()
        await app.start()
        stack.push_async_callback(_stopped, app)
        yield Worker(Asking(port + 1), region, kafka, way)


async def _stopped(app: object) -> None:
    """With its broker gone Faust's stop may take for ever, as `pipeline.worker` knows too."""
    try:
        async with asyncio.timeout(10):
            await app.stop()  # type: ignore[attr-defined]
    except TimeoutError:
        return


@pytest.mark.services
async def test_ready_then_without_database_then_ready_then_without_broker(worker: Worker) -> None:
    asking = worker.asking
    await until(asking.is_ready, "ready")
    _, checks, reasons = await asking.ready()
    assert checks == {"partitions of berlin": True, "database": True, "kafka": True}
    assert reasons["partitions of berlin"] == "12 partitions assigned"
    assert "region_sync_source_up" not in (await asking.metrics()).names(), "that is for the hub to tell"
    assert (await asking.metrics()).value("region_sync_lanes", region=NAME) > 0

    worker.region.faults.drop_before_ratio = 1.0
    assert await asking.is_ready(), "a region that is away is no reason"

    await worker.database.cut()
    assert (await worker.fails("database")).startswith("database: ")
    assert (await asking.get("/health/live")).status_code == 200
    await worker.database.open()
    await until(asking.is_ready, "ready again")

    worker.kafka.kill()
    assert (await worker.fails("kafka")).startswith("Kafka: ")
    assert (await asking.get("/health/live")).status_code == 200
    assert (await asking.metrics()).value("region_sync_retrying", part=NAME) >= 0, "numbers all the same"
    await asyncio.to_thread(worker.kafka.start)
    await until(asking.is_ready, "ready once more")


async def test_a_service_that_says_nothing_is_not_waited_for() -> None:
    """One question at a time, and every supervisor gets its answer in time."""
    silence, asked = asyncio.Event(), 0
    loop = asyncio.get_running_loop()

    def ask() -> None:
        nonlocal asked
        asked += 1
        asyncio.run_coroutine_threadsafe(silence.wait(), loop).result()

    answers = Answers(ask)
    began = loop.time()
    found = await asyncio.gather(*(answers.answer() for _ in range(5)))
    assert set(found) == {Answer(False, f"no answer within {ANSWER_S:.0f} s")}
    assert (asked, loop.time() - began < 2 * ANSWER_S) == (1, True)
    silence.set()
    assert await answers.answer() == Answer(True, "answers")
    assert asked == 1


@pytest.mark.parametrize(("age_s", "status"), [(0.0, 200), (14.9, 200), (15.1, 503), (900.0, 503)])
def test_alive_is_a_loop_that_turns(age_s: float, status: int) -> None:
    now = 100.0
    heartbeat = Heartbeat(lambda: now)
    now += age_s
    assert told_live(heartbeat.answer()) == (
        status,
        {"live": status == 200, "reason": f"the loop turned {age_s:.1f} s ago"},
    )
    heartbeat.beat()
    assert heartbeat.answer().ok


@pytest.mark.parametrize(
    ("partitions", "ok", "reason"),
    [
        (None, False, "no partitions assigned yet"),
        ([], True, "a spare: other workers have all partitions"),
        ([("events", number) for number in range(12)], True, "12 partitions assigned"),
    ],
)
async def test_a_spare_is_ready_and_who_waits_for_the_group_is_not(
    partitions: list[tuple[str, int]] | None, ok: bool, reason: str
) -> None:
    health = Health(checks={"partitions": Assigned(partitions).answer})
    status, said = told_ready(await health.ready())
    assert (status == 200, said) == (
        ok,
        {"ready": ok, "checks": {"partitions": {"ok": ok, "reason": reason}}},
    )


async def test_a_service_that_is_away_takes_its_own_numbers_with_it_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = False

    def stock() -> Stock:
        if away:
            raise TemporaryError("away")
        return Stock([], None, {})

    monkeypatch.setattr(shared, "FRESH_S", 0.0)
    instruments = Instruments()
    together = Shared(stock, lambda: {"t": Lag(3, 4, 1_000), "u": Lag(3, 1)}, lambda: 9_000)
    instruments.add(together)
    await together.refresh()
    now = read(instruments.text())
    assert now.value("region_sync_source_up", source="database") == 1
    assert now.value("region_sync_committed_total", topic="t") == 3
    assert now.total("region_sync_lag_messages") == 5
    assert now.value("region_sync_lag_seconds", topic="t") == 8
    assert now.total("region_sync_lag_seconds") == 8
    away = True
    await together.refresh()
    now = read(instruments.text())
    assert now.value("region_sync_source_up", source="database") == 0
    assert now.value("region_sync_source_up", source="kafka") == 1
    assert now.total("region_sync_lag_messages") == 5
