"""What `sync` and `reread` ask for: times as people write them, and one hint an entity."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import typer
from confluent_kafka import Consumer

from pipeline.broker import address_file, announced, brokers
from pipeline.cli.asking import parse_since
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.errors import TemporaryError
from pipeline.core.events import SCAN, parse_event
from pipeline.embedded import EmbeddedBroker
from pipeline.hints import Hint, changed, send
from pipeline.settings import Settings

NOW = 1_790_000_000_000
READ_LIMIT_S = 20.0


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("beginning", 0),
        ("90s", NOW - 90_000),
        ("30min", NOW - 1_800_000),
        ("30m", NOW - 1_800_000),
        ("2h", NOW - 7_200_000),
        ("3d", NOW - 259_200_000),
        ("999999999d", 0),
        ("2026-11-23", 1_795_392_000_000),
        ("2026-11-23T08:00", 1_795_420_800_000),
        ("2026-11-23T08:00:00Z", 1_795_420_800_000),
        ("2026-11-23 09:00+01:00", 1_795_420_800_000),
        ("1960-01-01", 0),
        ("0001-01-01T00:00+14:00", 0),
    ],
)
def test_since(text: str, ms: int) -> None:
    assert parse_since(text, NOW) == ms


@pytest.mark.parametrize("text", ["", "yesterday", "2x", "-2h", "2026-13-01"])
def test_no_time(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no time"):
        parse_since(text, NOW)


def row(kind: str, uuid: object, second: int, **more: str) -> Mapping[str, object]:
    return {
        "resourcetype": kind,
        "resourceid": uuid,
        "type": f"{kind.upper()}.UPDATE",
        "state": "Completed",
        "created": f"2026-11-23T08:00:{second:02}+0000",
    } | more


async def rows_of(*rows: Mapping[str, object]) -> AsyncIterator[Mapping[str, object]]:
    for one in rows:
        yield one


BASE = 1_795_420_800_000


async def test_one_hint_for_each_entity_at_its_last_event() -> None:
    found = await changed(
        "berlin",
        rows_of(
            row("User", "u-1", 1),
            row("Account", "a-1", 2),
            row("User", "u-1", 3),
            row("Account", "u-1", 4),
        ),
    )
    assert found == [
        Hint("berlin", Kind.ACCOUNT, "a-1", BASE + 2000),
        Hint("berlin", Kind.USER, "u-1", BASE + 3000),
        Hint("berlin", Kind.ACCOUNT, "u-1", BASE + 4000),
    ]


async def test_what_changed_nothing_is_not_read() -> None:
    rows: list[Mapping[str, object]] = [
        row("User", "u", 1, state="Started"),
        row("User", "u", 1, type="USER.LOGIN"),
        row("VirtualMachine", "vm", 1),
        row("User", None, 1),
        row("User", "", 1),
        row("User", "u", 1, created="some day"),
    ]
    assert await changed("berlin", rows_of(*rows)) == []


async def test_a_type_that_is_not_known_may_have_changed_anything() -> None:
    (found,) = await changed("berlin", rows_of(row("User", "u", 1, type="USER.NEWLY.INVENTED")))
    assert found.uuid == "u"


async def test_a_move_is_passed_on_as_it_was() -> None:
    (found,) = await changed("berlin", rows_of(row("User", "u", 1, type="USER.MOVE")))
    assert found.event is not None
    assert parse_event(found.event).type == "USER.MOVE"


async def test_hints_reach_the_regions_topics_as_events_of_our_own() -> None:
    with EmbeddedBroker() as broker:
        broker.ensure_topics([topics.events("berlin"), topics.events("tokyo")])
        hints = [
            Hint("berlin", Kind.USER, "u-1", BASE),
            Hint("tokyo", Kind.DOMAIN, "d-1", BASE + 1000),
        ]
        await send(broker.address, {}, hints)
        found = read(broker.address, 2)
    assert {(one["topic"], one["key"], one["event"].type, one["event"].time) for one in found} == {
        (topics.events("berlin"), b"u-1", SCAN, BASE),
        (topics.events("tokyo"), b"d-1", SCAN, BASE + 1000),
    }
    assert all(one["event"].completed for one in found)


def read(brokers: str, count: int) -> list[dict[str, Any]]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([topics.events("berlin"), topics.events("tokyo")])
    try:
        messages = consumer.consume(count, READ_LIMIT_S)
        return [
            {"topic": one.topic(), "key": one.key(), "event": parse_event(one.value() or b"")}
            for one in messages
        ]
    finally:
        consumer.close()


async def test_kafka_that_is_away_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.hints.TAKEN_WITHIN_S", 1)
    with pytest.raises(TemporaryError, match=r"\(at 127.0.0.1:1\)"):
        await send("127.0.0.1:1", {}, [Hint("berlin", Kind.USER, "u", BASE)])


def settings(database: str, kafka: str = "embedded") -> Settings:
    region = {"name": "berlin", "host": "http://h", "api_key": "k", "secret_key": "s"}
    return Settings.parse({"database": database, "kafka": kafka, "regions": [region]}, {})


def test_the_embedded_broker_is_found_while_it_runs(tmp_path: Any) -> None:
    chosen = settings(f"sqlite:///{tmp_path}/some.db?timeout=5")
    with pytest.raises(TemporaryError, match="is not running"):
        brokers(chosen)
    with announced(chosen, "127.0.0.1:4711"):
        assert (tmp_path / "some.db.broker").exists()
        assert brokers(chosen) == "127.0.0.1:4711"
    with pytest.raises(TemporaryError, match="is not running"):
        brokers(chosen)


def test_a_real_kafka_is_found_in_the_settings() -> None:
    assert brokers(settings("sqlite:///x.db", "a:1,b:2")) == "a:1,b:2"
    assert address_file("mysql+pymysql://u:p@h/n").name == "region-sync.broker"
