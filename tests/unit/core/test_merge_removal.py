"""Removal as the merge has it: of an entity, and of what it is below."""

from __future__ import annotations

from dataclasses import replace

from pipeline.core.entities import Kind
from pipeline.core.merge import Outcome, merge
from pipeline.core.records import Desired, Life, Observation, RegionState, Sent, Stamp, Value
from tests.unit.core.records import BASE, EQUALS, at, record, seen

# Rule 3: removal


def test_gone_where_it_was_is_a_removal_for_all_others() -> None:
    merged = merge(record(), seen("r2", 50, gone=True), at(), EQUALS)
    assert merged.outcome is Outcome.REMOVED
    assert merged.record is not None
    assert merged.record.life == Life(False, Stamp(101, "r2"))
    assert merged.record.desired() is None
    assert merged.record.fields == record().fields
    assert merged.desired == tuple(Desired(name, Kind.DOMAIN, "x", 6, None, BASE) for name in ("r1", "r3"))


def test_a_removal_follows_what_is_on_its_way_even_to_where_it_was_made() -> None:
    old = record(r2=RegionState(BASE, (Sent(5, dict(BASE)),)), r3=RegionState(None, (Sent(5, dict(BASE)),)))
    merged = merge(old, seen("r2", gone=True), at(), EQUALS)
    assert {row.region for row in merged.desired} == {"r1", "r2", "r3"}


def test_not_there_yet_is_not_gone() -> None:
    old = record(r2=RegionState(None, (Sent(5, dict(BASE)),)))
    merged = merge(old, seen("r2", gone=True), at(), EQUALS)
    assert (merged.outcome, merged.desired) == (Outcome.NOTHING_NEW, ())
    assert merged.record is not None and merged.record.life.present


def test_gone_because_we_asked_for_it_is_no_news() -> None:
    removed = merge(record(), seen("r2", gone=True), at(10), EQUALS).record
    assert removed is not None
    merged = merge(removed, seen("r1", 900, gone=True, applied=6), at(11), EQUALS)
    assert (merged.outcome, merged.desired) == (Outcome.NOTHING_NEW, ())
    assert merged.record is not None
    assert merged.record.region("r1") == RegionState(None)
    assert merged.record.life == removed.life


def test_a_removal_wins_over_changes_made_meanwhile() -> None:
    removed = merge(record(), seen("r2", gone=True), at(10), EQUALS).record
    assert removed is not None
    merged = merge(removed, seen("r1", 900, name="new"), at(11), EQUALS)
    assert (merged.outcome, merged.desired, merged.conflicts) == (Outcome.NOTHING_NEW, (), ())
    assert merged.record is not None and merged.record.desired() is None


def test_what_was_made_again_by_a_row_that_came_late_is_removed_again() -> None:
    gone = replace(record(), life=Life(False, Stamp(150, "r1")))
    gone = replace(gone, regions={name: RegionState() for name in EQUALS.priority})
    merged = merge(gone, seen("r2", applied=5), at(), EQUALS)
    assert merged.desired == (Desired("r2", Kind.DOMAIN, "x", 6, None, BASE),)


# Rules 6 and 7: below what was removed

GRAVES = {"p": Stamp(500, "r3")}


def test_what_is_made_below_a_removed_parent_is_removed_and_the_ledger_says_so() -> None:
    merged = merge(None, seen("r2"), at(), EQUALS, GRAVES)
    assert merged.outcome is Outcome.REMOVED
    assert merged.desired == (Desired("r2", Kind.DOMAIN, "x", 1, None, BASE),)
    assert [(lost.field, lost.kept, lost.lost) for lost in merged.conflicts] == [
        ("life", "removed", "present")
    ]


def test_what_never_reached_a_region_goes_with_its_parent() -> None:
    old = record(r2=RegionState(None, (Sent(5, dict(BASE)),)))
    merged = merge(old, seen("r2", gone=True), at(), EQUALS, GRAVES)
    assert merged.outcome is Outcome.REMOVED
    assert merged.record is not None and not merged.record.life.present
    assert {row.region for row in merged.desired} == {"r1", "r2", "r3"}


def test_nothing_is_moved_below_what_was_removed() -> None:
    merged = merge(record(), seen("r2", 900, parent="dead"), at(), EQUALS, {"dead": Stamp(500, "r3")})
    assert merged.outcome is Outcome.LOST
    assert merged.record is not None and merged.record.parent == "p"
    assert [row.region for row in merged.desired] == ["r2"]


def test_what_lost_its_parent_is_taken_back_to_where_it_lives() -> None:
    old = record()
    moved = replace(old, fields=old.fields | {"parent": Value("dead", Stamp(300, "r1"))})
    merged = merge(moved, seen("r2"), at(), EQUALS, {"dead": Stamp(500, "r3")})
    assert merged.outcome is Outcome.CHANGED
    assert merged.record is not None and merged.record.parent == "p"
    assert merged.record.fields["parent"].stamp == Stamp(301, "r2")


