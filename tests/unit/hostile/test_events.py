"""Events: the parser, the bridge's sieve, and the rows of a region's event log."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.relay import Counters, Record, Relay
from bridges.rows import ROUTE_MAX, Position, concerns_us, message
from bridges.sieve import Dropped, Hint, judge, judge_any
from pipeline.core.events import ENTITY_MAX, Event, Unreadable, hint, parse_event
from tests.component.bridges.recording import messages
from tests.unit.bridges.sinks import HeldSink
from tests.unit.hostile.junk import BOMBS, CALM, JSON, TEXT, bounded, dumped, within
from tests.unit.hostile.mutating import damaged

RECORDED = [*messages()][::7]
CORPUS = [one.body for one in RECORDED]
ROUTE = next(one.routing_key for one in RECORDED if ".ActionEvent.USER-UPDATE.User." in one.routing_key)
GOOD = {
    "event": "USER.UPDATE",
    "entity": "User",
    "entityuuid": "u",
    "status": "Completed",
    "eventDateTime": "2026-11-23 08:18:10 +0000",
}
MEMORY_MAX_MIB = 64


def read(body: bytes) -> None:
    """By both ways in: an event with what everything behind relies on, or the one declared refusal."""
    try:
        event = parse_event(body)
    except Unreadable as error:
        assert len(str(error)) < 300
    else:
        check(event)
    verdicts = []
    for way in (judge, judge_any):
        try:
            verdicts.append(str(way(ROUTE, body)))
        except Unreadable as error:
            verdicts.append(str(error))
    assert verdicts[0] == verdicts[1]


def check(event: Event) -> None:
    assert event.type and event.status and len(event.type) <= 100
    assert event.uuid is None or (len(event.uuid.encode()) > 0 and "\0" not in event.uuid)
    if event.uuid is not None:
        assert len(event.uuid) <= ENTITY_MAX
        assert parse_event(hint(event.kind, event.uuid, event.time)).time == event.time


@pytest.mark.parametrize("rounds", [3_000, pytest.param(300_000, marks=pytest.mark.slow)])
def test_damaged_recordings_are_read_or_refused(rounds: int) -> None:
    for body in damaged(CORPUS, seed=6, rounds=rounds):
        read(body)


@CALM
@given(st.dictionaries(st.sampled_from((*GOOD, "user", "Account", "username")) | TEXT, JSON))
def test_any_object_is_read_or_refused(changed: dict[str, Any]) -> None:
    read(dumped(GOOD | changed))


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_within_bounds(bomb: str) -> None:
    bare = BOMBS[bomb]
    inside = within(json.dumps(GOOD | {"x": "@"}).encode().replace(b'"@"', b"?"), bare)
    with bounded(MEMORY_MAX_MIB):
        read(bare)
        read(inside)


ROUTES = st.text(st.characters(codec="utf-8"), max_size=40) | st.binary(max_size=40)
"""As pika gives them: bytes where they are not UTF-8."""


@CALM
@given(ROUTES | st.just(ROUTE), st.binary(max_size=200) | JSON.map(dumped))
def test_the_relay_settles_every_message(routing_key: str | bytes, body: bytes) -> None:
    """As a hint, as nothing, or whole as a dead letter, by a record that Kafka's client can encode."""
    sink = HeldSink()
    settled: list[bool] = []
    relay = Relay("r1", "amqp", sink, Counters(), lambda: 7)
    relay.take(routing_key, body, lambda: settled.append(True))
    for record, _ in sink.held:
        encoded(record)
    sink.poll()
    assert settled == [True]


def encoded(record: Record) -> None:
    for _, value in record.headers:
        assert isinstance(value, bytes) or (value or "").encode() is not None


ROWS = st.dictionaries(
    st.sampled_from(
        ("id", "type", "state", "resourcetype", "resourceid", "created", "username", "account", "level")
    ),
    JSON | st.sampled_from(["User", "USER.UPDATE", "Completed", "2026-11-23T08:18:10+0000"]),
)


@CALM
@given(st.lists(ROWS, max_size=4))
def test_any_row_of_an_event_log_becomes_a_message(rows: list[dict[str, Any]]) -> None:
    position = Position(0, 30_000)
    for row in rows:
        if position.is_new(row, 5) and concerns_us(row):
            routing_key, body = message(row)
            assert len(routing_key.encode()) <= ROUTE_MAX * 4
            try:
                verdict = judge(routing_key, body)
                assert isinstance(verdict, Hint | Dropped)
            except Unreadable:
                pass
    position.advance(5, 2_000_000_000_000)
    assert position.since <= 2_000_000_000_000
