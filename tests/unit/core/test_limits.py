"""Texts of limits, their calls, and what becomes of a region's first word about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.authority import Where, heard, refusal, said, violated
from pipeline.core.entities import API_KEY, DEFAULTED, LOGIN, OPTIONAL, Kind, alike
from pipeline.core.events import LIMIT_CHANGED, SCAN
from pipeline.core.limits import BORROWED, NUMBERS, TYPES, UNLIMITED, api_max, limit_text
from pipeline.core.merge import Merged, Outcome, merge
from pipeline.core.plan import Call, Target, plan
from pipeline.core.records import Observation, Record, RegionState, Source, Topology, Value
from pipeline.core.soundness import flaw
from tests.unit.core.records import BASE, EQUALS, at, record

VM, CPU = "limit_user_vm", "limit_cpu"

# Texts


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        ("Unlimited", UNLIMITED),
        (-1, UNLIMITED),
        ("-1", UNLIMITED),
        ("0", "0"),
        (0, "0"),
        ("20", "20"),
        (20, "20"),
        ("40960", "40960"),
        ("400.0", "400"),
        (400.0, "400"),
        ("0020", "20"),
        (2**63 - 1, str(2**63 - 1)),
        ("400.5", None),
        (2**63, None),
        ("1e99999999", None),
        ("-2", None),
        ("", None),
        ("many", None),
        ("NaN", None),
        ("Infinity", None),
        ("9" * 40, None),
        (None, None),
        (True, None),
        ([20], None),
    ],
)
def test_equal_limits_have_one_text(listed: object, text: str | None) -> None:
    assert limit_text(listed) == text


@given(st.integers(-1, 2**63 - 1))
def test_a_text_sets_the_limit_that_it_was_read_from(number: int) -> None:
    text = limit_text(number)
    assert text is not None
    assert api_max(text) == str(number)
    assert limit_text(str(number)) == limit_text(api_max(text)) == text


def test_the_types_are_seventeen_and_a_domain_s_fewer_by_the_borrowed_ones() -> None:
    assert [one.number for one in TYPES] == list(range(17))
    assert len({one.listed for one in TYPES}) == len(NUMBERS) == len(OPTIONAL[Kind.ACCOUNT]) == 17
    borrowed = set(OPTIONAL[Kind.ACCOUNT]) - set(OPTIONAL[Kind.DOMAIN])
    assert borrowed == {f"limit_{name}" for name in BORROWED}
    assert set(OPTIONAL[Kind.ACCOUNT]) == DEFAULTED - {LOGIN}


# Calls

ACCOUNT = {"name": "acme", "networkdomain": "", "role": "User", "state": "enabled", "parent": "dom"}
DOMAIN = {"name": "d", "networkdomain": "", "parent": "p"}


def set_to(whose: dict[str, str], number: int, most: str) -> Call:
    return Call("updateResourceLimit", {**whose, "resourcetype": str(number), "max": most})


ACME = {"account": "acme", "domainid": "dom"}


@pytest.mark.parametrize(
    ("kind", "before", "after", "calls"),
    [
        (Kind.ACCOUNT, {VM: "20"}, {VM: "20"}, []),
        (Kind.ACCOUNT, {VM: "20"}, {VM: "7"}, [set_to(ACME, 0, "7")]),
        (
            Kind.ACCOUNT,
            {VM: "20", CPU: "40"},
            {VM: UNLIMITED, CPU: "8"},
            [set_to(ACME, 0, "-1"), set_to(ACME, 8, "8")],
        ),
        (Kind.DOMAIN, {VM: UNLIMITED}, {VM: "0"}, [set_to({"domainid": "id"}, 0, "0")]),
        (
            Kind.ACCOUNT,
            {VM: "20"},
            {VM: "7", "name": "new"},
            [
                Call("updateAccount", {"id": "id", "newname": "new", "domainid": "dom"}),
                set_to({"account": "new", "domainid": "dom"}, 0, "7"),
            ],
        ),
        (
            Kind.ACCOUNT,
            {VM: "20"},
            {VM: "7", "state": "disabled"},
            [Call("disableAccount", {"id": "id", "lock": "false"}), set_to(ACME, 0, "7")],
        ),
        (
            Kind.ACCOUNT,
            {VM: "20", "state": "disabled"},
            {VM: "7", "state": "enabled"},
            [Call("enableAccount", {"id": "id"}), set_to(ACME, 0, "7")],
        ),
        (Kind.ACCOUNT, {}, {VM: "7"}, []),  # it knows no such type, or tells of none
        (Kind.ACCOUNT, {VM: "20"}, {}, []),  # nobody else does
    ],
)
def test_calls(kind: Kind, before: dict[str, str], after: dict[str, str], calls: list[Call]) -> None:
    base = ACCOUNT if kind is Kind.ACCOUNT else DOMAIN
    actual, wanted = base | before, base | after
    assert list(plan(Target(kind, "id", actual, wanted, known=actual, domain="dom")).calls) == calls


def test_a_limit_that_nobody_has_seen_yet_is_left_alone() -> None:
    known = ACCOUNT | {VM: "20", CPU: "40"}
    planned = plan(Target(Kind.ACCOUNT, "id", known | {VM: "9"}, known | {VM: "7", CPU: "8"}, known=known))
    assert (planned.left_alone, planned.calls) == ((VM,), (set_to(ACME, 8, "8"),))


def test_creation_sets_no_limit() -> None:
    """It is not known what the region has by default."""
    (create,) = plan(Target(Kind.ACCOUNT, "id", None, ACCOUNT | {VM: "7"})).calls
    assert VM not in create.params


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (DOMAIN, DOMAIN | {VM: "7"}, True),
        (DOMAIN | {VM: "7", CPU: "8"}, DOMAIN | {VM: "7"}, True),
        (DOMAIN | {VM: "7"}, DOMAIN | {VM: "8"}, False),
        (DOMAIN | {VM: "7"}, DOMAIN | {"name": "e"}, False),
        (DOMAIN, {"name": "d"}, False),
        (None, None, True),
        (DOMAIN, None, False),
        (None, DOMAIN, False),
    ],
)
def test_what_one_does_not_tell_is_no_difference(one: Any, other: Any, same: bool) -> None:
    assert alike(Kind.DOMAIN, one, other) is same


def test_messages_with_limits_are_sound() -> None:
    seen = Observation("r1", Kind.DOMAIN, "x", BASE | {VM: "7"}, 1_800_000_000_000)
    assert flaw(seen) is None
    assert flaw(replace(seen, fields=BASE | {"limit_bucket": "7"})) == "fields: not those of a Domain"


# The first word


def limited(text: str, *telling: str, stamp: int = 100) -> Record:
    """Every region holds it; the limit is r1's, and those that are named tell of it."""
    regions = {name: RegionState(BASE | {VM: text}) for name in telling}
    one = record(**regions)
    return replace(one, fields=one.fields | {VM: Value(text, replace(one.life.stamp, time=stamp))})


