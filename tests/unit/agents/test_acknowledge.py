"""Acknowledgements leave in the order of the offsets, whatever order the work ends in (issue 606)."""

from __future__ import annotations

from itertools import permutations

import pytest

from pipeline.agents.acknowledge import InOrder

HERE, THERE = ("events", 0), ("events", 1)


def begun(offsets: range) -> tuple[InOrder, list[int]]:
    acknowledged: list[int] = []
    tracker = InOrder()
    for offset in offsets:
        tracker.begin(HERE, offset, lambda offset=offset: acknowledged.append(offset))  # type: ignore[misc]
    return tracker, acknowledged


def test_a_held_head_of_ten_lets_nothing_through() -> None:
    tracker, acknowledged = begun(range(10))
    for offset in range(1, 10):
        tracker.finish(HERE, offset)
    assert acknowledged == []
    assert tracker.in_flight == 10
    tracker.finish(HERE, 0)
    assert acknowledged == list(range(10))
    assert tracker.in_flight == 0


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_only_the_finished_prefix_is_acknowledged(order: tuple[int, ...]) -> None:
    tracker, acknowledged = begun(range(4))
    finished: set[int] = set()
    for offset in order:
        tracker.finish(HERE, offset)
        finished.add(offset)
        prefix = next((n for n in range(4) if n not in finished), 4)
        assert acknowledged == list(range(prefix))


def test_offsets_with_gaps_are_as_good() -> None:
    acknowledged: list[int] = []
    tracker = InOrder()
    for offset in (3, 7, 9):
        tracker.begin(HERE, offset, lambda offset=offset: acknowledged.append(offset))  # type: ignore[misc]
    tracker.finish(HERE, 7)
    tracker.finish(HERE, 3)
    assert acknowledged == [3, 7]


def test_partitions_do_not_wait_for_each_other() -> None:
    tracker, acknowledged = begun(range(2))
    tracker.begin(THERE, 0, lambda: acknowledged.append(100))
    tracker.finish(THERE, 0)
    assert acknowledged == [100]


def test_a_partition_that_was_given_away_is_forgotten() -> None:
    tracker, acknowledged = begun(range(3))
    tracker.begin(THERE, 5, lambda: acknowledged.append(5))
    tracker.finish(HERE, 1)
    tracker.forget([HERE, ("events", 9)])
    tracker.finish(HERE, 0)
    assert acknowledged == []
    assert tracker.in_flight == 1
    tracker.finish(THERE, 5)
    assert acknowledged == [5]


def test_a_partition_that_comes_back_begins_anew() -> None:
    tracker, acknowledged = begun(range(3))
    tracker.finish(HERE, 2)
    tracker.forget([HERE])
    tracker.begin(HERE, 0, lambda: acknowledged.append(0))
    tracker.finish(HERE, 0)
    assert acknowledged == [0]


def test_what_is_finished_twice_is_acknowledged_once() -> None:
    tracker, acknowledged = begun(range(2))
    tracker.finish(HERE, 0)
    tracker.finish(HERE, 0)
    assert acknowledged == [0]
