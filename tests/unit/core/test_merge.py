"""Every rule of the merge but removal's, and every outcome, as cases over one small record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.core.effect import unlike
from pipeline.core.entities import Kind
from pipeline.core.merge import Outcome, merge
from pipeline.core.records import (
    SENT_KEPT,
    Conflict,
    Desired,
    Observation,
    Record,
    RegionState,
    Sent,
    Stamp,
    Topology,
    Value,
)
from tests.unit.core.records import BASE, EQUALS, at, named, record, seen

# A new entity


def test_what_nobody_knew_is_born_and_sent_to_the_others() -> None:
    merged = merge(None, seen("r2"), at(3), EQUALS)
    assert merged.outcome is Outcome.CREATED
    assert merged.desired == tuple(Desired(name, Kind.DOMAIN, "x", 1, BASE, None) for name in ("r1", "r3"))
    assert merged.record is not None
    assert merged.record.desired() == BASE
    assert merged.record.merged == {"log/0": 3}
    assert merged.record.region("r2") == RegionState(BASE)
    assert merged.record.region("r1") == RegionState(None, (Sent(1, BASE),))
    assert {value.stamp for value in merged.record.fields.values()} == {Stamp(200, "r2")}


def test_the_absence_of_what_nobody_knew_is_nothing() -> None:
    merged = merge(None, seen("r1", gone=True), at(), EQUALS)
    assert (merged.record, merged.outcome, merged.desired) == (None, Outcome.NOTHING_NEW, ())


# Rule 1


@pytest.mark.parametrize("offset", [0, 8, 9])
def test_an_observation_that_was_merged_changes_nothing(offset: int) -> None:
    old = record()
    merged = merge(old, seen("r2", name="new"), at(offset), EQUALS)
    assert (merged.record, merged.outcome, merged.desired) == (old, Outcome.REDELIVERED, ())


def test_each_partition_has_its_own_offsets() -> None:
    merged = merge(record(), seen("r2", name="new"), at(0, "log/1"), EQUALS)
    assert merged.outcome is Outcome.CHANGED
    assert merged.record is not None and merged.record.merged == {"log/0": 9, "log/1": 0}


def test_a_log_that_was_made_anew_counts_from_zero_and_the_old_one_is_forgotten() -> None:
    merged = merge(record(), seen("r2", name="new"), at(0, "other/0"), EQUALS)
    assert merged.outcome is Outcome.CHANGED
    assert merged.record is not None and merged.record.merged == {"other/0": 0}


# Rule 2: what is no news


def test_what_the_region_was_known_to_hold_is_no_news() -> None:
    """r1 has changed the name; r2, read for another reason, still holds the old one."""
    old = named(record(), "new", 150, "r1")
    merged = merge(old, seen("r2", 900), at(), EQUALS)
    assert (merged.outcome, merged.desired) == (Outcome.NOTHING_NEW, ())
    assert merged.record is not None and merged.record.fields == old.fields


def test_what_was_sent_is_no_news_even_when_the_record_has_moved_on() -> None:
    sent = (Sent(3, BASE | {"name": "older"}), Sent(4, dict(BASE)))
    old = record(r2=RegionState(BASE | {"name": "oldest"}, sent))
    merged = merge(old, seen("r2", 900, name="older"), at(), EQUALS)
    assert merged.outcome is Outcome.NOTHING_NEW
    assert merged.record is not None
    assert merged.record.region("r2") == RegionState(BASE | {"name": "older"}, sent)


def test_a_value_that_the_record_has_already_keeps_its_stamp() -> None:
    old = named(record(), "new", 150, "r1")
    merged = merge(
        replace(old, regions=old.regions | {"r2": RegionState(dict(BASE))}),
        seen("r2", 900, name="new"),
        at(),
        EQUALS,
    )
    assert merged.outcome is Outcome.NOTHING_NEW
    assert merged.record is not None and merged.record.fields["name"] == Value("new", Stamp(150, "r1"))


# Rule 2: what is


@pytest.mark.parametrize(("time", "stamped"), [(200, 200), (100, 101), (5, 101)])
def test_a_change_of_what_the_record_holds_wins_whatever_its_clock_says(time: int, stamped: int) -> None:
    merged = merge(record(), seen("r2", time, name="new"), at(), EQUALS)
    assert (merged.outcome, merged.conflicts) == (Outcome.CHANGED, ())
    assert merged.record is not None
    assert merged.record.fields["name"] == Value("new", Stamp(stamped, "r2"))
    assert merged.record.fields["parent"] == Value("p", Stamp(100, "r1"))
    wanted = BASE | {"name": "new"}
    assert merged.desired == tuple(Desired(name, Kind.DOMAIN, "x", 6, wanted, BASE) for name in ("r1", "r3"))


CONFLICTS: list[tuple[str | None, str, int, str, int, bool]] = [
    # master, who had it and when, who comes with another value and when, whether the newcomer wins
    (None, "r1", 150, "r2", 151, True),
    (None, "r1", 150, "r2", 149, False),
    (None, "r1", 150, "r2", 150, False),  # a tie: r1 comes first in the priority
    (None, "r2", 150, "r1", 150, True),
    (None, "r2", 150, "r3", 150, False),
    ("r1", "r1", 150, "r2", 900, False),  # the master wins whatever the clocks say
    ("r2", "r1", 900, "r2", 150, True),
    ("r3", "r1", 150, "r2", 151, True),  # among the others time decides as ever
    ("r3", "r1", 150, "r2", 149, False),
    ("r2", "r1", 150, "r2", 1, True),
]


@pytest.mark.parametrize(("master", "holder", "held_at", "comer", "came_at", "wins"), CONFLICTS)
def test_of_two_changes_made_unknowingly_the_greater_stamp_wins_and_the_ledger_keeps_the_other(
    master: str | None, holder: str, held_at: int, comer: str, came_at: int, wins: bool
) -> None:
    old = named(record(), "held", held_at, holder)
    merged = merge(old, seen(comer, came_at, name="came"), at(), replace(EQUALS, master=master))
    held, came = ("held", Stamp(held_at, holder)), ("came", Stamp(came_at, comer))
    kept, lost = (came, held) if wins else (held, came)
    assert merged.record is not None and merged.record.fields["name"] == Value(*kept)
    assert merged.outcome is (Outcome.CHANGED if wins else Outcome.LOST)
    assert merged.conflicts == (Conflict("x", "name", "n", *kept, *lost),)
    told = {row.region for row in merged.desired}
    # The loser has the record on its way already: the result of that will send it once more.
    assert told == ({name for name in EQUALS.priority if name != comer} | {comer} if wins else set())


def test_who_lost_gets_the_record_once_nothing_is_on_its_way_there() -> None:
    old = named(record(), "held", 150, "r1")
    lost = merge(old, seen("r2", 149, name="mine"), at(10), EQUALS).record
    assert lost is not None
    settled = merge(lost, seen("r2", 149, applied=6, name="mine"), at(11), EQUALS)
    assert settled.outcome is Outcome.NOTHING_NEW
    assert settled.desired == (
        Desired("r2", Kind.DOMAIN, "x", 7, BASE | {"name": "held"}, BASE | {"name": "mine"}),
    )


def test_fields_are_judged_one_by_one() -> None:
    """The name lost; the network domain, which nobody else touched, is a plain change."""
    old = named(record(), "held", 300, "r1")
    merged = merge(old, seen("r2", 200, name="mine", networkdomain="mine"), at(), EQUALS)
    assert merged.outcome is Outcome.CHANGED
    assert merged.record is not None
    assert merged.record.desired() == BASE | {"name": "held", "networkdomain": "mine"}
    assert [conflict.field for conflict in merged.conflicts] == ["name"]


def test_a_field_that_the_kind_has_not_is_passed_over() -> None:
    assert merge(record(), seen("r2", nonsense="x"), at(), EQUALS).outcome is Outcome.NOTHING_NEW


# Rule 4


@pytest.mark.parametrize(
    ("applied", "left"), [(None, (4, 5, 6)), (3, (4, 5, 6)), (4, (5, 6)), (5, (6,)), (6, ()), (9, ())]
)
def test_a_result_settles_all_up_to_its_version_and_a_plain_reading_none(
    applied: int | None, left: tuple[int, ...]
) -> None:
    sent = tuple(Sent(version, dict(BASE)) for version in (4, 5, 6))
    merged = merge(record(r2=RegionState(None, sent)), seen("r2", applied=applied), at(), EQUALS)
    assert merged.record is not None
    assert tuple(one.version for one in merged.record.region("r2").sent) == left
    assert merged.record.region("r2").confirmed == BASE


# Rule 5


def test_a_region_that_joins_is_sent_what_all_hold() -> None:
    joined = Topology((*EQUALS.priority, "r4"))
    merged = merge(record(), seen("r1"), at(), joined)
    assert merged.desired == (Desired("r4", Kind.DOMAIN, "x", 6, BASE, None),)
    again = merge(merged.record, seen("r1"), at(11), joined)
    assert again.desired == ()


def test_a_region_that_stays_away_is_remembered_so_many_and_no_more() -> None:
    now: Record | None = record()
    for turn in range(SENT_KEPT + 5):
        now = merge(now, seen("r1", 200 + turn, name=f"n{turn}"), at(10 + turn), EQUALS).record
    assert now is not None
    kept = now.region("r2").sent
    assert len(kept) == SENT_KEPT
    assert kept[-1] == Sent(now.version, now.desired())
    assert kept[0] == Sent(6, BASE | {"name": "n0"}), "which may have been written and not told"
    assert now.region("r1").sent == ()


def test_what_was_written_too_many_changes_ago_to_be_remembered_is_no_news() -> None:
    now: Record | None = record()
    for turn in range(SENT_KEPT * 2):
        now = merge(now, seen("r1", 200 + turn, name=f"n{turn}"), at(10 + turn), EQUALS).record
    assert now is not None
    long_ago = 6 + SENT_KEPT
    assert long_ago not in {one.version for one in now.region("r2").sent}
    word = seen("r2", 900, name=f"n{SENT_KEPT}", applied=long_ago)
    merged = merge(now, replace(word, unseen=()), at(900), EQUALS)
    assert (merged.outcome, merged.desired, merged.conflicts) == (Outcome.NOTHING_NEW, (), ())
    told = merge(now, replace(word, unseen=("name",)), at(900), EQUALS)
    assert told.record is not None and told.conflicts, "unless apply says that it is not what was sent"


@pytest.mark.parametrize(
    ("wanted", "got", "unseen"),
    [(BASE, BASE, ()), (BASE, BASE | {"name": "x"}, ("name",)), (None, BASE, None), (BASE, None, None)],
)
def test_an_apply_says_which_fields_are_not_as_they_were_sent(
    wanted: dict[str, str] | None, got: dict[str, str] | None, unseen: tuple[str, ...] | None
) -> None:
    assert unlike(wanted, got) == unseen


# Rule 2a, what it costs


def test_what_was_changed_back_before_it_was_read_is_no_change() -> None:
    """No answer tells it from what was there all along."""
    changed = merge(record(), seen("r1", 200, name="new"), at(10), EQUALS).record
    back = merge(changed, seen("r2", 300), at(11), EQUALS)
    assert (back.outcome, back.desired, back.conflicts) == (Outcome.NOTHING_NEW, (), ())


# What no call can clear


def zoned(region: str, zone: str, time: int = 200) -> Observation:
    fields = {"name": "u", "timezone": zone, "parent": "a"}
    return Observation(region, Kind.USER, "x", fields, time)


def test_an_empty_time_zone_never_wins_over_a_set_one() -> None:
    """No API call clears it: an empty one is what creation left, however late it is seen."""
    born = merge(None, zoned("r1", "UTC", 200), at(1), EQUALS).record
    merged = merge(born, zoned("r2", "", 900), at(2), EQUALS)
    assert merged.record is not None
    assert merged.record.fields["timezone"].text == "UTC"
    assert merged.conflicts == ()
    assert merged.record.region("r2").expected == {"name": "u", "timezone": "UTC", "parent": "a"}


def test_a_set_time_zone_always_follows_an_empty_one() -> None:
    """However the clocks stand: the region had not confirmed anything, and is of lower priority."""
    born = merge(None, zoned("r1", "", 200), at(1), EQUALS).record
    merged = merge(born, zoned("r2", "UTC", 200), at(2), EQUALS)
    assert merged.record is not None
    assert merged.record.fields["timezone"] == Value("UTC", Stamp(201, "r2"))
    assert merged.conflicts == ()
