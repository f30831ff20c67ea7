"""How many dead letters a consumer makes, and how long it stops."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.quota import PAUSE_MAX_S, WINDOW_S, Quota


def spent(quota: Quota, times: int, now: float) -> list[bool]:
    return [quota.spend(now) for _ in range(times)]


def test_up_to_the_number_it_goes_on() -> None:
    quota = Quota(60)
    assert not any(spent(quota, 59, 0.0))
    assert quota.wait_s(0.0) == 0
    assert quota.spend(1.0)
    assert quota.wait_s(1.0) == WINDOW_S


def test_what_is_older_than_a_minute_does_not_count() -> None:
    quota = Quota(60)
    for second in range(10_000):
        assert not quota.spend(second * 1.02)  # 58.8 a minute
    assert quota.wait_s(10_200.0) == 0


def test_what_was_under_way_when_it_stopped_does_not_count() -> None:
    quota = Quota(3)
    assert spent(quota, 3, 0.0) == [False, False, True]
    assert not any(spent(quota, 50, 1.0))
    assert quota.wait_s(1.0) == WINDOW_S - 1


def test_a_cause_that_stays_makes_it_wait_for_longer_up_to_a_bound() -> None:
    quota, now, pauses = Quota(60), 0.0, []
    for _ in range(9):
        assert spent(quota, 60, now)[-1]
        pauses.append(quota.wait_s(now))
        now += quota.wait_s(now)
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert pauses[-1] == PAUSE_MAX_S


def test_a_cause_that_went_is_forgotten() -> None:
    quota = Quota(2)
    spent(quota, 2, 0.0)
    spent(quota, 2, 60.0)
    assert quota.wait_s(60.0) == 120
    spent(quota, 2, 180.0 + 121)  # open for longer than it had been shut
    assert quota.wait_s(301.0) == 60


@given(st.integers(1, 50), st.lists(st.floats(0, 30), max_size=300))
def test_never_more_than_the_number_in_a_minute(per_minute: int, gaps: list[float]) -> None:
    """Of one who asks before each, however they come."""
    quota, now, made = Quota(per_minute), 0.0, []
    for gap in gaps:
        now += gap
        now += quota.wait_s(now)
        quota.spend(now)
        made.append(now)
    for time in made:
        assert sum(1 for other in made if time <= other < time + WINDOW_S) <= per_minute
