"""Slots: so many at a time, the urgent first, the others not for ever last."""

from __future__ import annotations

import asyncio

from pipeline.cloudstack.slots import URGENT_IN_A_ROW, Slots


class Callers:
    """Each holds its slot until it is told to go."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.order: list[str] = []
        self.inside = 0
        self.most = 0
        self._go = asyncio.Semaphore(0)

    def come(self, name: str, *, urgent: bool = False) -> asyncio.Task[None]:
        return asyncio.create_task(self._call(name, urgent))

    async def _call(self, name: str, urgent: bool) -> None:
        async with self.slots.one(urgent=urgent):
            self.order.append(name)
            self.inside += 1
            self.most = max(self.most, self.inside)
            await self._go.acquire()
            self.inside -= 1

    async def let(self, count: int) -> None:
        for _ in range(count):
            self._go.release()
            await turns()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_more_than_there_are_in_the_order_in_which_they_came() -> None:
    callers = Callers(Slots(2))
    tasks = [callers.come(str(number)) for number in range(5)]
    await turns()
    assert callers.order == ["0", "1"]
    await callers.let(5)
    await asyncio.gather(*tasks)
    assert (callers.order, callers.most) == (["0", "1", "2", "3", "4"], 2)


async def test_who_is_urgent_goes_on_though_all_others_hang() -> None:
    callers = Callers(Slots(2))
    hanging = [callers.come(name) for name in ("a", "b", "c")]
    await turns()
    for number in range(3):
        async with asyncio.timeout(30), callers.slots.one(urgent=True):
            assert callers.order == ["a", "b"], f"the {number}. time"
    await callers.let(3)
    await asyncio.gather(*hanging)


async def test_who_is_urgent_goes_before_all_who_wait_but_not_for_ever() -> None:
    callers = Callers(Slots(1))
    tasks = [callers.come(name) for name in ("under way", "a", "b", "c")]
    await turns()
    async with callers.slots.one(urgent=True):  # what is reserved is taken
        await turns()
        tasks += [callers.come(f"u{number}", urgent=True) for number in range(2 * URGENT_IN_A_ROW)]
        await turns()
        await callers.let(len(tasks))
        await asyncio.gather(*tasks)
    urgent = [f"u{number}" for number in range(2 * URGENT_IN_A_ROW)]
    first, second = urgent[:URGENT_IN_A_ROW], urgent[URGENT_IN_A_ROW:]
    assert callers.order == ["under way", *first, "a", *second, "b", "c"]


async def test_who_gives_up_waiting_takes_no_slot_along() -> None:
    callers = Callers(Slots(1))
    first, second, third = (callers.come(name) for name in ("first", "second", "third"))
    await turns()
    second.cancel()
    await turns()
    await callers.let(2)
    await asyncio.gather(first, third)
    fourth = callers.come("fourth")
    await callers.let(1)
    await fourth
    assert callers.order == ["first", "third", "fourth"]


async def test_a_slot_that_is_given_to_who_gives_up_goes_on() -> None:
    slots = Slots(1)
    async with slots.one(urgent=False):
        waiting = asyncio.create_task(slots.one(urgent=False).__aenter__())
        await turns()
    waiting.cancel()  # its turn has come, and it does not know yet
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(30), slots.one(urgent=False):
        pass
