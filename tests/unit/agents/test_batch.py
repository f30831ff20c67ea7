"""Many requests become few transactions, and each has its own answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from pipeline.agents.batch import Batcher

LIMIT_S = 90.0


class Flush:
    """Answers each number with its double; can be held, and can fail. Runs in the batcher's thread."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Event()
        self.failing: set[int] = set()
        self.inside = 0
        self.most = 0

    def __call__(self, requests: Sequence[int]) -> list[int]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.batches.append(list(requests))
        self.begun.set()
        assert self.open.wait(LIMIT_S)
        self.inside -= 1
        if self.failing & set(requests):
            raise ConnectionError("the database went away")
        return [2 * request for request in requests]


async def test_a_request_alone_waits_for_nobody() -> None:
    flush = Flush()
    assert await asyncio.wait_for(Batcher(flush).ask(4), LIMIT_S) == 8
    assert flush.batches == [[4]]


async def test_what_comes_during_a_batch_is_the_next_one_and_each_has_its_own_answer() -> None:
    flush = Flush()
    flush.open.clear()
    batcher = Batcher(flush)
    first = asyncio.create_task(batcher.ask(0))
    await asyncio.to_thread(flush.begun.wait, LIMIT_S)
    others = [asyncio.create_task(batcher.ask(number)) for number in range(1, 8)]
    await asyncio.sleep(0)
    flush.open.set()
    answers = await asyncio.wait_for(asyncio.gather(first, *others), LIMIT_S)
    assert answers == [0, 2, 4, 6, 8, 10, 12, 14]
    assert flush.batches == [[0], [1, 2, 3, 4, 5, 6, 7]]
    assert flush.most == 1


async def test_a_batch_has_a_greatest_size() -> None:
    flush = Flush()
    batcher = Batcher(flush, size=3)
    answers = await asyncio.gather(*(batcher.ask(number) for number in range(8)))
    assert answers == [2 * number for number in range(8)]
    assert [len(batch) for batch in flush.batches] == [3, 3, 2]


async def test_an_error_reaches_all_of_its_batch_and_none_of_the_next() -> None:
    flush = Flush()
    flush.failing = {1}
    batcher = Batcher(flush, size=3)
    results = await asyncio.gather(*(batcher.ask(number) for number in range(5)), return_exceptions=True)
    assert [type(result) for result in results[:3]] == [ConnectionError] * 3
    assert results[3:] == [6, 8]
    assert await batcher.ask(9) == 18


async def test_one_who_no_longer_asks_harms_nobody() -> None:
    flush = Flush()
    flush.open.clear()
    batcher = Batcher(flush)
    gone, stays = asyncio.create_task(batcher.ask(1)), asyncio.create_task(batcher.ask(2))
    await asyncio.to_thread(flush.begun.wait, LIMIT_S)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    flush.open.set()
    assert await asyncio.wait_for(stays, LIMIT_S) == 4
