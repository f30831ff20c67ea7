"""One of many processes works: whoever has the turn, until it loses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from pipeline.core.errors import TemporaryError
from pipeline.reconcile import alone as module
from pipeline.reconcile.alone import alone

LIMIT_S = 90.0


@dataclass
class Turns:
    """A lease in memory, for all."""

    owner: str | None = None
    away: bool = False


@dataclass
class Turn:
    name: str
    all: Turns

    def take(self) -> bool:
        if self.all.away:
            raise TemporaryError("database: gone")
        if self.all.owner is None:
            self.all.owner = self.name
        return self.all.owner == self.name

    def release(self) -> None:
        if self.all.owner == self.name:
            self.all.owner = None


@dataclass
class Workers:
    turns: Turns = field(default_factory=Turns)
    working: set[str] = field(default_factory=set)
    most: int = 0

    def start(self, name: str) -> asyncio.Task[None]:
        async def work() -> None:
            self.working.add(name)
            self.most = max(self.most, len(self.working))
            try:
                await asyncio.Event().wait()
            finally:
                self.working.remove(name)

        return asyncio.create_task(alone(Turn(name, self.turns), work))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)


async def stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)


async def test_the_next_takes_over_when_one_stops() -> None:
    workers = Workers()
    first = workers.start("a")
    await until(lambda: workers.working == {"a"})
    second = workers.start("b")
    await stopped(first)
    await until(lambda: workers.working == {"b"})
    await stopped(second)
    assert (workers.most, workers.working, workers.turns.owner) == (1, set(), None)


async def test_who_loses_the_turn_stops_working() -> None:
    workers = Workers()
    task = workers.start("a")
    await until(lambda: workers.working == {"a"})
    workers.turns.owner = "other"
    await until(lambda: not workers.working)
    assert workers.turns.owner == "other"
    await stopped(task)


async def test_a_database_that_is_away_stops_the_work_until_it_is_back() -> None:
    workers = Workers()
    task = workers.start("a")
    await until(lambda: workers.working == {"a"})
    workers.turns.away = True
    await until(lambda: not workers.working)
    workers.turns.away = False
    await until(lambda: workers.working == {"a"})
    await stopped(task)


async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise RuntimeError("unknown")

    turns = Turns()
    with pytest.raises(RuntimeError, match="unknown"):
        await alone(Turn("a", turns), work)
    assert turns.owner is None
