"""The merger on a store: births, twins, what becomes of the ones below, founders."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline.core import topics
from pipeline.core.entities import ROOT, Kind
from pipeline.core.events import AGAIN, parse_event
from pipeline.core.merge import Outcome
from pipeline.core.records import Observation
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import conflict, entity, outbox
from tests.unit.agents.regions import NOW, Log, account, domain, gone, user
from tests.unit.outbox.builders import Clock, fields, rows


def test_what_nobody_knew_becomes_a_record_and_is_sent_to_the_others(log: Log) -> None:
    sent = log.say(domain("r1", "d", "Sales"))
    assert [(one.region, one.uuid, one.version) for one in sent] == [("r2", "d", 1), ("r3", "d", 1)]
    assert {one.known for one in sent} == {None}
    assert sent[0].fields == {"name": "Sales", "networkdomain": "", "parent": ROOT}
    assert log.store.canonical([("r1", "d")]) == {("r1", "d"): "d"}


def test_what_nobody_knew_and_is_not_there_is_nothing(log: Log, engine: Engine) -> None:
    assert log.outcome(gone("r1", Kind.USER, "u")) is Outcome.NOTHING_NEW
    assert rows(engine, entity) == []


def test_a_word_of_absence_does_not_hide_what_was_made_since(log: Log, engine: Engine) -> None:
    """It was on its way while the worker made the entity, and says so first: only the record is behind."""
    log.say(account("r1", "acc"), user("r1", "u"))
    region = RegionStore(engine, "r2", Clock())
    region.came_with("acc", ["u"])
    log.say(replace(gone("r2", Kind.USER, "u"), lost=True))
    assert region.here(["u"]) == {"u"}
    log.say(user("r2", "u"))
    log.say(replace(gone("r2", Kind.USER, "u"), lost=True))
    assert region.here(["u"]) == set(), "it was seen there before"


def test_a_batch_is_merged_in_its_order(log: Log) -> None:
    sent = log.say(domain("r1", "d", "one"), domain("r1", "d", "two"), domain("r1", "d", "three"))
    assert log.record("d").fields["name"].text == "three"
    assert [one.version for one in sent if one.region == "r2"] == [1, 2, 3]


def test_a_batch_that_is_taken_again_changes_nothing(log: Log, engine: Engine) -> None:
    seen = [log.seen(domain("r1", "d")), log.seen(account("r1", "acc", parent="d"))]
    log.merge(seen)
    before = rows(engine, entity), rows(engine, outbox)
    sent, batches = log.merge(seen)
    assert sent == []
    assert [one for batch in batches for one in batch.outcomes] == [Outcome.REDELIVERED] * 2
    assert (rows(engine, entity), rows(engine, outbox)) == before


TWINS = [
    pytest.param(domain("r1", "d-1", "Sales"), domain("r2", "d-2", "Sales"), id="domain"),
    pytest.param(account("r1", "a-1", "acme"), account("r2", "a-2", "acme"), id="account"),
    pytest.param(user("r1", "u-1", "ann", ROOT), user("r2", "u-2", "ann", ROOT), id="user"),
    pytest.param(domain("r1", "d-1", "Straße"), domain("r2", "d-2", "STRASSE"), id="case"),
]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("first", "second"), TWINS)
def test_what_two_regions_made_alike_is_one_record(
    first: Observation, second: Observation, together: bool, log: Log, engine: Engine
) -> None:
    if together:
        log.say(first, second)
    else:
        log.say(first)
        log.say(second)
    assert [row["uuid"] for row in rows(engine, entity)] == [first.uuid]
    pairs = {("r1", first.uuid), ("r2", second.uuid)}
    assert log.store.canonical(pairs) == dict.fromkeys(pairs, first.uuid)
    assert log.record(first.uuid).region("r2").confirmed is not None


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(domain("r1", "other", "Sales"), id="of the same region"),
        pytest.param(domain("r2", "other", "Sales", "elsewhere"), id="below another parent"),
        pytest.param(account("r2", "other", "Sales"), id="of another kind"),
    ],
)
def test_what_is_alike_but_not_the_same_stays_apart(second: Observation, log: Log, engine: Engine) -> None:
    log.say(domain("r1", "d", "Sales"))
    log.say(second)
    assert {row["uuid"] for row in rows(engine, entity)} == {"d", "other"}


def test_what_is_below_a_twin_is_below_the_one_record_and_is_a_twin_itself(log: Log, engine: Engine) -> None:
    log.say(account("r1", "a-1", "acme", founder="u-1"), user("r1", "u-1", "ann", "a-1"))
    log.say(user("r2", "u-2", "bob", "a-2"), account("r2", "a-2", "acme"), user("r2", "u-3", "ANN", "a-2"))
    assert {row["uuid"]: row["parent"] for row in rows(engine, entity)} == {
        "a-1": ROOT,
        "u-1": "a-1",
        "u-2": "a-1",
    }
    assert log.store.canonical([("r2", "u-3")]) == {("r2", "u-3"): "u-1"}
    assert log.record("u-2").region("r2").confirmed == fields(Kind.USER, "bob", "a-1")


def test_what_is_on_its_way_below_a_twin_names_the_one_record(log: Log) -> None:
    log.say(domain("r2", "d-2b", "below", "d-2"))
    log.say(domain("r1", "d-1", "Sales"))
    log.say(domain("r2", "d-2", "Sales"))
    record = log.record("d-2b")
    assert record.parent == "d-1"
    assert {one.fields["parent"] for one in record.region("r1").sent if one.fields} == {"d-1"}
    assert log.say(domain("r2", "d-2b", "below", "d-2")) == []


def test_twins_that_differ_are_a_conflict_with_a_winner(log: Log, engine: Engine) -> None:
    log.say(domain("r1", "d-1", "Sales"))
    later = fields(Kind.DOMAIN, "Sales", ROOT) | {"networkdomain": "late.example"}
    sent = log.say(Observation("r2", Kind.DOMAIN, "d-2", later, NOW + 60_000))
    assert {one.region for one in sent} == {"r1", "r2", "r3"}, "r2 too: the older name is on its way there"
    assert log.record("d-1").fields["networkdomain"].text == "late.example"
    (row,) = rows(engine, conflict)
    assert (row["field"], row["kept"], row["lost"]) == ("networkdomain", "late.example", "")


def test_an_account_brings_the_user_that_its_region_named(log: Log) -> None:
    """The other regions make the account with that user: it has a record from the first moment on."""
    seen = log.seen(account("r1", "acc", founder="ann"))
    sent, (batch,) = log.merge([seen])
    assert [(one.region, one.uuid) for one in sent] == [
        ("r2", "acc"),
        ("r3", "acc"),
        ("r2", "ann"),
        ("r3", "ann"),
    ]
    assert log.record("ann").parent == "acc"
    (hint,) = batch.below.hints(log.store)
    assert (hint.topic, hint.key) == (topics.events("r1"), b"ann"), "its own word may have been dropped"


@pytest.mark.parametrize("together", [False, True])
def test_a_user_that_is_known_already_is_not_taken_from_its_account(together: bool, log: Log) -> None:
    own = replace(user("r1", "ann"), fields={**fields(Kind.USER, "ann", "acc"), "email": "newer"})
    acc = account("r1", "acc", founder="ann")
    for batch in ([own, acc],) if together else ([own], [acc]):
        log.say(*batch)
    assert log.record("ann").fields["email"].text == "newer"
    assert log.record("ann").version == 1


def test_a_user_is_not_born_again_with_an_account_that_is_renamed(log: Log) -> None:
    log.applied(*log.say(account("r1", "acc", founder="ann")))
    log.applied(*log.say(gone("r1", Kind.USER, "ann")))
    sent = log.say(account("r1", "acc", "renamed", founder="ann"))
    assert {one.uuid for one in sent} == {"acc"}
    assert not log.record("ann").life.present


def test_word_of_a_uuid_that_was_replaced_there_removes_nothing(log: Log, engine: Engine) -> None:
    log.say(domain("r1", "d"))
    RegionStore(engine, "r2", lambda: NOW).mint("d", Kind.DOMAIN, "d-2", NOW)
    log.say(domain("r2", "d-2", "d"))
    assert log.outcome(gone("r2", Kind.DOMAIN, "d")) is Outcome.NOTHING_NEW
    assert log.record("d").region("r2").confirmed is not None
    log.say(gone("r2", Kind.DOMAIN, "d-2"))
    assert not log.record("d").life.present


def test_who_is_not_believed_is_asked_again(log: Log) -> None:
    log.say(domain("r1", "d"))
    log.say(replace(domain("r2", "d"), term=7))
    old = log.seen(replace(domain("r2", "d", "old"), term=6))
    for _ in range(2):  # a redelivery asks too: the hub may have died before it had asked
        _, (batch,) = log.merge([old])
        (message,) = batch.below.hints(log.store)
        event = parse_event(message.value)
        assert (message.topic, event.uuid, event.type) == (topics.events("r2"), "d", AGAIN)


def test_word_that_a_new_region_lacks_it_does_not_undo_its_link_in_the_same_batch(log: Log) -> None:
    """A scan of a region that joins asks for both: for what is there under another UUID, and for ours."""
    log.say(domain("r1", "ours", "Sales"))
    theirs = log.seen(domain("r2", "theirs", "sales"))
    ours = log.seen(replace(gone("r2", Kind.DOMAIN, "ours"), lost=True))
    log.merge([theirs, ours])
    assert (log.record("ours").region("r2").confirmed or {})["name"] == "sales"
    assert log.store.locals([("ours", "r2")]) == {("ours", "r2"): "theirs"}
