"""The heartbeat: what it tells, and that nothing suffers when it can't be told."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine

from pipeline.agents.beside import beside
from pipeline.agents.guard import Guard
from pipeline.agents.lanes import Lanes
from pipeline.agents.pulse import Heart, Reached
from pipeline.cloudstack.client import CallRecord
from pipeline.core.errors import TemporaryError
from pipeline.core.retry import Backoff
from pipeline.outbox.pulses import Pulse, PulseStore
from pipeline.outbox.schema import pulse
from tests.unit.outbox.builders import NOW, Clock, rows

LIMIT_S = 90.0


def call(status: int | None, error: str | None = None) -> CallRecord:
    return CallRecord("listUsers", True, status, error, 1.0)


@pytest.mark.parametrize(
    ("one", "answers", "reason"),
    [
        (call(200), True, None),
        (call(431, "no such user"), True, None),
        (call(429, "slow down"), True, None),
        (call(None, "no answer within 30 s"), False, "no answer within 30 s"),
        (call(401, "unable to verify"), False, "unable to verify"),
        (call(503), False, "HTTP 503"),
    ],
)
def test_what_counts_as_an_answer(one: CallRecord, answers: bool, reason: str | None) -> None:
    reached = Reached(Clock())
    reached.called(one)
    assert (reached.answers, reached.since, reached.reason) == (answers, NOW, reason)


def test_since_when_is_kept_until_it_changes() -> None:
    clock = Clock()
    reached = Reached(clock)
    told = []
    for clock.now, one in enumerate((call(200), call(200), call(None, "a"), call(None, "b"), call(200))):
        reached.called(one)
        told.append((reached.answers, reached.since, reached.reason))
    assert told == [(True, 0, None), (True, 0, None), (False, 2, "a"), (False, 2, "b"), (True, 4, None)]


async def test_who_is_asked_nothing_is_asked_for_a_sign_of_life() -> None:
    clock = Clock()
    reached, asked = Reached(clock), asyncio.Event()

    async def ask() -> None:
        reached.called(call(None, "refused"))
        asked.set()
        raise TemporaryError("refused")

    listening = asyncio.create_task(reached.listen(ask, 0.001))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert reached.answers is None, "no time has passed since the start"
    clock.now += 1
    async with asyncio.timeout(LIMIT_S):
        await asked.wait()
        asked.clear()
        clock.now += 1
        await asked.wait()
    assert (reached.answers, reached.reason) == (False, "refused")
    listening.cancel()


async def test_lanes_at_work_and_what_is_retried_are_told() -> None:
    release = asyncio.Event()

    async def work(_key: str, _items: list[int]) -> None:
        await release.wait()

    async def fails() -> None:
        raise TemporaryError("database: locked")

    lanes: Lanes[int] = Lanes(4, 8, work)
    guard = Guard(Backoff())
    heart = Heart("r1", Reached(Clock()), lanes, guard)
    lanes.start()
    for key in "ab":
        await lanes.put(key, 1)
    retrying = asyncio.create_task(guard.patiently("x", fails))
    async with asyncio.timeout(LIMIT_S):
        while lanes.busy < 2 or not guard.waiting:
            await asyncio.sleep(0)
    told = heart.pulse(NOW)
    assert (told.region, told.time, told.lanes, told.busy) == ("r1", NOW, 4, 2)
    assert (told.reachable, told.since, told.reason) == (None, None, "database: locked")
    retrying.cancel()
    release.set()
    await lanes.stop()


class Broken(PulseStore):
    """Fails in turn: temporarily, then not at all, then in a way that nobody knows."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.beats = 0

    def keep(self, one: Pulse) -> None:
        self.beats += 1
        if self.beats == 1:
            raise TemporaryError("the database is away")
        if self.beats == 3:
            raise RuntimeError("no such table: pulse")
        super().keep(one)


async def test_nothing_suffers_from_a_beat_that_fails(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    lanes: Lanes[int] = Lanes(4, 8, lambda *_: asyncio.sleep(0))
    heart, store = Heart("r1", Reached(Clock()), lanes, Guard()), Broken(engine)
    async with asyncio.timeout(LIMIT_S), beside(heart.beat(store, Clock(), 0.001), "heartbeat"):
        while "heartbeat has ended: no such table: pulse" not in caplog.text:
            await asyncio.sleep(0.001)
    assert (store.beats, len(rows(engine, pulse))) == (3, 1)


async def test_it_ends_with_the_work_and_the_work_s_error_is_the_work_s_own(engine: Engine) -> None:
    lanes: Lanes[int] = Lanes(4, 8, lambda *_: asyncio.sleep(0))
    heart = Heart("r1", Reached(Clock()), lanes, Guard())
    with pytest.raises(ValueError, match="the work's own"):
        async with beside(heart.beat(PulseStore(engine), Clock(), 0.001), "heartbeat"):
            raise ValueError("the work's own")
    assert [task for task in asyncio.all_tasks() if task.get_name() == "heartbeat"] == []
