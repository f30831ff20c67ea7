"""When a worker counts as stalled, as tables: what each look shows, and what that comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.stall import Look, Place, Stall, follow

P, Q = ("events", 0), ("events", 1)
EVERY_S = 10.0
LIMIT_S = 60.0
WAITS = {P: Place(5, 9)}
AT_WORK = Look(0.0, 7, WAITS, busy={P})
"""Four messages wait, and some of them are at work."""


def after(*looks: Look, every_s: float = EVERY_S) -> Stall:
    """Looks at their times, one after the other."""
    stall = Stall(0.0)
    for look in looks:
        stall = follow(stall, look, every_s)
    return stall


def same(look: Look, count: int, every_s: float = EVERY_S, **changes: Any) -> list[Look]:
    """`count` looks that show the same; a callable in `changes` is given the number of the look."""
    return [
        replace(
            look,
            at=(number + 1) * every_s,
            **{name: value(number) if callable(value) else value for name, value in changes.items()},
        )
        for number in range(count)
    ]


def test_work_that_nobody_finishes_is_a_stall() -> None:
    stall = after(*same(AT_WORK, 9))
    assert (stall.seconds, stall.whole_s) == (80.0, 80.0), "from the first look that could compare"
    assert stall.words(LIMIT_S) == "4 messages wait, and nothing was finished for 80 s"
    assert stall.words(100.0) is None


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("an idle topic", {"places": {P: Place(9, 9)}, "busy": ()}),
        ("a topic that Kafka has emptied", {"places": {P: Place(12, 9)}}),
        ("no partitions: a spare", {"places": {}, "busy": ()}),
        ("a slow region: a call ends now and then", {"done": lambda number: number // 3}),
        ("a region that is away", {"excuse": "no answer within 30 s"}),
        ("Kafka is away: nothing is known", {"places": {}, "excuse": "Kafka does not answer"}),
        ("a stream that is worked off", {"done": lambda n: n, "places": lambda n: {P: Place(n, 99)}}),
    ],
)
def test_who_is_well_is_left_alone(why: str, changes: dict[str, Any]) -> None:
    stall = after(*same(AT_WORK, 60, **changes))
    assert stall.seconds < LIMIT_S, why
    assert stall.words(LIMIT_S) is None


def test_what_was_away_gives_the_whole_time_again() -> None:
    away = same(AT_WORK, 30, excuse="the database is away")
    back = [replace(look, at=look.at + 300.0) for look in same(AT_WORK, 6)]
    assert after(*away, *back).words(LIMIT_S) is None
    assert after(*away, *back, *[replace(back[-1], at=back[-1].at + 10.0 * n) for n in range(1, 3)]).words(
        LIMIT_S
    )


@pytest.mark.parametrize("asleep_s", [100.0, 3_600.0, 1e6])
def test_a_process_that_was_stopped_was_not_at_fault(asleep_s: float) -> None:
    """Between two looks an hour goes by: SIGSTOP, a laptop's lid, a machine that is frozen."""
    before, woken = same(AT_WORK, 2), [replace(AT_WORK, at=20.0 + asleep_s)]
    assert after(*before, *woken).seconds <= 3 * EVERY_S


def test_a_partition_of_which_all_is_done_and_nothing_acknowledged_is_a_stall() -> None:
    """As after some rebalances (engine.md): the others go on."""
    looks = same(
        replace(AT_WORK, busy={Q}),
        9,
        done=lambda number: number,
        places=lambda number: {P: Place(5, 9), Q: Place(number, 50)},
    )
    stall = after(*looks)
    assert stall.whole_s == 0.0
    assert stall.words(LIMIT_S) == (
        "events/0 ends at 9, and what is acknowledged has stayed at 5 for 80 s, "
        "though nothing of it is at work"
    )


@pytest.mark.parametrize("changes", [{"busy": {P, Q}}, {"full": True}])
def test_a_partition_that_waits_behind_slow_work_is_none(changes: dict[str, Any]) -> None:
    """Its own first message takes long, or no more messages are taken at all."""
    looks = same(
        replace(AT_WORK, busy={Q}),
        60,
        done=lambda number: number,
        places=lambda number: {P: Place(5, 9), Q: Place(number, 99)},
        **changes,
    )
    assert after(*looks).words(LIMIT_S) is None


def test_partitions_that_come_and_go_begin_anew() -> None:
    looks = same(
        AT_WORK, 60, busy=(), done=lambda n: n, places=lambda n: WAITS if n % 4 else {Q: Place(1, 2)}
    )
    assert after(*looks).words(LIMIT_S) is None


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.booleans(), st.sampled_from([{}, WAITS])), max_size=60),
    st.floats(1, 100),
)
def test_no_stall_is_longer_than_the_looks_it_was_seen_in(
    steps: list[tuple[float, bool, dict[Any, Place]]], every_s: float
) -> None:
    """However long the times between them were."""
    at, done, stalled, stall = 0.0, 0, 0, Stall(0.0)
    for passed_s, finished, places in steps:
        at, done = at + passed_s, done + finished
        stall = follow(stall, Look(at, done, places), every_s)
        stalled = 0 if finished or not places else stalled + 1
        assert stall.whole_s <= stalled * 2 * every_s
        assert stall.seconds <= len(steps) * 2 * every_s
