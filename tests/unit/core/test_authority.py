"""What a region may say: which places and kinds, what counts as said, and what comes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.core.authority import (
    ROOT_ADMINISTRATORS,
    Place,
    Where,
    heard,
    may_say,
    refusal,
    said,
    told,
    violated,
)
from pipeline.core.entities import FIELDS, ROOT_ADMIN_ROLE, Kind
from pipeline.core.merge import LIFE, Merged, Outcome, merge
from pipeline.core.overrule import objection
from pipeline.core.records import (
    Life,
    Observation,
    Record,
    RegionState,
    Sent,
    Source,
    Sources,
    Stamp,
    Value,
)
from tests.unit.core.records import BASE, EQUALS, at, record, seen

ACME: Sources = (Source(("acme",)),)
USERS: Sources = (Source(("acme",), frozenset({Kind.USER})),)

MAY = [
    pytest.param(None, Kind.USER, ("x",), True, id="not limited"),
    pytest.param(None, Kind.USER, None, True, id="not limited, and nobody knows where"),
    pytest.param((), Kind.USER, (), False, id="a mirror"),
    pytest.param((Source(),), Kind.USER, ("x",), True, id="everything, in words"),
    pytest.param((Source(),), Kind.USER, None, True, id="everything, wherever it is"),
    pytest.param(ACME, Kind.DOMAIN, ("acme",), True, id="the domain itself"),
    pytest.param(ACME, Kind.DOMAIN, ("acme", "sales", "emea"), True, id="far below it"),
    pytest.param(ACME, Kind.ACCOUNT, ("ACME",), True, id="case does not count"),
    pytest.param(ACME, Kind.ACCOUNT, (), False, id="above it"),
    pytest.param(ACME, Kind.ACCOUNT, ("acme2",), False, id="the beginning of a name is no place"),
    pytest.param(ACME, Kind.ACCOUNT, ("other", "acme"), False, id="the same name elsewhere"),
    pytest.param(ACME, Kind.DOMAIN, ("acme/sales",), False, id="a name with a slash is no path"),
    pytest.param(ACME, Kind.USER, None, False, id="nobody knows where"),
    pytest.param(USERS, Kind.USER, ("acme", "sales"), True, id="of this kind"),
    pytest.param(USERS, Kind.ACCOUNT, ("acme", "sales"), False, id="not of that kind"),
    pytest.param((Source((), frozenset({Kind.ROLE})),), Kind.ROLE, (), True, id="roles"),
    pytest.param(ACME, Kind.ROLE, (), False, id="a role is in no domain"),
    pytest.param((*USERS, Source(("x",))), Kind.ACCOUNT, ("x",), True, id="one of several"),
]


@pytest.mark.parametrize(("sources", "kind", "place", "may"), MAY)
def test_what_may_be_said(sources: Sources, kind: Kind, place: Place, may: bool) -> None:
    assert may_say(sources, kind, place) is may


def test_what_it_is_a_source_of_in_words() -> None:
    assert told(None) == "everything"
    assert told(()) == "nothing: it is a mirror"
    assert told((*USERS, Source(("x", "y")), Source())) == "/acme (User), /x/y, /"


def said_of(old: Record | None, one: Observation) -> frozenset[str]:
    return said(old, one, merge(old, one, at(), EQUALS))


HELD = RegionState(dict(BASE))
ON_ITS_WAY = RegionState(dict(BASE), (Sent(6, BASE | {"name": "sent"}),))
GOING = RegionState(dict(BASE), (Sent(6, None),))

SAID = [
    pytest.param(None, seen("r2"), {LIFE}, id="a birth"),
    pytest.param(None, seen("r2", gone=True), set(), id="an absence of what nobody knows"),
    pytest.param(record(), seen("r2"), set(), id="what is known"),
    pytest.param(record(), seen("r2", name="new"), {"name"}, id="a change"),
    pytest.param(record(), seen("r2", name="new", parent="q"), {"name", "parent"}, id="two changes"),
    pytest.param(record(r2=ON_ITS_WAY), seen("r2", name="sent"), set(), id="what was sent there"),
    pytest.param(
        record(r2=ON_ITS_WAY), seen("r2", name="x", applied=6), {"name"}, id="what apply left alone"
    ),
    pytest.param(
        record(r2=RegionState(BASE | {"name": "old"})), seen("r2", 50, name="late"), {"name"}, id="what loses"
    ),
    pytest.param(record(), seen("r2", gone=True), {LIFE}, id="a removal"),
    pytest.param(record(r2=GOING), seen("r2", gone=True), set(), id="a removal that was sent there"),
    pytest.param(record(r2=RegionState()), seen("r2", gone=True), set(), id="what was never there"),
    pytest.param(record(), replace(seen("r2", gone=True), lost=True), set(), id="what was lost there"),
]


@pytest.mark.parametrize(("old", "one", "news"), SAID)
def test_what_counts_as_said(old: Record | None, one: Observation, news: set[str]) -> None:
    assert said_of(old, one) == news


def test_a_redelivery_says_nothing() -> None:
    one = seen("r2", name="new")
    assert said(record(), one, merge(record(), one, at(9), EQUALS)) == frozenset()


def test_what_goes_with_a_removed_parent_is_nobody_s_word() -> None:
    old, one = record(r2=RegionState()), seen("r2", gone=True)
    gone = merge(old, one, at(), EQUALS, {"p": Stamp(150, "r1")})
    assert gone.outcome is Outcome.REMOVED
    assert said(old, one, gone) == frozenset()


NEWS = frozenset({"name", "networkdomain", "parent"})
IN, OUT = ("acme", "x"), ("other", "x")
REFUSED = [
    pytest.param(ACME, IN, IN, None, id="its own"),
    pytest.param(ACME, OUT, OUT, NEWS, id="another's"),
    pytest.param(ACME, OUT, IN, NEWS, id="taken from another's"),
    pytest.param(ACME, IN, OUT, {"name", "parent"}, id="taken elsewhere: the rest is its own"),
    pytest.param(ACME, IN, None, {"name", "parent"}, id="taken where nobody knows"),
    pytest.param(None, OUT, OUT, None, id="not limited"),
    pytest.param((), IN, IN, NEWS, id="a mirror"),
]


@pytest.mark.parametrize(("sources", "before", "after", "names"), REFUSED)
def test_what_is_refused(sources: Sources, before: Place, after: Place, names: set[str] | None) -> None:
    found = refusal(
        seen("r2", name="n2", networkdomain="d2", parent="q"), NEWS, sources, Where(before, after)
    )
    assert (None if found is None else found.names) == names


@pytest.mark.parametrize(
    ("sources", "place", "reason"),
    [
        (ACME, OUT, "r2 is not a source for /other/x"),
        (USERS, IN, "r2 is not a source for Domains in /acme/x"),
        (ACME, None, "r2 is not a source for a place that nobody knows"),
        ((), (), "r2 is not a source for /"),
    ],
)
def test_why_in_words(sources: Sources, place: Place, reason: str) -> None:
    found = refusal(seen("r2"), frozenset({LIFE}), sources, Where(place, place))
    assert found is not None and found.reason == reason


def test_an_account_s_new_name_is_no_move() -> None:
    fields = dict.fromkeys(FIELDS[Kind.ACCOUNT], "x")
    one = Observation("r2", Kind.ACCOUNT, "a", fields, 1)
    assert refusal(one, frozenset({"name"}), ACME, Where(IN, OUT)) is None


def refuse(old: Record | None, one: Observation, sources: Sources = ()) -> Merged:
    """As the hub does it, in a place outside of the region's own."""
    refused = refusal(one, said_of(old, one), sources, Where(OUT, OUT))
    assert refused is not None
    rest = heard(one, refused)
    return violated(old, rest, merge(old, rest, at(), EQUALS), refused)