def word(region: str, text: str, time: int = 200, **more: Any) -> Observation:
    return Observation(region, Kind.DOMAIN, "x", BASE | {VM: text}, time, **more)


def text_of(merged: Merged, name: str = VM) -> str:
    assert merged.record is not None
    return merged.record.fields[name].text


NEWCOMER = RegionState()


@pytest.mark.parametrize(
    ("seen", "kept", "lines"),
    [
        pytest.param(word("r2", "50"), "20", 1, id="some other event led to it"),
        pytest.param(word("r2", "50", cause=SCAN, created=150), "20", 1, id="a scan found it"),
        pytest.param(word("r2", "50", cause="apply", applied=3), "20", 1, id="apply told it"),
        pytest.param(word("r2", "50", cause=LIMIT_CHANGED), "50", 1, id="somebody has set it"),
        pytest.param(word("r2", "50", 50, cause=LIMIT_CHANGED), "20", 1, id="somebody set it long ago"),
        pytest.param(word("r2", "20"), "20", 0, id="it is the same"),
    ],
)
def test_a_first_word_joins_as_the_older_one(seen: Observation, kept: str, lines: int) -> None:
    merged = merge(limited("20", "r1"), seen, at(), EQUALS)
    assert (text_of(merged), len(merged.conflicts)) == (kept, lines)
    assert merged.record is not None
    assert (merged.record.region("r2").confirmed or {})[VM] == (seen.fields or {})[VM]
    sent = {one.region: (one.fields or {}).get(VM) for one in merged.desired}
    assert sent.get("r2", kept) == kept and "r3" not in sent


def test_what_creation_left_makes_no_line_in_the_ledger() -> None:
    known = replace(limited("20", "r1"), regions={"r1": RegionState(BASE | {VM: "20"})})
    merged = merge(known, word("r2", "50", cause="apply", applied=6, wrote=True), at(), EQUALS)
    assert (text_of(merged), merged.conflicts, merged.outcome) == ("20", (), Outcome.NOTHING_NEW)
    (again,) = [one for one in merged.desired if one.region == "r2"]
    assert again.fields == BASE | {VM: "20"}
    later = merge(merged.record, word("r2", "60", 150), at(11), EQUALS)
    assert text_of(later) == "60", "and what comes after it is a change like any"


