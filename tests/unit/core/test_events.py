"""Every shape of event that was recorded is read; everything else is refused with a reason.

data/events.jsonl holds one recorded message for each shape (type, entity, status, keys, success or not).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.entities import Kind
from pipeline.core.events import (
    ENTITY_MAX,
    HINT,
    KNOWN,
    MAX_BODY_BYTES,
    Event,
    Unreadable,
    changes_nothing,
    hint,
    known,
    parse_event,
    parse_time,
)

RECORDED = [
    json.loads(line) for line in (Path(__file__).parent / "data/events.jsonl").read_text().splitlines()
]
SYNCED = [one for one in RECORDED if one["routing_key"].split(".")[3] in set(Kind)]
OTHERS = [one for one in RECORDED if one not in SYNCED]


def shape(message: dict[str, str]) -> str:
    return message["routing_key"].split(".")[2] + "-" + str(json.loads(message["body"]).get("status"))


@pytest.mark.parametrize("message", SYNCED, ids=shape)
def test_every_recorded_shape_is_read(message: dict[str, str]) -> None:
    body = json.loads(message["body"])
    _, _, event_type, kind, uuid = message["routing_key"].split(".")
    event = parse_event(message["body"].encode())
    assert event.type.replace(".", "-") == event_type
    assert event.kind == kind
    assert (event.uuid or "*") == uuid
    assert event.uuid == body.get("entityuuid")
    assert event.status == body["status"]
    assert event.completed is (body["status"] == "Completed")
    assert event.actor == body.get("user", "")
    assert event.account == body.get("Account")
    assert event.time % 1000 == 0
    assert known(event), "a type that CloudStack raises is in the table"
    assert changes_nothing(event) is (body["status"] != "Completed" or not KNOWN[body["event"]])


@pytest.mark.parametrize("message", OTHERS, ids=shape)
def test_what_is_not_synced_is_refused_by_name(message: dict[str, str]) -> None:
    with pytest.raises(Unreadable, match=r"is not synced|'entity' is missing"):
        parse_event(message["body"].encode())


def test_the_recordings_hold_each_kind_announced_done_and_failed() -> None:
    seen = {(event.kind, event.status) for event in (parse_event(one["body"].encode()) for one in SYNCED)}
    assert {(kind, "Completed") for kind in Kind} <= seen
    assert any(json.loads(one["body"])["description"].startswith("Error") for one in SYNCED)
    assert any(parse_event(one["body"].encode()).uuid is None for one in SYNCED)


GOOD: dict[str, Any] = {
    "event": "USER.UPDATE",
    "entity": "User",
    "entityuuid": "u",
    "status": "Completed",
    "eventDateTime": "2026-11-23 08:18:10 +0000",
}


def body(**changed: Any) -> bytes:
    """A good body with some keys changed; None takes the key away."""
    fields = {key: value for key, value in (GOOD | changed).items() if value is not None}
    return json.dumps(fields).encode()


def test_only_what_is_there_is_told() -> None:
    assert parse_event(body()) == Event("USER.UPDATE", Kind.USER, "u", "Completed", 1_795_421_890_000)
    assert parse_event(body(entityuuid=None)).uuid is None
    assert parse_event(body(entityuuid="")).uuid is None
    told = parse_event(body(username="jo", accountname="acc", Account="a", user="c", account="of the caller"))
    assert (told.actor, told.actor_name, told.actor_account, told.account) == ("c", "jo", "acc", "a")


BAD: list[tuple[bytes, str]] = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"not json", "not JSON"),
    (body()[:-1], "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b"\xff\xfe{}", "not UTF-8"),
    (body().decode().encode("utf-16"), "not UTF-8"),
    (b"null", "not a JSON object"),
    (b"[]", "not a JSON object"),
    (b'"text"', "not a JSON object"),
    (b"7", "not a JSON object"),
    (b"{}", "key 'entity' is missing"),
    (b"x" * (1024 * 1024), "1048576 bytes is over the limit"),
    (body(description="x" * MAX_BODY_BYTES), "over the limit"),
    *((body(**{key: None}), f"key '{key}' is missing") for key in GOOD if key != "entityuuid"),
    *((body(**{key: ""}), f"key '{key}' is missing") for key in GOOD if key != "entityuuid"),
    *((body(**{key: 7}), f"key '{key}' is not text") for key in GOOD),
    *((body(**{key: ["x"]}), f"key '{key}' is not text") for key in GOOD),
    *((body(**{key: {}}), f"key '{key}' is not text") for key in GOOD),
    *((body(**{key: "\ud800"}), f"key '{key}' is not text") for key in GOOD),
    (body(user=1), "key 'user' is not text"),
    (body(Account=True), "key 'Account' is not text"),
    (body(entity="VirtualMachine"), "entity 'VirtualMachine' is not synced"),
    (body(entity="user"), "entity 'user' is not synced"),
    (body(entityuuid="x" * (ENTITY_MAX + 1)), "65 characters"),
    (body(eventDateTime="yesterday"), "time 'yesterday' is not one"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD, ids=[f"{n}-{reason}" for n, (_, reason) in enumerate(BAD)])
def test_bad_input_is_refused_with_the_reason(bad: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse_event(bad)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 200, "a reason goes into a header"


@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace")))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_event(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from((*GOOD, "user", "Account", "username")), JSON))
def test_any_object_is_read_or_refused(changed: dict[str, Any]) -> None:
    try:
        event = parse_event(json.dumps(GOOD | changed).encode())
    except Unreadable:
        return
    assert isinstance(event.kind, Kind) and event.type and event.status


TIMES = [
    ("2026-11-23 08:18:10 +0000", 1_795_421_890_000),
    ("2026-11-23T08:18:10+0000", 1_795_421_890_000),
    ("2026-11-23 10:18:10 +0200", 1_795_421_890_000),
    ("2026-11-23 02:48:10 -0530", 1_795_421_890_000),
    ("1970-01-01 00:00:00 +0000", 0),
    ("1969-12-31 23:59:59 +0000", -1000),
]


@pytest.mark.parametrize(("text", "time"), TIMES)
def test_times(text: str, time: int) -> None:
    assert parse_time(text) == time


BAD_TIMES = [
    "",
    "now",
    "2026-11-23",
    "2026-11-23 08:18:10",
    "2026-13-01 00:00:00 +0000",
    "2026-02-30 00:00:00 +0000",
    "2026-11-23 24:00:01 +0000",
    "2026-11-23 08:18:61 +0000",
    "0000-01-01 00:00:00 +0000",
    "0001-01-01 00:00:00 +9900",
    "2026-11-23 08:18:10 +0000 ",
    "٢٠٢٦-11-23 08:18:10 +0000",
    "1795421890000",
    "x" * 1000,
]


@pytest.mark.parametrize("text", BAD_TIMES)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Unreadable, match="is not one"):
        parse_time(text)


@given(st.sampled_from(Kind), st.integers(0, 4_000_000_000_000), st.uuids().map(str))
def test_a_hint_is_an_event_like_any(kind: Kind, time: int, uuid: str) -> None:
    event = parse_event(hint(kind, uuid, time))
    assert event == Event(HINT, kind, uuid, "Completed", time // 1000 * 1000)
    assert not changes_nothing(event)


def test_a_type_that_nobody_knows_may_mean_anything() -> None:
    event = parse_event(body(event="USER.WHO.KNOWS"))
    assert not known(event)
    assert not changes_nothing(event)