def test_a_change_counts_for_nothing_and_the_region_gets_the_record_again() -> None:
    old = record()
    merged = refuse(old, seen("r2", name="evil"))
    assert merged.record is not None
    assert (merged.record.fields, merged.record.life) == (old.fields, old.life)
    assert merged.record.region("r2").confirmed == BASE | {"name": "evil"}
    assert [(one.region, one.fields, one.known) for one in merged.desired] == [
        ("r2", BASE, BASE | {"name": "evil"})
    ]
    (line,) = merged.conflicts
    assert merged.outcome is Outcome.VIOLATION
    assert (line.field, line.base, line.kept, line.lost) == ("name", "n", "n", "evil")
    assert (line.kept_stamp, line.lost_stamp) == (Stamp(100, "r1"), Stamp(200, "r2"))
    assert line.reason == "r2 is not a source for /other/x"


def test_seen_again_before_it_is_corrected_it_is_known() -> None:
    merged = refuse(record(), seen("r2", name="evil"))
    again = seen("r2", name="evil")
    assert said(merged.record, again, merge(merged.record, again, at(11), EQUALS)) == frozenset()


def test_a_removal_is_a_loss_and_is_made_good() -> None:
    old = record()
    merged = refuse(old, seen("r2", gone=True))
    assert merged.record is not None and merged.record.life == old.life
    assert [(one.region, one.fields, one.known) for one in merged.desired] == [("r2", BASE, None)]
    (line,) = merged.conflicts
    assert (line.field, line.kept, line.lost) == (LIFE, "present", "removed")


