"""What a worker may still do, as a table of what has happened since it began; and what asking costs."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.agents.tenure import SESSION_S, Lost, Outdated, Tenure, awake_s
from pipeline.core.errors import TemporaryError

P, Q = ("desired", 0), ("desired", 1)


class Times:
    """A clock that is set, and terms that are counted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.terms = 0
        self.tenure = Tenure(self.next, lambda: self.now)

    def next(self) -> int:
        self.terms += 1
        return self.terms


@pytest.fixture
def times() -> Times:
    return Times()


async def test_one_term_serves_until_partitions_are_given_out_anew(times: Times) -> None:
    tenure = times.tenure
    held = await asyncio.gather(*(tenure.take(one) for one in (P, Q, P)))
    assert {one.term for one in held} == {1}
    assert times.terms == 1, "one question, however many messages come at once"
    tenure.give_up({P, Q})
    assert not any(map(tenure.holds, held))
    again = await tenure.take(P)
    assert (again.term, tenure.holds(again)) == (2, True)


async def test_a_term_that_was_asked_for_before_partitions_were_given_out_is_not_kept() -> None:
    """The database answers late: others may have had a later term since."""
    asked: list[int] = []

    def slow() -> int:
        asked.append(len(asked) + 1)
        if len(asked) == 1:
            tenure.give_up({P})
        return asked[-1]

    tenure = Tenure(slow, lambda: 0.0)
    assert (await tenure.take(P)).term == 2


async def test_a_renewed_term_is_a_later_one_and_what_was_taken_stays_ours(times: Times) -> None:
    held = await times.tenure.take(P)
    times.tenure.renew()
    assert times.tenure.holds(held)
    assert (await times.tenure.take(P)).term > held.term


async def test_what_is_kept_stays_ours(times: Times) -> None:
    kept, lost = await times.tenure.take(P), await times.tenure.take(Q)
    times.tenure.give_up({Q})
    assert (times.tenure.holds(kept), times.tenure.holds(lost)) == (True, False)


async def test_without_the_database_nothing_is_begun(times: Times) -> None:
    def away() -> int:
        raise TemporaryError("database: away")

    tenure = Tenure(away, lambda: 0.0)
    with pytest.raises(TemporaryError):
        await tenure.take(P)


@pytest.mark.parametrize(
    ("what", "passes_s", "ticks", "given_up", "error"),
    [
        ("nothing happened", 0.0, False, set(), None),
        ("a while", SESSION_S - 1, False, set(), None),
        ("long, but awake", 5 * SESSION_S, True, set(), None),
        ("it slept", SESSION_S + 1, False, set(), Outdated),
        ("another partition went", 0.0, False, {Q}, None),
        ("its own went", 0.0, False, {P}, Lost),
        ("both", SESSION_S + 1, False, {P}, Lost),
    ],
)
async def test_whether_it_may_go_on(
    what: str, passes_s: float, ticks: bool, given_up: set[tuple[str, int]], error: type[Exception] | None,
    times: Times,
) -> None:  # fmt: skip
    tenure = times.tenure
    held = await tenure.take(P)
    with tenure.at_work([held]):
        for _ in range(10):
            times.now += passes_s / 10
            if ticks:
                tenure.tick()
        tenure.give_up(given_up)
        if error is None:
            await tenure.before_change()
            assert tenure.before_word() == held.term, what
            return
        with pytest.raises(error):
            await tenure.before_change()
        with pytest.raises(error):
            tenure.before_word()


async def test_a_standstill_is_noticed_whoever_runs_first_after_it(times: Times) -> None:
    """The tick may come before the job goes on, or after it; and the next attempt is a new one."""
    held = await times.tenure.take(P)
    with times.tenure.at_work([held]):
        times.now += SESSION_S + 1
        times.tenure.tick()
        with pytest.raises(Outdated):
            times.tenure.before_word()
    with times.tenure.at_work([held]):
        await times.tenure.before_change()


async def test_the_database_is_asked_again_only_after_a_session_s_time(times: Times) -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1

    tenure = times.tenure
    with tenure.at_work([await tenure.take(P)]):
        tenure.asks(ask)
        for seconds in (1, 5, 3):
            times.now += seconds
            tenure.tick()
            await tenure.before_change()
        assert asked == 0
        times.now += 2
        tenure.tick()
        await tenure.before_change()
        await tenure.before_change()
        assert asked == 1


async def test_what_is_lost_while_it_asks_is_lost(times: Times) -> None:
    tenure = times.tenure

    async def ask() -> None:
        tenure.give_up({P})

    with tenure.at_work([await tenure.take(P)]):
        tenure.asks(ask)
        for _ in range(3):
            times.now += SESSION_S / 2
            tenure.tick()
        with pytest.raises(Lost):
            await tenure.before_change()


async def test_outside_of_jobs_nothing_is_asked(times: Times) -> None:
    await times.tenure.before_change()
    assert times.tenure.before_word() == 0


async def test_each_job_has_its_own_right(times: Times) -> None:
    """Lanes work beside each other."""
    tenure, go, ready = times.tenure, asyncio.Event(), asyncio.Semaphore(0)

    async def job(partition: tuple[str, int]) -> str:
        with tenure.at_work([await tenure.take(partition)]):
            ready.release()
            await go.wait()
            try:
                await tenure.before_change()
            except Lost:
                return "lost"
            return "ours"

    jobs = [asyncio.create_task(job(one)) for one in (P, Q)]
    for _ in jobs:
        await ready.acquire()
    tenure.give_up({Q})
    go.set()
    assert await asyncio.gather(*jobs) == ["ours", "lost"]


def test_the_clock_goes_on_only() -> None:
    assert awake_s() <= awake_s()
