"""Turns in order, spaced by the rate, and none during a pause: on a clock that the test sets."""

from __future__ import annotations

import asyncio
import heapq

from pipeline.cloudstack.pace import PAUSE_MAX_S, Pace


class Time:
    """A clock that moves to whoever wakes next."""

    def __init__(self) -> None:
        self.now = 100.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, len(self._sleepers), future))
        await future

    async def run(self, tasks: list[asyncio.Task[None]]) -> None:
        while not all(task.done() for task in tasks):
            for _ in range(5):
                await asyncio.sleep(0)
            if self._sleepers:
                self.now, _, future = heapq.heappop(self._sleepers)
                future.set_result(None)


async def _turns(pace: Pace, time: Time, count: int) -> list[tuple[int, float]]:
    turns: list[tuple[int, float]] = []

    async def one(number: int) -> None:
        await pace.turn()
        turns.append((number, round(time.now - 100.0, 6)))

    await time.run([asyncio.ensure_future(one(number)) for number in range(count)])
    return turns


async def test_turns_are_spaced_and_in_order() -> None:
    time = Time()
    turns = await _turns(Pace(10.0, time.clock, time.sleep), time, 5)
    assert turns == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]


async def test_without_a_rate_nobody_waits() -> None:
    time = Time()
    assert [at for _, at in await _turns(Pace(None, time.clock, time.sleep), time, 5)] == [0.0] * 5


async def test_a_pause_stops_those_who_come_later() -> None:
    time = Time()
    pace = Pace(10.0, time.clock, time.sleep)
    pace.pause(3.0)
    assert await _turns(pace, time, 2) == [(0, 3.0), (1, 3.1)]


async def test_a_pause_stops_those_who_wait_already() -> None:
    time = Time()
    pace = Pace(1.0, time.clock, time.sleep)
    turns: list[float] = []

    async def one(*, throttled: bool) -> None:
        await pace.turn()
        turns.append(time.now - 100.0)
        if throttled:
            pace.pause(10.0)

    await time.run([asyncio.ensure_future(one(throttled=first)) for first in (True, False, False)])
    assert turns == [0.0, 10.0, 11.0]


async def test_a_pause_has_a_bound() -> None:
    time = Time()
    pace = Pace(None, time.clock, time.sleep)
    pace.pause(1e9)
    assert await _turns(pace, time, 1) == [(0, PAUSE_MAX_S)]


async def test_who_is_urgent_gets_the_next_turn_and_all_who_wait_come_later() -> None:
    time = Time()
    pace = Pace(10.0, time.clock, time.sleep)
    turns: list[tuple[str, float]] = []

    async def one(name: str, *, urgent: bool) -> None:
        await pace.turn(urgent=urgent)
        turns.append((name, round(time.now - 100.0, 6)))

    tasks = [asyncio.ensure_future(one(f"o{number}", urgent=False)) for number in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks += [asyncio.ensure_future(one(f"u{number}", urgent=True)) for number in range(2)]
    await time.run(tasks)
    assert sorted(turns, key=lambda turn: turn[1]) == [
        ("o0", 0.0),
        ("u0", 0.1),
        ("u1", 0.2),
        ("o1", 0.3),
        ("o2", 0.4),
        ("o3", 0.5),
    ]


async def test_a_pause_stops_who_is_urgent_and_lets_it_go_first() -> None:
    time = Time()
    pace = Pace(10.0, time.clock, time.sleep)
    pace.pause(3.0)
    turns: list[tuple[str, float]] = []

    async def one(name: str, *, urgent: bool) -> None:
        await pace.turn(urgent=urgent)
        turns.append((name, round(time.now - 100.0, 6)))

    await time.run([asyncio.ensure_future(one(name, urgent=name == "u")) for name in ("a", "b", "u")])
    assert sorted(turns, key=lambda turn: turn[1]) == [("u", 3.0), ("a", 3.1), ("b", 3.2)]
