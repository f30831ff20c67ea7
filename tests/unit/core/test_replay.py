"""In which order a replay goes, whose turn it is, how many go at a time, and what it may cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.entities import FIELDS, ROOT, Kind
from pipeline.core.merge import Outcome, send_again
from pipeline.core.plan import Target, plan
from pipeline.core.replay import (
    IN_FLIGHT,
    MOST_CALLS,
    YIELDING,
    Newest,
    Touched,
    Turn,
    in_order,
    most_calls,
    room,
    turn,
)
from tests.unit.outbox.builders import record, removed, seen_in

BEGAN = 1_000


@st.composite
def trees(draw: st.DrawFn) -> list[Touched]:
    """Domains below each other, accounts in them, users in those; some of them removed."""
    domains = [ROOT]
    made: list[Touched] = []
    for number in range(draw(st.integers(0, 8))):
        made.append(Touched(f"d{number}", Kind.DOMAIN, draw(st.sampled_from(domains)), draw(st.booleans())))
        domains.append(f"d{number}")
    accounts = [
        Touched(f"a{number}", Kind.ACCOUNT, draw(st.sampled_from(domains)), draw(st.booleans()))
        for number in range(draw(st.integers(0, 4)))
    ]
    users = [
        Touched(f"u{number}", Kind.USER, draw(st.sampled_from(accounts)).uuid, draw(st.booleans()))
        for number in range(draw(st.integers(0, 4)) if accounts else 0)
    ]
    return draw(st.permutations([*made, *accounts, *users]))


@given(trees())
def test_parents_before_children_and_removals_children_first(touched: list[Touched]) -> None:
    above = {one.uuid: one.parent for one in touched if one.kind is Kind.DOMAIN}
    ordered = in_order(touched, above)
    assert sorted(ordered, key=str) == sorted(touched, key=str)
    place = {one.uuid: index for index, one in enumerate(ordered)}
    present = {one.uuid: one.present for one in touched}
    for one in touched:
        if one.parent not in place or present[one.parent] != one.present:
            continue
        comes_first = place[one.parent] < place[one.uuid]
        assert comes_first is one.present
    assert [one.present for one in ordered] == sorted((one.present for one in ordered), reverse=True)


def test_two_domains_below_each_other_end_nowhere() -> None:
    ring = [Touched("a", Kind.DOMAIN, "b", True), Touched("b", Kind.DOMAIN, "a", True)]
    assert len(in_order(ring, {"a": "b", "b": "a"})) == 2


@pytest.mark.parametrize(
    ("newest", "never_there", "expected"),
    [
        (None, False, Turn.SEND),
        (None, True, Turn.SKIP),
        (Newest("delivered", BEGAN - 1, False), False, Turn.SEND),
        (Newest("superseded", BEGAN - 1, False), False, Turn.SEND),
        (Newest("dead", BEGAN - 1, False), False, Turn.SEND),
        (Newest("delivered", BEGAN - 1, False), True, Turn.SKIP),
        (Newest("delivered", BEGAN, False), False, Turn.WAIT),
        (Newest("dead", BEGAN, False), False, Turn.WAIT),
        (Newest("pending", BEGAN - 1, False), False, Turn.WAIT),
        (Newest("published", BEGAN - 1, False), True, Turn.WAIT),
        (Newest("held", BEGAN - 1, False), False, Turn.LEAVE),
        (Newest("dead", BEGAN - 1, True), False, Turn.LEAVE),
        (Newest("dead", BEGAN, True), False, Turn.LEAVE),
    ],
)
def test_whose_turn_it_is(newest: Newest | None, never_there: bool, expected: Turn) -> None:
    assert turn(newest, BEGAN, never_there=never_there) is expected


@pytest.mark.parametrize(
    ("in_flight", "others_wait", "expected"),
    [
        (0, False, IN_FLIGHT),
        (IN_FLIGHT - 1, False, 1),
        (IN_FLIGHT, False, 0),
        (0, True, YIELDING),
        (YIELDING, True, 0),
        (IN_FLIGHT, True, 0),
    ],
)
def test_room(in_flight: int, others_wait: bool, expected: int) -> None:
    assert room(in_flight, others_wait=others_wait) == expected


def fields_of(kind: Kind) -> st.SearchStrategy[dict[str, str]]:
    values = {name: st.sampled_from(("", "a", "b")) for name in FIELDS[kind]}
    if "state" in values:
        values["state"] = st.sampled_from(("enabled", "disabled", "locked"))
    return st.fixed_dictionaries(values)


@given(st.sampled_from(Kind).flatmap(lambda kind: st.tuples(st.just(kind), *[fields_of(kind)] * 2)))
def test_no_plan_has_more_calls_than_is_said(given_: tuple[Kind, dict[str, str], dict[str, str]]) -> None:
    kind, wanted, actual = given_
    for held in (actual, None):
        calls = plan(Target(kind, "u", held, wanted, applied=held)).calls
        assert len(calls) <= most_calls(kind, present=True) == MOST_CALLS[kind]
    assert len(plan(Target(kind, "u", actual, None)).calls) <= most_calls(kind, present=False)


def test_what_is_sent_again_is_the_record_as_it_is_under_a_new_version() -> None:
    one = seen_in(seen_in(record(Kind.USER, "u", "ann", "a"), "r1"), "r2", email="old")
    again = send_again(one, "r2")
    assert again.record is not None
    [desired] = again.desired
    assert (desired.region, desired.version, desired.fields) == ("r2", one.version + 1, one.desired())
    assert desired.known == one.region("r2").confirmed
    assert (again.record.fields, again.record.life, again.record.merged) == (one.fields, one.life, one.merged)
    assert again.record.region("r1") == one.region("r1")
    assert [sent.version for sent in again.record.region("r2").sent] == [desired.version]
    assert (again.outcome, again.conflicts) == (Outcome.NOTHING_NEW, ())


def test_so_is_a_removal() -> None:
    again = send_again(removed(seen_in(record(Kind.USER, "u"), "r2")), "r2")
    assert [one.fields for one in again.desired] == [None]
