"""The guard: what may pass is waited for, anything else is raised at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from pipeline.agents.guard import Guard
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.core.retry import Backoff


class Operation:
    """Raises one error a call, then answers."""

    def __init__(self, guard: Guard, *errors: Exception) -> None:
        self._errors: Iterator[Exception] = iter(errors)
        self._guard = guard
        self.waiting: list[int] = []

    async def __call__(self) -> str:
        self.waiting.append(self._guard.waiting)
        for error in self._errors:
            raise error
        return "done"


@pytest.fixture
def guard() -> Guard:
    return Guard(Backoff(first_s=0.001, cap_s=0.004))


async def test_a_temporary_error_is_tried_again_until_it_works(guard: Guard) -> None:
    operation = Operation(guard, *(TemporaryError(f"down {number}") for number in range(30)))
    assert await asyncio.wait_for(guard.patiently("call", operation), 5) == "done"
    assert len(operation.waiting) == 31
    assert guard.last_error == "down 29"


async def test_it_counts_who_waits_and_no_longer_than_they_do(guard: Guard) -> None:
    operation = Operation(guard, TemporaryError("down"), TemporaryError("down"))
    await guard.patiently("call", operation)
    assert operation.waiting == [0, 1, 1]
    assert guard.waiting == 0


async def test_what_the_other_side_asked_for_is_waited_in_full(guard: Guard) -> None:
    began = time.monotonic()
    await guard.patiently("call", Operation(guard, TemporaryError("throttled", after_s=0.2)))
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("error", [PermanentError("no"), LookupError("a bug")])
async def test_anything_else_is_raised_at_once(guard: Guard, error: Exception) -> None:
    operation = Operation(guard, TemporaryError("down"), error)
    with pytest.raises(type(error)):
        await guard.patiently("call", operation)
    assert len(operation.waiting) == 2
    assert guard.waiting == 0


async def test_a_wait_can_be_cancelled() -> None:
    guard = Guard(Backoff(first_s=60, cap_s=60))
    operation = Operation(guard, TemporaryError("down"))
    task = asyncio.create_task(guard.patiently("call", operation))
    while not guard.waiting:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert guard.waiting == 0
