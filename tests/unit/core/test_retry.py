"""How long is waited: grows, spreads, ends at the cap, and what was asked for is waited, within reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import TemporaryError
from pipeline.core.retry import Backoff

CASES: list[tuple[int, float, float | None, float]] = [
    (1, 0.0, None, 0.1),
    (1, 0.5, None, 0.15),
    (2, 0.0, None, 0.2),
    (3, 0.0, None, 0.4),
    (8, 0.0, None, 12.8),
    (9, 0.0, None, 15.0),
    (10_000_000, 0.0, None, 15.0),
    (1, 0.0, 7.0, 7.0),
    (1, 0.0, 300.0, 300.0),  # what was asked for may be over the cap
    (1, 0.0, 86_400.0, 300.0),  # within reason
    (1, 0.0, float("inf"), 300.0),
    (9, 0.0, 1.0, 15.0),
    (1, 0.0, 0.0, 0.1),
]


@pytest.mark.parametrize(("attempt", "chance", "asked_s", "delay_s"), CASES)
def test_delays(attempt: int, chance: float, asked_s: float | None, delay_s: float) -> None:
    assert Backoff().delay(attempt, chance, asked_s) == pytest.approx(delay_s)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0.001, 5), st.floats(5, 600))
def test_a_delay_is_never_nothing_and_never_over_the_cap(
    attempt: int, chance: float, first_s: float, cap_s: float
) -> None:
    delay = Backoff(first_s, cap_s).delay(attempt, chance)
    assert first_s / 2 <= delay <= cap_s


@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_a_later_try_waits_no_less(attempt: int, chance: float) -> None:
    assert Backoff().delay(attempt + 1, chance) >= Backoff().delay(attempt, chance)


def test_a_temporary_error_tells_what_was_asked_for() -> None:
    assert TemporaryError("busy", 2.5).after_s == 2.5
    assert TemporaryError("busy").after_s is None
