"""What a scan makes of one entity, and which lists it believes."""

from __future__ import annotations

import pytest

from pipeline.core.compare import Held, Outcome, compare, digest, outcome, too_short
from pipeline.core.entities import Kind, Snapshot

SEEN = {"name": "n", "networkdomain": "", "parent": "ROOT"}
OTHER = SEEN | {"name": "m"}


def snapshot(uuid: str = "u", *, protected: bool = False) -> Snapshot:
    return Snapshot(Kind.DOMAIN, uuid, SEEN, protected=protected)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (None, Outcome.UNKNOWN),
        (Held(SEEN), Outcome.EQUAL),
        (Held(SEEN, in_flight=True), Outcome.EQUAL),
        (Held(OTHER), Outcome.DIFFERENT),
        (Held(OTHER, in_flight=True), Outcome.IN_FLIGHT),
        (Held(None), Outcome.DIFFERENT),
        (Held(None, in_flight=True), Outcome.IN_FLIGHT),
    ],
)
def test_outcome(held: Held | None, expected: Outcome) -> None:
    assert outcome(snapshot(), held) is expected
    assert outcome(snapshot(protected=True), held) is Outcome.PROTECTED


def test_a_page_is_counted_and_what_differs_is_found() -> None:
    page = [
        snapshot("same"),
        snapshot("new"),
        snapshot("other"),
        snapshot("busy"),
        snapshot("root", protected=True),
    ]
    held = {"same": Held(SEEN), "other": Held(OTHER), "busy": Held(OTHER, in_flight=True)}
    compared = compare(page, held)
    assert [one.uuid for one in compared.found] == ["new", "other"]
    assert dict(compared.counts) == {
        Outcome.EQUAL: 1,
        Outcome.UNKNOWN: 1,
        Outcome.DIFFERENT: 1,
        Outcome.IN_FLIGHT: 1,
        Outcome.PROTECTED: 1,
    }


@pytest.mark.parametrize(
    ("known", "missing", "listed", "believed"),
    [
        (0, 0, 1, True),
        (0, 0, 0, False),
        (5, 5, 0, False),
        (5, 5, 2, True),  # a small region: few are looked into whatever their share
        (20, 20, 3, True),
        (21, 21, 3, False),
        (100, 21, 79, False),
        (105, 21, 84, True),
        (1000, 200, 800, True),
        (1000, 201, 799, False),
    ],
)
def test_a_list_that_is_much_shorter_is_not_believed(
    known: int, missing: int, listed: int, believed: bool
) -> None:
    assert (too_short(known, missing, listed) is None) is believed


def test_a_person_may_believe_any_list_but_an_empty_one() -> None:
    assert too_short(100, 100, 1, share=1.0) is None
    assert too_short(100, 100, 0, share=1.0) == "the list is empty"


def test_digests_are_small_and_tell_uuids_apart() -> None:
    made = {digest(f"{number}") for number in range(10_000)}
    assert len(made) == 10_000
    assert {len(one) for one in made} == {8}