@pytest.mark.parametrize("cause", ["ACCOUNT.UPDATE", "apply"])
def test_not_even_the_master_s_default_wins(cause: str) -> None:
    seen = word("r2", "50", cause=cause, applied=3 if cause == "apply" else None)
    assert text_of(merge(limited("20", "r1"), seen, at(), Topology(("r2", "r1", "r3"), "r2"))) == "20"


def test_but_what_a_scan_finds_in_the_master_does() -> None:
    seen = word("r2", "50", cause=SCAN, created=150)
    assert text_of(merge(limited("20", "r1"), seen, at(), Topology(("r2", "r1", "r3"), "r2"))) == "50"


def test_two_types_changed_in_two_regions_both_count() -> None:
    both = BASE | {VM: "20", CPU: "40"}
    known = limited("20", "r1", "r2")
    known = replace(
        known,
        fields=known.fields | {CPU: Value("40", known.life.stamp)},
        regions={name: RegionState(dict(both)) for name in ("r1", "r2")},
    )
    first = merge(known, Observation("r1", Kind.DOMAIN, "x", both | {VM: "7"}, 200), at(), EQUALS)
    second = merge(first.record, Observation("r2", Kind.DOMAIN, "x", both | {CPU: "8"}, 190), at(11), EQUALS)
    assert (text_of(second), text_of(second, CPU), second.conflicts) == ("7", "8", ())


def test_what_nobody_tells_of_any_more_is_told_anew() -> None:
    """It was switched off everywhere, changed meanwhile, and switched on again: the old value is nobody's."""
    known = limited("20")
    assert text_of(merge(known, word("r2", "50", created=150), at(), EQUALS)) == "50"
    assert text_of(merge(limited("20", "r1"), word("r2", "50", created=150), at(), EQUALS)) == "20"


def test_what_we_make_again_where_it_was_lost_gets_back_what_was_agreed() -> None:
    known = replace(limited("20"), regions={"r2": RegionState()})
    merged = merge(known, word("r2", "50", applied=6, wrote=True, cause="apply"), at(), EQUALS)
    assert text_of(merged) == "20"


def test_a_region_that_stops_telling_is_sent_none() -> None:
    merged = merge(
        limited("20", "r1", "r2"), Observation("r2", Kind.DOMAIN, "x", dict(BASE), 200), at(), EQUALS
    )
    assert merged.record is not None
    assert merged.desired == () and merged.record.desired_in("r2") == BASE
    changed = merge(merged.record, word("r1", "7", 300), at(11), EQUALS)
    assert changed.desired == ()


# What a region may not say


@pytest.mark.parametrize("known", [None, "20"])
def test_a_mirror_s_limit_counts_for_nothing(known: str | None) -> None:
    """Nor is it taken where nobody else has told of it yet; then there is no line of it either."""
    before = record() if known is None else limited(known, "r1", "r2")
    seen, nothing = word("r2", "50"), (Source(("elsewhere",)),)
    merged = merge(before, seen, at(), EQUALS)
    assert text_of(merged) == "50"
    refused = refusal(seen, said(before, seen, merged), nothing, Where(("x",), ("x",)))
    assert refused is not None and refused.names == {VM}
    rest = heard(seen, refused)
    again = violated(before, rest, merge(before, rest, at(), EQUALS), refused)
    assert again.record is not None
    assert (again.record.fields[VM].text if known else again.record.fields.get(VM)) == known
    assert [(one.field, one.kept, one.lost) for one in again.conflicts] == (
        [(VM, "20", "50")] if known else []
    )


def test_a_scan_s_first_word_is_as_old_as_the_entity_and_a_key_s_is_of_when_it_was_given() -> None:
    merged = merge(record(), word("r2", "50", 300, created=150), at(), EQUALS)
    assert merged.record is not None and merged.record.fields[VM].stamp.time == 150
    known = replace(record(), kind=Kind.USER)
    seen = Observation("r2", Kind.USER, "x", BASE | {API_KEY: "f"}, 300, created=150)
    merged = merge(known, seen, at(), EQUALS)
    assert merged.record is not None and merged.record.fields[API_KEY].stamp.time == 300
