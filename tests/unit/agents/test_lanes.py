"""Lanes: serial for a key, parallel over keys, bounded, and nothing of a partition that was given away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from pipeline.agents.lanes import Lanes, Locks

LIMIT_S = 90.0


class Work:
    """A work function that stays inside until it is let go, and notes what it was given."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, list[int]]] = []
        self.inside: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Condition()

    async def __call__(self, key: str, items: list[int]) -> None:
        async with self._changed:
            self.begun.append((key, items))
            self.inside.append(key)
            self._changed.notify_all()
        await self._gate(key).wait()
        async with self._changed:
            self.inside.remove(key)
            self._changed.notify_all()

    def let(self, *keys: str) -> None:
        for key in keys:
            self._gate(key).set()

    def hold(self, key: str) -> None:
        self._gate(key).clear()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), LIMIT_S)

    def _gate(self, key: str) -> asyncio.Event:
        return self._gates.setdefault(key, asyncio.Event())


@asynccontextmanager
async def started(
    count: int, room: int, work: Callable[[str, list[int]], Awaitable[None]]
) -> AsyncIterator[Lanes[int]]:
    lanes: Lanes[int] = Lanes(count, room, work)
    lanes.start()
    try:
        yield lanes
    finally:
        await lanes.stop()


async def turns() -> None:
    """Lets everything run that can run now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_keys_are_worked_on_at_the_same_time_up_to_the_number_of_lanes() -> None:
    work = Work()
    async with started(2, 10, work) as lanes:
        for number, key in enumerate("abc"):
            await lanes.put(key, number)
        await work.until(lambda: len(work.inside) == 2)
        await turns()
        assert work.inside == ["a", "b"]
        assert (lanes.busy, lanes.waiting) == (2, 1)
        work.let("a")
        await work.until(lambda: work.inside == ["b", "c"])


async def test_one_key_is_never_worked_on_twice_at_a_time() -> None:
    work = Work()
    async with started(4, 10, work) as lanes:
        await lanes.put("a", 1)
        await work.until(lambda: work.inside == ["a"])
        await lanes.put("a", 2)
        await turns()
        assert work.begun == [("a", [1])]
        work.let("a")
        await work.until(lambda: len(work.begun) == 2 and not work.inside)
    assert work.begun == [("a", [1]), ("a", [2])]


async def test_what_waits_for_one_key_is_handed_over_together_and_in_order() -> None:
    work = Work()
    async with started(4, 20, work) as lanes:
        for number in range(10):
            await lanes.put("a", number)
            if number == 0:
                await work.until(lambda: work.inside == ["a"])
        work.let("a")
        await work.until(lambda: len(work.begun) == 2)
    assert work.begun == [("a", [0]), ("a", list(range(1, 10)))]


async def test_who_hands_in_waits_while_there_is_no_room() -> None:
    work = Work()
    async with started(1, 2, work) as lanes:
        await lanes.put("a", 0)
        await work.until(lambda: work.inside == ["a"])
        await lanes.put("b", 1)
        await lanes.put("c", 2)
        assert lanes.full
        late = asyncio.create_task(lanes.put("d", 3))
        await turns()
        assert not late.done()
        work.let("a", "b")
        await asyncio.wait_for(late, LIMIT_S)


async def test_exclusive_keeps_the_lanes_off_and_waits_for_the_one_at_work() -> None:
    work = Work()
    order: list[str] = []
    async with started(2, 10, work) as lanes:

        async def exclusively() -> None:
            async with lanes.exclusive("account"):
                order.append("inside")
                work.hold("account")
                await lanes.put("account", 2)
                await turns()
                assert work.begun == [("account", [1])]
                order.append("out")

        await lanes.put("account", 1)
        await work.until(lambda: work.inside == ["account"])
        task = asyncio.create_task(exclusively())
        await turns()
        assert order == []
        work.let("account")
        await asyncio.wait_for(task, LIMIT_S)
        await work.until(lambda: len(work.begun) == 2)
    assert order == ["inside", "out"]
    assert work.begun[1] == ("account", [2])


async def test_two_who_want_one_key_have_it_one_after_the_other() -> None:
    async with started(1, 10, Work()) as lanes:
        inside = most = 0

        async def exclusively() -> None:
            nonlocal inside, most
            async with lanes.exclusive("account"):
                inside += 1
                most = max(most, inside)
                await turns()
                inside -= 1

        await asyncio.wait_for(asyncio.gather(*(exclusively() for _ in range(5))), LIMIT_S)
    assert most == 1


async def test_what_was_given_away_is_dropped_and_makes_room() -> None:
    work = Work()
    async with started(1, 4, work) as lanes:
        await lanes.put("a", 0)
        await work.until(lambda: work.inside == ["a"])
        for key, number in (("b", 1), ("b", 2), ("c", 3), ("d", 4)):
            await lanes.put(key, number)
        assert lanes.full
        lanes.discard(lambda item: item in (1, 3))
        assert lanes.waiting == 2
        await asyncio.wait_for(lanes.put("e", 5), LIMIT_S)
        await asyncio.wait_for(lanes.put("c", 6), LIMIT_S)
        work.let(*"abcde")
        await work.until(lambda: len(work.begun) == 5 and not work.inside)
    assert sorted(work.begun) == [("a", [0]), ("b", [2]), ("c", [6]), ("d", [4]), ("e", [5])]


async def test_a_lane_that_fails_is_told_to_whoever_runs_them() -> None:
    async def fails(key: str, items: list[int]) -> None:
        raise LookupError(key)

    async with started(2, 10, fails) as lanes:
        await lanes.put("a", 1)
        with pytest.raises(LookupError, match="a"):
            await asyncio.wait_for(lanes.run(), LIMIT_S)


@asynccontextmanager
async def both(work: Work) -> AsyncIterator[tuple[Lanes[int], Lanes[int]]]:
    """Two sets of lanes, one lane each, over the same keys."""
    keys = Locks()
    ordinary, urgent = (Lanes[int](1, 2, work, keys) for _ in range(2))
    ordinary.start()
    urgent.start()
    try:
        yield ordinary, urgent
    finally:
        await ordinary.stop()
        await urgent.stop()


async def test_lanes_of_their_own_do_not_wait_for_others_that_are_full() -> None:
    work = Work()
    async with both(work) as (ordinary, urgent):
        for number, key in enumerate(("a", "b", "c")):
            await ordinary.put(key, number)
            await turns()
        assert ordinary.full
        await urgent.put("u", 9)
        await work.until(lambda: "u" in work.inside)
        assert (ordinary.busy, ordinary.waiting, urgent.busy, urgent.waiting) == (1, 2, 1, 0)
        work.let("a", "b", "c", "u")
        await work.until(lambda: len(work.begun) == 4 and not work.inside)


async def test_no_key_is_in_two_lanes_at_once_though_they_are_of_different_sets() -> None:
    work = Work()
    async with both(work) as (ordinary, urgent):
        await ordinary.put("a", 1)
        await work.until(lambda: work.inside == ["a"])
        await urgent.put("a", 2)
        await urgent.put("b", 3)
        await work.until(lambda: sorted(work.inside) == ["a", "b"])
        assert work.begun == [("a", [1]), ("b", [3])], "the lane goes on with what is free"
        work.let("a", "b")
        await work.until(lambda: len(work.begun) == 3 and not work.inside)
        assert work.begun[-1] == ("a", [2])
