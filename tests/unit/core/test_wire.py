"""What travels arrives as it was sent, and what is no message of this form is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import wire
from pipeline.core.entities import Kind
from pipeline.core.records import (
    Desired,
    Founder,
    Life,
    Observation,
    Record,
    RegionState,
    Sent,
    Stamp,
    Value,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
FIELDS = st.dictionaries(TEXT, TEXT, max_size=4)
SIDE = st.none() | FIELDS
TIME = st.integers(-(2**53), 2**53)
COUNT = st.integers(0, 2**53)
KIND = st.sampled_from(Kind)
FOUNDER = st.none() | st.builds(Founder, TEXT, FIELDS)
STAMP = st.builds(Stamp, TIME, TEXT)
STATE = st.builds(RegionState, SIDE, st.lists(st.builds(Sent, COUNT, SIDE), max_size=3).map(tuple))

OBSERVATIONS = st.builds(
    Observation,
    TEXT,
    KIND,
    TEXT,
    SIDE,
    TIME,
    TEXT,
    st.none() | COUNT,
    FOUNDER,
    st.booleans(),
    st.none() | TIME,
)
DESIRED = st.builds(Desired, TEXT, KIND, TEXT, COUNT, SIDE, SIDE)
RECORDS = st.builds(
    Record,
    KIND,
    TEXT,
    st.dictionaries(TEXT, st.builds(Value, TEXT, STAMP), max_size=4),
    st.builds(Life, st.booleans(), STAMP),
    COUNT,
    st.dictionaries(TEXT, COUNT, max_size=3),
    st.dictionaries(TEXT, STATE, max_size=3),
)


@given(OBSERVATIONS)
def test_an_observation_arrives_as_it_was_sent(value: Observation) -> None:
    assert wire.observation(wire.encode(value)) == value


@given(DESIRED)
def test_a_desired_state_arrives_as_it_was_sent(value: Desired) -> None:
    assert wire.desired(wire.encode(value)) == value


@given(RECORDS)
def test_a_record_is_loaded_as_it_was_stored(value: Record) -> None:
    assert wire.record(wire.encode(value)) == value


@given(RECORDS, TEXT)
def test_one_regions_state_is_what_the_whole_record_says(value: Record, other: str) -> None:
    data = wire.encode(value)
    for region in (*value.regions, other):
        assert wire.region_state(data, region) == value.region(region)


@pytest.mark.parametrize(
    "body",
    [None, [], 7, {"regions": 7}, {"regions": {"r1": 7}}, {"regions": {"r1": {"confirmed": {"n": 7}}}}],
)
def test_what_is_no_state_is_refused(body: object) -> None:
    for data in (message(body), message({"regions": {}}, 2), b"", b"\xff"):
        with pytest.raises(wire.Unreadable):
            wire.region_state(data, "r1")


@given(SIDE)
def test_fields_alone(value: dict[str, str] | None) -> None:
    assert wire.fields(wire.encode_fields(value)) == value


def test_absent_and_empty_are_two_things() -> None:
    assert wire.encode_fields(None) == "null"
    assert wire.encode_fields({}) == "{}"


SEEN = Observation("r1", Kind.USER, "u", {"name": "n"}, 7, "USER.UPDATE")
WANTED = Desired("r1", Kind.USER, "u", 3, None, {"name": "n"})
READERS: list[tuple[Callable[[bytes], object], bytes]] = [
    (wire.observation, wire.encode(SEEN)),
    (wire.desired, wire.encode(WANTED)),
    (
        wire.record,
        wire.encode(Record(Kind.USER, "u", {"name": Value("n", Stamp(1, "r"))}, Life(True, Stamp(1, "r")))),
    ),
]


def test_the_form_is_said_and_stays() -> None:
    """What is in Kafka and in the database when a new version starts must still be read: a changed form has
    a new number, and a new key has a default."""
    assert wire.FORM == 1
    assert json.loads(wire.encode(WANTED)) == {
        "v": 1,
        "body": {
            "region": "r1",
            "kind": "User",
            "uuid": "u",
            "version": 3,
            "fields": None,
            "known": {"name": "n"},
            "changed": None,
            "settled": None,
        },
    }
    older = {
        "region": "r1",
        "kind": "User",
        "uuid": "u",
        "version": 3,
        "fields": None,
        "known": {"name": "n"},
    }
    assert wire.desired(message(older)) == WANTED
    assert wire.desired(message({**older, "changed": 5})).changed == 5
    short = {"region": "r1", "kind": "User", "uuid": "u", "fields": None, "time": 1}
    assert wire.observation(message(short)) == Observation("r1", Kind.USER, "u", None, 1)


def message(body: Any, form: Any = 1) -> bytes:
    return json.dumps({"v": form, "body": body}).encode()


@pytest.mark.parametrize(("read", "good"), READERS, ids=["observation", "desired", "record"])
def test_what_is_no_message_is_refused(read: Callable[[bytes], object], good: bytes) -> None:
    read(good)
    body = json.loads(good)["body"]
    refused: list[bytes] = [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"7",
        b"not json",
        b"\xff\xfe",
        good[:-1],
        good + b"x",
        json.dumps(body).encode(),
        message(body, 2),
        message(body, 0),
        message(body, "1"),
        message(None),
        message([]),
        message({}),
        message(body | {"kind": "Project"}),
        message(body | {"fields": 7}),
        message(body | {"fields": {"name": 7}}),
        message(body | {"uuid": None}),
        *(message({key: value for key, value in body.items() if key != gone}) for gone in ("kind", "fields")),
        good.replace(b'"u"', b'"\xff"'),
    ]
    for data in refused:
        with pytest.raises(wire.Unreadable) as caught:
            read(data)
        assert str(caught.value)


@pytest.mark.parametrize("data", ["", "7", "[]", "{", '{"name": 7}', '{"name": null}', "nul"])
def test_what_are_no_fields_is_refused(data: str) -> None:
    with pytest.raises(wire.Unreadable):
        wire.fields(data)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for read, _ in READERS:
        with pytest.raises(wire.Unreadable):
            read(data)