def test_what_lives_below_removed_parents_everywhere_goes() -> None:
    """Moves that did not know of each other put it below three parents, and all of them are removed."""
    old = record(
        r1=RegionState(BASE | {"parent": "one"}, (Sent(5, BASE | {"parent": "dead"}),)),
        r2=RegionState(BASE | {"parent": "two"}, (Sent(5, BASE | {"parent": "dead"}),)),
        r3=RegionState(BASE | {"parent": "dead"}),
    )
    moved = replace(old, fields=old.fields | {"parent": Value("dead", Stamp(300, "r3"))})
    graves = {"dead": Stamp(500, "r1"), "one": Stamp(500, "r2"), "two": Stamp(500, "r3")}
    merged = merge(moved, seen("r1", parent="one"), at(), EQUALS, graves)
    assert merged.outcome is Outcome.REMOVED
    assert {row.region for row in merged.desired} == {"r1", "r2", "r3"}
    assert [(lost.field, lost.kept) for lost in merged.conflicts] == [("life", "removed")]
    alive = merge(
        moved, seen("r1", parent="one"), at(), EQUALS, {name: graves[name] for name in ("dead", "one")}
    )
    assert alive.record is not None and alive.record.life.present, "r2 holds it below one that lives"


# What a scan found


def lost(region: str, time: int = 200) -> Observation:
    return replace(seen(region, time, gone=True), lost=True)


def test_what_a_region_lost_is_sent_there_anew() -> None:
    merged = merge(record(), lost("r2"), at(), EQUALS)
    assert merged.outcome is Outcome.MISSED
    assert merged.record is not None and merged.record.life == record().life
    assert merged.desired == (Desired("r2", Kind.DOMAIN, "x", 6, BASE, None),)


def test_what_a_region_never_had_is_sent_there() -> None:
    """A region that is new, or was inactive: it holds nothing, and nothing is on its way to it."""
    merged = merge(record(r2=RegionState()), lost("r2"), at(), EQUALS)
    assert merged.outcome is Outcome.MISSED
    assert merged.desired == (Desired("r2", Kind.DOMAIN, "x", 6, BASE, None),)


def test_a_stale_word_of_absence_costs_a_needless_desired_state_and_nothing_else() -> None:
    """It was made there and confirmed in between: no removal follows, no value is lost, nobody else hears."""
    absent = lost("r2")
    sent = merge(record(r2=RegionState()), absent, at(10), EQUALS)
    assert sent.record is not None
    made = merge(sent.record, seen("r2", 210, applied=6), at(11), EQUALS).record
    assert made is not None and made.region("r2") == RegionState(BASE)
    stale = merge(made, absent, at(12), EQUALS)
    assert stale.record is not None
    assert (stale.record.life, stale.record.fields) == (made.life, made.fields)
    assert [(one.region, one.version, one.fields) for one in stale.desired] == [("r2", 7, BASE)]
    found = merge(stale.record, seen("r2", 220, applied=7), at(13), EQUALS)
    assert found.record is not None and found.record.region("r2") == RegionState(BASE)
    assert found.desired == ()


def test_what_was_on_its_way_to_what_is_lost_is_void() -> None:
    """It would find nothing there, and no other is sent while it counts as what the region will hold."""
    old = record(r2=RegionState(BASE, (Sent(5, dict(BASE)),)))
    merged = merge(old, lost("r2"), at(), EQUALS)
    assert [(one.region, one.version) for one in merged.desired] == [("r2", 6)]
    assert merged.record is not None and merged.record.region("r2") == RegionState(
        None, (Sent(6, dict(BASE)),)
    )


def test_what_is_lost_below_a_removed_one_went_with_it() -> None:
    grave = Stamp(150, "r2")
    merged = merge(record(), lost("r2"), at(), EQUALS, {record().parent: grave})
    assert merged.outcome is Outcome.REMOVED
    assert {one.region: one.fields for one in merged.desired} == {"r1": None, "r3": None}


def test_what_is_lost_and_removed_stays_removed() -> None:
    removed = merge(record(), seen("r1", gone=True), at(10), EQUALS).record
    merged = merge(removed, lost("r2"), at(11), EQUALS)
    assert merged.outcome is Outcome.NOTHING_NEW
    assert merged.record is not None and merged.record.desired() is None


def test_what_is_left_of_a_removed_one_is_removed_where_it_is() -> None:
    found = replace(seen("r2", 200), created=100)
    merged = merge(None, found, at(), EQUALS, {found.uuid: Stamp(150, "r1")})
    assert merged.outcome is Outcome.REMOVED
    assert [(one.region, one.fields) for one in merged.desired] == [("r2", None)]
    assert [(one.field, one.kept) for one in merged.conflicts] == [("life", "removed")]
