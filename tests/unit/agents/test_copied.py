"""Regions that share UUIDs: one was copied from another, or came in with what it had."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine

from pipeline.core.records import Observation
from pipeline.outbox.schema import conflict
from tests.unit.agents.regions import NOW, Log, account, domain
from tests.unit.agents.test_early import found
from tests.unit.outbox.builders import rows


def changed(seen: Observation, **values: str) -> Observation:
    return replace(seen, fields=dict(seen.fields or {}) | values)


def linked(log: Log) -> None:
    """`one` in the first region is `two` in the second, and has another name by now."""
    log.say(account("r1", "one", "acme"))
    log.say(account("r2", "two", "acme"))
    log.say(account("r1", "one", "renamed"))


def test_a_copied_region_has_what_another_one_knows_by_that_uuid(log: Log) -> None:
    linked(log)
    log.say(found(account("r3", "two", "acme")))
    assert log.store.canonical([("r3", "two")]) == {("r3", "two"): "one"}
    assert log.store.load(["two"]) == {}
    assert log.record("one").fields["name"].text == "renamed"


def test_one_whose_other_uuid_is_known_there_stays_another(log: Log) -> None:
    linked(log)
    log.say(account("r3", "one", "renamed"))
    log.say(account("r3", "two", "unlike"))
    assert log.store.canonical([("r3", "two")]) == {("r3", "two"): "two"}


def test_the_first_sight_by_a_scan_gives_way_whatever_the_clocks_say(log: Log, engine: Engine) -> None:
    log.say(domain("r1", "dom", time=NOW))
    log.say(found(changed(domain("r2", "dom", time=NOW + 10_000), networkdomain="own.example")))
    assert log.record("dom").fields["networkdomain"].text == ""
    (line,) = rows(engine, conflict)
    assert (line["kept"], line["lost"], line["lost_region"]) == ("", "own.example", "r2")


def test_a_later_change_there_wins_all_the_same(log: Log) -> None:
    log.say(domain("r1", "dom", time=NOW))
    log.say(found(domain("r2", "dom", time=NOW)))
    log.say(found(changed(domain("r2", "dom", time=NOW + 10_000), networkdomain="new.example")))
    assert log.record("dom").fields["networkdomain"].text == "new.example"
