"""What `replay` understands, and what it says before it does anything."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
import typer
from confluent_kafka import Producer

from pipeline import wire
from pipeline.cli.replaying import code_of, parse_start
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.errors import PermanentError
from pipeline.core.replay import Touched
from pipeline.embedded import EmbeddedBroker
from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.hub import HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import audit, outbox, watermark
from pipeline.reconcile.bus import TopicReader
from pipeline.reconcile.replaying import Ended, Replayed
from pipeline.reconcile.sent import sent_since
from tests.unit.cli.conftest import Call
from tests.unit.outbox.builders import NOW, Clock, desired, keep, record, removed, rows, settled

TOPIC, REVOKE = topics.desired("berlin"), topics.revoke("berlin")


@pytest.mark.parametrize(
    ("text", "since", "offsets"),
    [
        ("beginning", 0, 0),
        ("2h", NOW - 7_200_000, 0),
        ("2026-11-23T08:00", 1_795_420_800_000, 0),
        ("4711", None, 4711),
        ("0", None, 0),
        ("0:12", None, {0: 12}),
        ("0:12,3:0", None, {0: 12, 3: 0}),
    ],
)
def test_where_it_begins(text: str, since: int | None, offsets: int | Mapping[int, int]) -> None:
    start = parse_start(text, NOW)
    assert (start.said, start.since, start.offsets) == (text, since, offsets)


@pytest.mark.parametrize("text", ["", "0:", ":1", "1:2,", "1:2;3:4", "-1", "yesterday"])
def test_what_is_no_beginning(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no time"):
        parse_start(text, NOW)


@pytest.mark.parametrize(
    ("more", "words"),
    [("active: false", "region berlin is not active"), ("mode: paused", "region berlin is paused")],
)
def test_where_nobody_would_apply_anything_nothing_is_begun(
    region_sync: Call, config: str, more: str, words: str
) -> None:
    path = Path(config)
    path.write_text(path.read_text().replace("name: berlin,", f"name: berlin, {more},"))
    ended = region_sync("replay", "--region", "berlin", "--from", "1h", "-c", config)
    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err


def test_a_dry_run_says_how_much_it_would_be_and_writes_nothing(
    region_sync: Call, config: str, url: str
) -> None:
    migrate(url)
    engine = open_database(url)
    dom, acc = record(Kind.DOMAIN, "dom"), record(Kind.ACCOUNT, "acc", parent="dom")
    keep(HubStore(engine, Clock()), dom, acc, removed(record(Kind.USER, "u", parent="acc")), sent=("berlin",))
    asked = ("replay", "--region", "berlin", "--from", "beginning", "--dry-run", "-c", config)
    before = [rows(engine, table) for table in (outbox, watermark, audit)]
    assert region_sync(*asked, "--json").json() == {
        "region": "berlin",
        "resumed": False,
        "kinds": {"Account": 1, "Domain": 1, "User": 1},
        "entities": 3,
        "removed": 1,
        "calls_at_most": 5 + 2 + 2,
    }
    ended = region_sync(*asked)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        "berlin: 3 entities would be applied again (1 Account, 1 Domain, 1 User; 1 of them removed).\n"
        "One read each, and at most 9 calls that change something; none where all is right.\n"
    )
    assert [rows(engine, table) for table in (outbox, watermark, audit)] == before
    engine.dispose()


def test_what_waits_for_a_person_is_left_and_named(region_sync: Call, config: str, url: str) -> None:
    migrate(url)
    engine = open_database(url)
    user = record(Kind.USER, "u")
    keep(HubStore(engine, Clock()), user, regions=("berlin",), sent=("berlin",))
    RegionStore(engine, "berlin", Clock()).settle([settled(user, "held", message="many")], NOW)
    asked = ("replay", "--region", "berlin", "--from", "beginning", "-c", config)
    ended = region_sync(*asked)
    assert (ended.code, ended.err) == (2, "")
    words = "a person is asked about it, or has said that it stays"
    assert ended.out == (f"left out: User u: {words}\nberlin: 0 applied again, 1 left out, 0 not done.\n")
    assert region_sync(*asked, "--json").json() == {
        "region": "berlin",
        "done": 0,
        "before": 0,
        "waiting": 0,
        "left_out": [{"kind": "User", "uuid": "u", "message": words}],
        "failed": [],
    }
    assert [one["action"] for one in rows(engine, audit)] == ["replay", "replay"]
    engine.dispose()


def test_where_there_is_nothing_to_do_it_is_done(region_sync: Call, config: str, url: str) -> None:
    migrate(url)
    ended = region_sync("replay", "--region", "berlin", "--from", "2h", "-c", config)
    assert (ended.code, ended.out) == (0, "berlin: 0 applied again, 0 left out, 0 not done.\n")


def test_the_exit_code_tells_the_worst() -> None:
    one = Ended(Touched("u", Kind.USER, "a", True), "why")
    assert code_of(Replayed(done=3)) == 0
    assert code_of(Replayed(left_out=[one])) == 2
    assert code_of(Replayed(left_out=[one], failed=[one])) == 1
    assert code_of(Replayed(waiting=1)) == 1


def test_offsets_need_the_broker_and_say_so(region_sync: Call, config: str, url: str) -> None:
    migrate(url)
    ended = region_sync("replay", "--region", "berlin", "--from", "0:7", "--dry-run", "-c", config)
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert "the embedded broker is not running" in ended.err


def test_an_offset_names_the_entities_that_were_sent_since() -> None:
    with EmbeddedBroker() as broker:
        broker.ensure_topics([TOPIC, REVOKE])
        producer = Producer({"bootstrap.servers": broker.address, "log_level": "2"})
        for number in range(6):
            value = wire.encode(desired(record(Kind.USER, f"u{number}"), "berlin"))
            producer.produce(TOPIC, value, b"key", partition=number % 2)
        producer.produce(TOPIC, b"nonsense", b"key", partition=0)
        assert producer.flush(20) == 0

        def named(offsets: int | dict[int, int]) -> set[str]:
            with (
                closing(TopicReader(broker.address, {}, TOPIC)) as sent,
                closing(TopicReader(broker.address, {}, REVOKE)) as revoked,
            ):
                return sent_since(sent, revoked, offsets)

        assert named(0) == {"u0", "u1", "u2", "u3", "u4", "u5"}
        assert named(2) == {"u4", "u5"}
        assert named({0: 1}) == {"u2", "u4"}
        assert named({0: 3, 1: 2}) == {"u5"}
        assert named({1: 9}) == set()
        with pytest.raises(PermanentError, match="has no partition 99"):
            named({99: 0})
