"""A removal takes along what is below, although CloudStack says nothing of it; and nothing is left below."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine

from pipeline.core import topics
from pipeline.core.entities import ROOT, Kind
from pipeline.core.merge import Outcome
from pipeline.core.records import Observation
from pipeline.outbox.schema import conflict
from tests.unit.agents.regions import NOW, Log, account, domain, gone, user
from tests.unit.outbox.builders import rows


def everywhere(log: Log) -> None:
    """A domain with an account and its user, in all regions."""
    for one in (domain("r1", "d"), account("r1", "acc", parent="d"), user("r1", "u")):
        log.applied(*log.say(one))


def test_a_removal_is_sent_to_the_others(log: Log) -> None:
    everywhere(log)
    sent = log.say(gone("r1", Kind.USER, "u"))
    assert [(one.region, one.fields) for one in sent] == [("r2", None), ("r3", None)]


def test_the_ones_below_are_to_be_read_where_it_was_removed(log: Log) -> None:
    everywhere(log)
    hints = log.hinted(log.seen(gone("r1", Kind.DOMAIN, "d")))
    assert hints == {topics.events("r1"): {(Kind.ACCOUNT, "acc")}}
    hints = log.hinted(log.seen(gone("r1", Kind.ACCOUNT, "acc")))
    assert hints == {topics.events("r1"): {(Kind.USER, "u")}}


def test_what_a_region_lost_or_never_had_took_nothing_along(log: Log) -> None:
    """Nobody removed it: those below are for the scan to find. Read now, they would look removed."""
    everywhere(log)
    lost = replace(gone("r1", Kind.ACCOUNT, "acc"), lost=True)
    assert log.hinted(log.seen(lost)) == {}


def test_a_redelivered_removal_says_it_again(log: Log) -> None:
    everywhere(log)
    seen = log.seen(gone("r1", Kind.ACCOUNT, "acc"))
    log.merger.batch([seen])  # and the hub died before it could commit and publish
    first = log.hinted(seen)
    assert log.hinted(seen) == first == {topics.events("r1"): {(Kind.USER, "u")}}


def test_hints_name_the_uuid_that_the_region_knows(log: Log) -> None:
    everywhere(log)
    log.say(account("r2", "acc"), user("r2", "local", "second"), user("r3", "other", "second"))
    hints = log.hinted(log.seen(gone("r3", Kind.ACCOUNT, "acc")))
    assert hints[topics.events("r3")] == {(Kind.USER, "u"), (Kind.USER, "other")}


def test_what_is_made_below_a_removed_one_is_removed(log: Log, engine: Engine) -> None:
    everywhere(log)
    log.say(gone("r1", Kind.ACCOUNT, "acc"))
    sent = log.say(user("r2", "late"))
    assert [(one.region, one.uuid, one.fields) for one in sent] == [("r2", "late", None)]
    assert not log.record("late").life.present
    assert [(row["entity"], row["field"], row["kept"]) for row in rows(engine, conflict)] == [
        ("late", "life", "removed")
    ]


def test_what_is_made_below_a_removed_one_in_one_batch_with_the_removal_is_removed(log: Log) -> None:
    everywhere(log)
    log.say(gone("r1", Kind.DOMAIN, "d"), domain("r2", "late", parent="d"))
    assert not log.record("late").life.present


def test_nothing_is_moved_below_a_removed_one(log: Log) -> None:
    everywhere(log)
    log.applied(*log.say(domain("r1", "other")))
    log.applied(*log.say(domain("r1", "target")))
    log.say(gone("r1", Kind.DOMAIN, "target"))
    sent = log.say(domain("r2", "other", parent="target", time=NOW + 60_000))
    assert log.record("other").parent == ROOT
    assert [(one.region, (one.fields or {})["parent"]) for one in sent] == [("r2", ROOT)]


def test_what_was_moved_below_before_the_removal_was_known_is_taken_back(log: Log) -> None:
    everywhere(log)
    log.applied(*log.say(domain("r1", "other")))
    log.applied(*log.say(domain("r1", "target")))
    log.say(domain("r2", "other", parent="target", time=NOW + 10))
    assert log.record("other").parent == "target"
    log.say(gone("r1", Kind.DOMAIN, "target", time=NOW + 20))
    log.say(domain("r1", "other", time=NOW + 30))
    assert log.record("other").parent == ROOT
    assert log.record("other").life.present


def test_what_never_reached_the_region_of_the_removal_goes_too(log: Log) -> None:
    everywhere(log)
    log.say(user("r2", "late"))
    seen = log.seen(gone("r1", Kind.ACCOUNT, "acc"))
    assert (Kind.USER, "late") in log.hinted(seen)[topics.events("r1")]
    assert log.outcome(gone("r1", Kind.USER, "late")) is Outcome.REMOVED
    assert not log.record("late").life.present


def test_a_region_that_never_had_it_does_not_remove_it(log: Log) -> None:
    log.say(user("r1", "u", parent=ROOT))
    assert log.outcome(gone("r2", Kind.USER, "u")) is Outcome.NOTHING_NEW
    assert log.record("u").life.present


def test_what_is_removed_does_not_come_back_with_an_old_word_of_it(log: Log) -> None:
    everywhere(log)
    log.say(gone("r1", Kind.USER, "u"))
    assert log.say(user("r2", "u", "renamed", time=NOW + 60_000)) == []
    assert not log.record("u").life.present


def test_what_was_made_below_it_in_the_same_batch_is_read_too(log: Log) -> None:
    """Its record is not in the store yet when the removal is merged."""
    log.applied(*log.say(domain("r1", "dom"), account("r1", "acc", parent="dom")))
    _, (batch,) = log.merge([log.seen(user("r1", "usr")), log.seen(gone("r1", Kind.ACCOUNT, "acc"))])
    assert [one.key for one in batch.below.hints(log.store)] == [b"usr"]


def test_of_two_hubs_that_remove_and_place_at_once_one_finds_the_other(log: Log) -> None:
    """Each decides before the other has committed."""
    log.applied(*log.say(domain("r1", "dom"), account("r1", "acc", parent="dom")))
    placing = log.merger.batch([log.seen(user("r2", "usr"))])
    removing = log.merger.batch([log.seen(gone("r1", Kind.ACCOUNT, "acc"))])
    log.store.commit(removing.changes, NOW)
    assert removing.below.hints(log.store) == []
    log.store.commit(placing.changes, NOW)
    (hint,) = placing.below.hints(log.store)
    assert (hint.topic, hint.key) == (topics.events("r1"), b"usr")


def test_the_ones_below_what_went_before_anybody_read_it_are_read(log: Log) -> None:
    """An account and its user were made and removed together: only the user was read in between."""
    log.say(user("r1", "usr"))
    hints = log.hinted(log.seen(gone("r1", Kind.ACCOUNT, "acc")))
    assert hints == {topics.events("r1"): {(Kind.USER, "usr")}}


def lost(region: str, kind: Kind, uuid: str) -> Observation:
    return replace(gone(region, kind, uuid), lost=True)


def test_what_was_lost_with_an_account_that_nobody_was_told_of_is_gone(log: Log, engine: Engine) -> None:
    """A backup was restored from before both were made, and only the user was read in between: it would wait
    for its account for ever, everywhere."""
    log.say(user("r1", "usr", parent="never told"))
    sent = log.say(lost("r1", Kind.USER, "usr"))
    assert not log.record("usr").life.present
    assert {(one.region, one.fields) for one in sent} == {("r1", None), ("r2", None), ("r3", None)} - {
        ("r1", None)
    }
    assert [one["kept"] for one in rows(engine, conflict)] == ["removed"]


def test_what_another_region_holds_is_not_gone_though_its_account_is_not_told_of_yet(log: Log) -> None:
    """It was moved there, and word of the account is on its way."""
    log.applied(*log.say(account("r1", "acc"), user("r1", "usr")))
    log.say(user("r1", "usr", parent="not yet told"))
    log.say(lost("r2", Kind.USER, "usr"))
    assert log.record("usr").life.present


def test_what_was_lost_in_an_account_that_is_known_is_made_again(log: Log) -> None:
    log.say(account("r1", "acc"), user("r1", "usr"))
    log.say(lost("r1", Kind.USER, "usr"))
    assert log.record("usr").life.present


def test_an_account_that_was_lost_before_anybody_read_it_took_nothing_along(log: Log) -> None:
    """Nobody removed it, so an absent user below it is no removal either."""
    log.say(user("r1", "usr"))
    assert log.hinted(log.seen(lost("r1", Kind.ACCOUNT, "acc"))) == {}
