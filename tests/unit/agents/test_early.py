"""What a scan finds in something that nobody knows yet is put off until that is known."""

from __future__ import annotations

from dataclasses import replace

from pipeline.agents.early import TRIES, Early
from pipeline.agents.merge import Seen
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.events import SCAN, parse_event
from pipeline.core.records import Observation
from tests.unit.agents.regions import Log, account, domain, user

CREATED = 5_000


def found(seen: Observation) -> Observation:
    """By a scan."""
    return replace(seen, created=CREATED, cause=SCAN)


def put_off(early: Early, *seen: Seen) -> tuple[list[str], list[tuple[Kind, str]]]:
    """The UUIDs that are merged now, and what is asked for."""
    now, messages = early.put_off(seen)
    assert {one.topic for one in messages} <= {topics.events("r1")}
    events = [parse_event(one.value) for one in messages]
    assert all(event.type == SCAN for event in events)
    return [one.observation.uuid for one in now], [(event.kind, event.uuid or "") for event in events]


def test_a_child_waits_for_its_parent_and_both_are_asked_for(log: Log) -> None:
    early = Early(log.store)
    scanned = [log.seen(found(one)) for one in (user("r1", "usr"), account("r1", "acc", parent="dom"))]
    assert put_off(early, *scanned) == (
        [],
        [(Kind.ACCOUNT, "acc"), (Kind.USER, "usr"), (Kind.DOMAIN, "dom"), (Kind.ACCOUNT, "acc")],
    )
    at_the_top = log.seen(found(domain("r1", "dom")))
    assert put_off(early, at_the_top) == (["dom"], [])
    log.merge([at_the_top])
    assert put_off(early, *scanned) == (["acc"], [(Kind.ACCOUNT, "acc"), (Kind.USER, "usr")])
    log.merge([scanned[1]])
    assert put_off(early, *scanned) == (["usr", "acc"], [])


def test_what_is_linked_by_its_name_is_known(log: Log) -> None:
    log.say(domain("r2", "theirs", "shop"))
    early = Early(log.store)
    log.say(found(domain("r1", "ours", "shop")))
    assert put_off(early, log.seen(found(account("r1", "acc", parent="ours")))) == (["acc"], [])


def test_an_event_s_word_is_merged_at_once(log: Log) -> None:
    assert put_off(Early(log.store), log.seen(user("r1", "usr"))) == (["usr"], [])


def test_what_is_in_something_that_is_never_told_is_merged_in_the_end(log: Log) -> None:
    early, seen = Early(log.store), log.seen(found(user("r1", "usr")))
    for _ in range(TRIES):
        assert put_off(early, seen)[0] == []
    assert put_off(early, seen) == (["usr"], [])