def test_a_birth_makes_no_record() -> None:
    merged = refuse(None, seen("r2", name="evil"))
    assert (merged.record, merged.desired) == (None, ())
    (line,) = merged.conflicts
    assert (line.field, line.kept, line.lost) == (LIFE, "absent", "present")
    assert line.reason == "r2 is not a source for /other/x (Domain evil)"


def test_what_may_be_said_in_the_same_word_is_heard() -> None:
    old, one = record(), seen("r2", networkdomain="own", parent="q")
    refused = refusal(one, said_of(old, one), ACME, Where(IN, OUT))
    assert refused is not None
    rest = heard(one, refused)
    merged = violated(old, rest, merge(old, rest, at(), EQUALS), refused)
    assert merged.record is not None
    assert {name: value.text for name, value in merged.record.fields.items()} == BASE | {
        "networkdomain": "own"
    }
    assert {one.region for one in merged.desired} == {"r1", "r2", "r3"}
    assert (merged.outcome, [line.field for line in merged.conflicts]) == (Outcome.CHANGED, ["parent"])


def account(role: str = "User", **state: RegionState) -> tuple[Record, dict[str, str]]:
    fields = {"name": "a", "networkdomain": "", "role": role, "state": "enabled", "parent": "p"}
    stamp = Stamp(100, "r1")
    values = {name: Value(text, stamp) for name, text in fields.items()}
    held = {name: RegionState(dict(fields)) for name in EQUALS.priority}
    return Record(Kind.ACCOUNT, "x", values, Life(True, stamp), 5, {"log/0": 9}, held | state), fields


@pytest.mark.parametrize(
    ("role", "by_its_type"), [(ROOT_ADMIN_ROLE, False), ("Operators", True)], ids=["by name", "by type"]
)
def test_an_account_that_is_made_a_root_administrator_is_brought_back(role: str, by_its_type: bool) -> None:
    """In a region that may say everything."""
    old, fields = account()
    one = Observation("r2", Kind.ACCOUNT, "x", fields | {"role": role}, 200, root_admin=by_its_type)
    merged = refuse(old, one, None)
    assert merged.record is not None and merged.record.fields == old.fields
    assert [(sent.region, sent.fields) for sent in merged.desired] == [("r2", fields)]
    assert [(line.field, line.reason) for line in merged.conflicts] == [("role", ROOT_ADMINISTRATORS)]


@pytest.mark.parametrize("sources", [None, (Source(),)], ids=["not limited", "of everything"])
def test_what_has_become_a_root_administrator_is_disabled_all_the_same(sources: Sources) -> None:
    old, fields = account()
    raised = fields | {"role": ROOT_ADMIN_ROLE, "state": "disabled"}
    one = Observation("r2", Kind.ACCOUNT, "x", raised, 200)
    merged = refuse(old, one, sources)
    assert merged.record is not None
    assert merged.record.desired() == fields | {"state": "disabled"}
    assert [line.field for line in merged.conflicts] == ["role"]
    later = Observation("r2", Kind.ACCOUNT, "x", raised | {"state": "enabled"}, 300)
    news = said(merged.record, later, merge(merged.record, later, at(11), EQUALS))
    assert news == {"state"}
    assert refusal(later, news, sources, Where(OUT, OUT)) is None


def test_a_time_zone_that_no_call_can_empty_is_not_sent_for_ever() -> None:
    fields = dict.fromkeys(FIELDS[Kind.USER], "x") | {"timezone": "", "state": "enabled"}
    stamp = Stamp(100, "r1")
    held = {name: RegionState(dict(fields)) for name in EQUALS.priority}
    values = {name: Value(text, stamp) for name, text in fields.items()}
    old = Record(Kind.USER, "x", values, Life(True, stamp), 5, {"log/0": 9}, held)
    merged = refuse(old, Observation("r2", Kind.USER, "x", fields | {"timezone": "UTC"}, 200))
    assert merged.record is not None
    assert (merged.record.fields, merged.desired) == (old.fields, ())
    both = refuse(old, Observation("r2", Kind.USER, "x", fields | {"timezone": "UTC", "email": "y"}, 200))
    assert [one.fields for one in both.desired] == [fields]


def test_a_person_may_let_a_change_count_after_all_but_no_birth_and_no_root_administrator() -> None:
    merged = refuse(record(), seen("r2", name="evil"))
    assert merged.record is not None
    (line,) = merged.conflicts
    assert objection(merged.record, line) is None
    (removal,) = refuse(record(), seen("r2", gone=True)).conflicts
    assert "where that may be said" in (objection(merged.record, removal) or "")
    admin = replace(line, reason=ROOT_ADMINISTRATORS)
    assert "by hand" in (objection(merged.record, admin) or "")
