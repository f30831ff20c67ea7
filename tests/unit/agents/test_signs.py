"""Which job has been silent for longest: lanes' jobs, their calls, and what is no sign."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.agents.signs import Signs


async def test_the_job_that_is_silent_for_longest_is_named() -> None:
    signs, go = Signs(), asyncio.Event()

    async def job(name: str, calls: asyncio.Event) -> None:
        with signs.of(name):
            await calls.wait()
            signs.give()
            await go.wait()

    first, second = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(job("a", first))]
    await asyncio.sleep(0)
    signs.passed(10)
    tasks.append(asyncio.create_task(job("b", second)))
    await asyncio.sleep(0)
    signs.passed(5)
    assert signs.silent() == ("a", 15)
    first.set()
    await asyncio.sleep(0)
    signs.passed(1)
    assert signs.silent() == ("b", 6)
    assert signs.given == 1
    go.set()
    second.set()
    await asyncio.gather(*tasks)
    assert signs.silent() == ("", 0.0)


async def test_a_call_of_no_job_is_no_sign() -> None:
    """A scan's, or the question whether the region lives at all."""
    signs = Signs()
    with signs.of("a"):
        signs.passed(9)
        await asyncio.create_task(asyncio.sleep(0))
    signs.give()
    assert signs.given == 0


async def test_who_waits_for_another_job_is_not_silent() -> None:
    signs = Signs()
    with signs.of("a"):
        signs.passed(100)
        with signs.waiting():
            signs.passed(100)
            assert signs.silent() == ("", 0.0)
        assert signs.silent() == ("a", 0.0), "from then on it may be"


async def test_an_attempt_that_fails_ends_its_silence() -> None:
    """What waits for its next try is not at work."""
    signs = Signs()
    with pytest.raises(RuntimeError), signs.of("a"):
        signs.passed(100)
        raise RuntimeError
    assert signs.silent() == ("", 0.0)
    with signs.of("a"):
        assert signs.silent() == ("a", 0.0)
