"""What calls left undone, in words, and when that is no progress."""

from __future__ import annotations

import pytest

from pipeline.core.effect import TRIES_WITHOUT_EFFECT, Futile, again, difference

CASES: list[tuple[dict[str, str] | None, dict[str, str] | None, tuple[str, ...], str]] = [
    ({"name": "a", "state": "x"}, {"name": "a", "state": "x"}, (), ""),
    ({"name": "a"}, {"name": "b"}, (), "name is 'b', not 'a'"),
    (
        {"name": "a", "state": "x"},
        {"name": "b", "state": "y"},
        (),
        "name is 'b', not 'a', state is 'y', not 'x'",
    ),
    ({"name": "a", "state": "x"}, {"name": "b", "state": "y"}, ("name",), "state is 'y', not 'x'"),
    (None, None, (), ""),
    (None, {"name": "a"}, (), "it is present, not absent"),
    ({"name": "a"}, None, (), "it is absent, not present"),
]


@pytest.mark.parametrize(("wanted", "got", "left_alone", "words"), CASES)
def test_differences(
    wanted: dict[str, str] | None, got: dict[str, str] | None, left_alone: tuple[str, ...], words: str
) -> None:
    assert difference(wanted, got, left_alone) == words


def test_the_same_difference_counts_and_another_one_begins_anew() -> None:
    one, other = Futile("name is 'a', not 'b'", {"name": "a"}), Futile("it is absent, not present", None)
    counted = again(again(None, one), one)
    assert (counted.times, counted.is_hopeless) == (2, False)
    assert again(counted, one).is_hopeless
    assert again(counted, one).times == TRIES_WITHOUT_EFFECT
    assert again(counted, other) == other
