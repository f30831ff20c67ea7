"""What takes access away, as a table; who has access that was taken away; and laws of both."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.entities import API_KEY, DISABLED, ENABLED, LOCKED, Kind
from pipeline.core.merge import Outcome, merge, send, send_again
from pipeline.core.records import (
    Desired,
    Life,
    Observation,
    Position,
    Record,
    RegionState,
    Sent,
    Stamp,
    Topology,
    Value,
)
from pipeline.core.urgency import access, exposed_since, is_revocation
from tests.unit.outbox.builders import fields

GONE: Final = None
STATES: Final = (ENABLED, LOCKED, DISABLED, GONE)
STAMP: Final = Stamp(1_000, "r1")


def held(state: str | None) -> dict[str, str] | None:
    return None if state is None else {**fields(Kind.USER, "ann", "a1"), "state": state}


def wanted(state: str | None, known: str | None) -> Desired:
    return Desired("r2", Kind.USER, "u1", 5, held(state), held(known))


@pytest.mark.parametrize(
    ("known", "state", "revokes"),
    [
        (ENABLED, DISABLED, True),
        (ENABLED, LOCKED, True),
        (LOCKED, DISABLED, True),  # what a locked account runs goes on
        (ENABLED, GONE, True),
        (LOCKED, GONE, True),
        (DISABLED, GONE, True),
        (ENABLED, ENABLED, False),
        (LOCKED, LOCKED, False),
        (DISABLED, DISABLED, False),
        (DISABLED, LOCKED, False),
        (DISABLED, ENABLED, False),
        (LOCKED, ENABLED, False),
        (GONE, ENABLED, False),
        (GONE, LOCKED, False),  # made so: nobody ever had access
        (GONE, DISABLED, False),
        (GONE, GONE, False),  # as a replay says of what was never there
    ],
)
def test_a_revocation_is_what_leaves_less_than_is_known_to_be_there(
    known: str | None, state: str | None, revokes: bool
) -> None:
    assert is_revocation(wanted(state, known)) is revokes


@pytest.mark.parametrize(
    ("known", "sent", "keys", "revokes"),
    [
        ("old", None, "new", True),
        ("", None, "new", False),  # the first ones
        (None, None, "new", False),  # the region has just begun to tell of them
        ("old", None, "old", False),
        ("old", None, None, False),  # it takes no part any more: nothing will be set
        ("", "old", "new", True),  # may be there by now
        ("new", "old", "new", True),
    ],
)
def test_keys_that_others_replace_are_taken_away(
    known: str | None, sent: str | None, keys: str | None, revokes: bool
) -> None:
    on_their_way = [] if sent is None else [Sent(4, with_keys(sent))]
    assert (
        is_revocation(Desired("r2", Kind.USER, "u1", 5, with_keys(keys), with_keys(known)), on_their_way)
        is revokes
    )


def with_keys(keys: str | None) -> dict[str, str]:
    user = fields(Kind.USER, "ann", "a1")
    return user if keys is None else {**user, API_KEY: keys}


def test_the_removal_of_a_domain_is_one_and_no_change_of_it() -> None:
    domain = fields(Kind.DOMAIN, "emea", "d1")
    assert is_revocation(Desired("r2", Kind.DOMAIN, "d2", 5, None, domain))
    assert not is_revocation(Desired("r2", Kind.DOMAIN, "d2", 5, {**domain, "name": "apac"}, domain))


@pytest.mark.parametrize(
    ("known", "sent", "state", "revokes"),
    [
        (GONE, Sent(4, held(ENABLED)), DISABLED, True),  # the creation may have been made by now
        (DISABLED, Sent(4, held(ENABLED)), DISABLED, True),
        (GONE, Sent(4, held(ENABLED)), GONE, True),
        (GONE, Sent(4, held(DISABLED)), DISABLED, False),
        (GONE, Sent(5, held(ENABLED)), DISABLED, False),  # itself
    ],
)
def test_what_is_on_its_way_may_be_there(
    known: str | None, sent: Sent, state: str | None, revokes: bool
) -> None:
    assert is_revocation(wanted(state, known), [sent]) is revokes


def known_in(state: str | None, confirmed: str | None, *sent: Sent) -> Record:
    values = {name: Value(text, STAMP) for name, text in (held(state or ENABLED) or {}).items()}
    there = RegionState(held(confirmed), tuple(sent))
    life = Life(state is not None, Stamp(2_000, "r1"))
    return Record(Kind.USER, "u1", values, life, 4, regions={"r2": there})


@pytest.mark.parametrize(
    ("state", "confirmed", "since"),
    [
        (DISABLED, ENABLED, 1_000),
        (LOCKED, ENABLED, 1_000),
        (DISABLED, LOCKED, 1_000),
        (GONE, ENABLED, 2_000),
        (GONE, LOCKED, 2_000),
        (GONE, DISABLED, None),  # in quarantine, or disabled before: nobody gets in
        (GONE, GONE, None),
        (DISABLED, GONE, None),
        (DISABLED, DISABLED, None),
        (LOCKED, DISABLED, None),
        (ENABLED, DISABLED, None),
    ],
)
def test_exposed_is_who_has_more_than_the_record_gives(
    state: str | None, confirmed: str | None, since: int | None
) -> None:
    assert exposed_since(known_in(state, confirmed), "r2") == since


def test_a_region_that_never_held_it_exposes_nobody() -> None:
    assert exposed_since(known_in(DISABLED, ENABLED), "r3") is None


@given(st.lists(st.tuples(st.sampled_from(STATES), st.sampled_from(STATES)), min_size=1, max_size=6))
def test_the_newest_state_is_urgent_as_long_as_an_older_one_may_not_have_taken_access(
    steps: list[tuple[str | None, str | None]],
) -> None:
    """The law behind `on_their_way`: a newer desired state supersedes an older one. Were it not urgent where
    the older one was, it would hold the revocation up among all that is ordinary."""
    sent: list[Sent] = []
    known = steps[0][1]
    for version, (state, _) in enumerate(steps, 1):
        one = replace(wanted(state, known), version=version)
        may_have = max(access(held(known)), *(access(each.fields) for each in sent), 0)
        if access(held(state)) < may_have:
            assert is_revocation(one, sent)
        sent.append(Sent(version, held(state)))


def test_the_merge_says_so() -> None:
    """From the region where it was done to those that still have it."""
    topology = Topology(("r1", "r2"))
    record = replace(
        known_in(ENABLED, ENABLED), regions={name: RegionState(held(ENABLED)) for name in ("r1", "r2")}
    )
    seen = Observation("r1", Kind.USER, "u1", held(DISABLED), 9_000)
    merged = merge(record, seen, Position("log/0", 1), topology)
    (off,) = merged.desired
    assert (off.region, off.revokes) == ("r2", True)
    seen = Observation("r1", Kind.USER, "u1", {**(held(DISABLED) or {}), "email": "x"}, 9_500)
    (renamed,) = merge(merged.record, seen, Position("log/0", 2), topology).desired
    assert renamed.revokes, "it replaces what may not have arrived"
    on = Observation("r1", Kind.USER, "u1", held(ENABLED), 9_900)
    (enabled,) = merge(merged.record, on, Position("log/0", 3), topology).desired
    assert not enabled.revokes


def test_a_replay_of_what_is_right_waits_its_turn() -> None:
    assert not send_again(known_in(DISABLED, DISABLED), "r2").desired[0].revokes
    assert send_again(known_in(DISABLED, ENABLED), "r2").desired[0].revokes
    topology = Topology(("r2",))
    assert send(known_in(GONE, ENABLED), Outcome.CHANGED, (), topology).desired[0].revokes
