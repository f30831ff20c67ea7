"""What a load needs: the laws of more and less, and the measured situations."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import capacity
from pipeline.core.sizing import (
    BUSY,
    CHANGES_MOST,
    EACH,
    LANES_MOST,
    LATENCY_MOST_MS,
    PARTITIONS_MOST,
    Load,
    size,
)

LOADS = st.builds(
    Load,
    st.floats(0.001, CHANGES_MOST),
    st.integers(2, 1000),
    st.floats(1, LATENCY_MOST_MS),
    st.floats(1, 1000),
    st.floats(1, 3650),
)
MORE = st.floats(1, 100)


def processes(load: Load) -> tuple[int, int, int, int]:
    found = size(load)
    return found.lanes, found.workers, found.hubs, found.partitions


def no_less(many: Load, few: Load) -> bool:
    return all(a >= b for a, b in zip(processes(many), processes(few), strict=True))


@given(LOADS, MORE)
def test_more_changes_never_need_less(load: Load, times: float) -> None:
    more = replace(load, changes_per_s=min(CHANGES_MOST, load.changes_per_s * times))
    assert no_less(more, load)
    few, many = size(load), size(more)
    assert many.database_cores >= few.database_cores and many.disk_gib >= few.disk_gib
    assert len(many.exhausted(more)) >= len(few.exhausted(load))


@given(LOADS, MORE)
def test_slower_calls_never_need_less(load: Load, times: float) -> None:
    slower = replace(load, latency_ms=min(LATENCY_MOST_MS, load.latency_ms * times))
    assert no_less(slower, load)
    assert size(slower).hubs == size(load).hubs, "the hub calls nobody"


@given(LOADS, st.integers(0, 500))
def test_more_regions_never_need_less(load: Load, more: int) -> None:
    wider = replace(load, regions=min(1000, load.regions + more))
    assert no_less(wider, load)
    assert size(wider).workers == size(load).workers, "each has its own"
    assert size(wider).ceilings[0].changes_per_s <= size(load).ceilings[0].changes_per_s


@given(LOADS)
def test_every_process_has_as_many_partitions_as_the_others_of_its_kind(load: Load) -> None:
    found = size(load)
    for count in (found.workers, found.hubs):
        assert found.partitions % count == 0 and found.partitions >= EACH * count


@given(LOADS)
def test_what_it_says_holds_the_load(load: Load) -> None:
    """By the measured figures themselves: lanes beside the calls, and cores beside the work."""
    found, cost = size(load), capacity.hub(load.regions)
    reached = found.lanes * capacity.used(found.lanes) * 1000 / load.latency_ms
    assert found.workers * reached >= found.calls_per_s * 0.999
    assert 1 <= found.lanes <= LANES_MOST
    hub_us = cost.change_us + (load.regions - 1) * cost.result_us
    assert load.busiest * hub_us <= found.hubs * BUSY * 1e6 * 1.001
    assert load.busiest * capacity.WORKER_APPLIED_US <= found.workers * BUSY * 1e6 * 1.001


@given(LOADS)
def test_partitions_that_the_settings_do_not_take_are_told(load: Load) -> None:
    found = size(load)
    told = any("partitions" in one.what for one in found.exhausted(load))
    assert told == (found.partitions > PARTITIONS_MOST)


@pytest.mark.parametrize(("lanes", "per_s"), [(16, 294), (64, 963)])
def test_as_many_lanes_as_were_measured_for_these_calls(lanes: int, per_s: float) -> None:
    """`make bench ARGS=apply`: calls of 50 ms, one worker."""
    reached = lanes * capacity.used(lanes) * 1000 / 50
    assert reached == pytest.approx(per_s, rel=0.05)


def test_one_hub_and_one_worker_do_what_was_measured_of_them() -> None:
    """`make bench ARGS=hub`: 1,430 changes a second with 3 regions; `apply`: 963 calls a second with 64
    lanes, for which it had 0.8 of a core."""
    assert 1e6 / capacity.hub(3).change_us == pytest.approx(1430, rel=0.25)
    cores = 963 / capacity.CALLS * capacity.WORKER_APPLIED_US / 1e6
    assert cores == pytest.approx(0.8, rel=0.3)
    assert processes(Load(480, 3, 50, peak=1))[1] == 2, "a core is not to be used up"
    assert processes(Load(300, 3, 50, peak=1))[1] == 1


@pytest.mark.parametrize(
    ("changes", "regions", "latency_ms", "expected"),
    [
        (1, 3, 50, (16, 1, 1, 12)),
        (10, 10, 50, (16, 1, 1, 12)),
        (10, 10, 250, (16, 1, 1, 12)),
    ],
)
def test_the_defaults_are_enough_for_what_one_region_holds(
    changes: float, regions: int, latency_ms: float, expected: tuple[int, int, int, int]
) -> None:
    assert processes(Load(changes, regions, latency_ms)) == expected
    assert size(Load(changes, regions, latency_ms)).exhausted(Load(changes, regions, latency_ms)) == ()


def test_measured_costs_are_taken_as_they_are_and_between_them_a_straight_line() -> None:
    few, middle, many = capacity.HUB
    assert [capacity.hub(one) for one in (3, 10, 50)] == list(capacity.HUB)
    assert capacity.hub(2) == replace(few, regions=3), "not less than was measured"
    assert capacity.hub(30).change_us == (middle.change_us + many.change_us) / 2
    assert capacity.hub(90).change_us == 2 * many.change_us - middle.change_us


def test_a_log_and_a_disk_are_reckoned_by_hand() -> None:
    load = Load(100, 3, 50, peak=1, days=1)
    found, cost = size(load), capacity.hub(3)
    log = cost.change_log + 2 * (cost.result_log + capacity.APPLIED_LOG)
    assert found.log_mib_per_s == pytest.approx(100 * log / 2**20)
    rows = 100 * 86_400 * 2 * (cost.row_bytes + capacity.ATTEMPT_BYTES)
    decisions = 5_000_000 * capacity.DECISION_BYTES
    assert found.disk_gib == pytest.approx((rows + decisions) / 2**30)
    assert found.rows_per_s == 200 and found.messages_per_s == 800 and found.calls_per_s == 200


def test_what_is_too_much_is_told_with_what_helps_the_lowest_first() -> None:
    load = Load(5_000, 10, 50)
    beyond = size(load).exhausted(load)
    assert [one.changes_per_s for one in beyond] == sorted(one.changes_per_s for one in beyond)
    assert sum("MariaDB" in one.what for one in beyond) == 2
    assert all(one.cure for one in beyond)


@pytest.mark.parametrize(
    "wrong",
    [
        Load(0, 3, 50),
        Load(-1, 3, 50),
        Load(float("nan"), 3, 50),
        Load(float("inf"), 3, 50),
        Load(1, 1, 50),
        Load(1, 3, 0),
        Load(1, 3, 50, peak=0.5),
        Load(1, 3, 50, days=0),
        Load(1e300, 3, 50),
    ],
)
def test_a_load_that_can_t_be_is_refused_in_a_sentence(wrong: Load) -> None:
    with pytest.raises(ValueError, match=r"^\w+: .* is not from .* to "):
        size(wrong)
