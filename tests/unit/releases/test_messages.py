"""What the release before says is read by this one and means the same, and what this one says by that one:
all but `NEW_KINDS` and `NEW_FIELDS`, which need every process to be new.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridges.relay import HEADER_ORIGINAL_BYTES
from pipeline import wire
from pipeline.core import entities, events, records, topics
from pipeline.core.entities import FIELDS, OPTIONAL, Kind
from pipeline.core.events import hint
from pipeline.core.records import Desired, Observation, Record, Stamp
from pipeline.core.roles import RULES
from tests.releases.kept import said
from tests.releases.reader import ENCODED, plain, read
from tests.unit.releases.conftest import Reading
from tests.unit.releases.values import sound, values

NEW_KINDS: Final = frozenset({Kind.ROLE})
"""An event, an observation, a desired state, a record of it is unreadable to the release before, and so a
dead letter there: workers are replaced before bridges, and `roles` is set when every process is new."""
NEW_FIELDS: Final = {kind: frozenset(OPTIONAL[kind]) for kind in Kind if OPTIONAL[kind]}
"""With one of these a message makes no sense to the release before, and is a dead letter there: `limits`,
`credentials` and `passwords` are set when every process is new."""
BOTH: Final = frozenset(Kind) - NEW_KINDS
"""The kinds that both know."""

COLUMNS: Final = {
    ("entity", "body"): "record",
    ("outbox", "body"): "desired",
    ("applied", "values"): "fields",
    ("futile", "seen"): "fields",
    ("plan_step", "wanted"): "fields",
    ("plan_step", "body"): "told",
    ("dead_letter", "body"): "event",
}
HEADERS: Final = {value for name, value in vars(topics).items() if name.startswith("HEADER_")}
EXAMPLES: Final = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def corpus() -> Iterator[tuple[str, str]]:
    """(what, text) of all that the release before has said in JSON."""
    for message in said()["messages"]:
        yield of_topic(message["topic"]), message["value"]
    for (table, column), what in COLUMNS.items():
        for row in said()["rows"][table]:
            yield what, row[column]


def of_topic(topic: str) -> str:
    kinds = {topics.OBSERVATIONS: "observation", topics.DEAD_LETTERS: "event"}
    return kinds.get(topic) or ("desired" if ".desired." in topic else "event")


def differences(old: Any, new: Any) -> list[str]:
    """What the release before says and this one does not, or differently; what only this one knows is as if
    nobody had said it."""
    if isinstance(old, dict) and isinstance(new, dict):
        left_out = defaults(new["is"]) if "is" in new else {}
        found = [name for name in old if name not in new]
        found += [name for name in new.keys() - old.keys() if new[name] != left_out.get(name, MISSING)]
        return found + [one for name in old.keys() & new for one in differences(old[name], new[name])]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [one for pair in zip(old, new, strict=True) for one in differences(*pair)]
    return [] if old == new else [f"{old!r} is {new!r}"]


def defaults(name: str) -> dict[str, Any]:
    """Of the fields of that dataclass."""
    found = next(getattr(module, name) for module in (records, events, entities) if hasattr(module, name))
    return {
        one.name: plain(one.default if one.default_factory is MISSING else one.default_factory())
        for one in fields(found)
    }


def test_something_of_everything_was_recorded() -> None:
    found = [(what, read(what, text)) for what, text in set(corpus())]
    values_of = {
        what: [one["value"] for kind, one in found if kind == what and "value" in one] for what in ENCODED
    }

    for what in ENCODED:
        assert {one["kind"] for one in values_of[what]} >= {Kind.DOMAIN, Kind.ACCOUNT, Kind.USER}, what
    for what in ("observation", "desired"):
        assert any(one["fields"] is None for one in values_of[what]), what
    assert any(one["founder"] for one in values_of["observation"])
    assert any(one["applied"] for one in values_of["observation"])
    assert any(not one["life"]["present"] for one in values_of["record"])
    assert {"event", "fields", "told"} <= {what for what, one in found if "value" in one}
    assert {what for what, one in found if "unreadable" in one} == {"event", "observation", "desired"}
    said_of = {message["topic"] for message in said()["messages"]}
    assert said_of >= {topics.OBSERVATIONS, topics.DEAD_LETTERS, topics.events("r1"), topics.desired("r2")}
    for table in ("conflict", "hold", "decision", "audit", "plan", "proof", "scan", "attempt", "rmap"):
        assert said()["rows"][table], table


def test_what_the_release_before_said_means_the_same(before: Reading) -> None:
    for what, text in sorted(set(corpus())):
        old, new = before(what, text), read(what, text)
        old.pop("again", None), new.pop("again", None)
        assert differences(old, new) == [], (what, text)


def test_what_it_said_is_sound() -> None:
    for what, text in set(corpus()):
        assert read(what, text).get("flaw") is None, text


def test_its_headers_are_known() -> None:
    assert {name for one in said()["messages"] for name in one["headers"]} <= {
        *HEADERS,
        HEADER_ORIGINAL_BYTES,
    }


def test_from_the_old_by_the_new_to_the_old_nothing_is_lost(before: Reading) -> None:
    for what, text in sorted(set(corpus())):
        first = before(what, text)
        if what in ENCODED and "value" in first:
            assert before(what, read(what, text)["again"])["value"] == first["value"], text


@EXAMPLES
@given(st.one_of(sound(Observation, BOTH), sound(Desired, BOTH), values(Record, BOTH)))
def test_what_this_release_says_is_read_by_the_one_before(
    before: Reading, value: Observation | Desired | Record
) -> None:
    what = type(value).__name__.lower()
    answer = before(what, wire.encode(value).decode())

    assert answer.get("flaw") is None
    old, new = answer["value"], plain(value)
    assert differences(old, {name: one for name, one in new.items() if name in old}) == []
    assert differences(old, read(what, answer["again"])["value"]) == []


@EXAMPLES
@given(values(Record, BOTH))
def test_a_record_comes_back_whole_from_the_release_before(before: Reading, value: Record) -> None:
    again = before("record", wire.encode(value).decode())["again"]

    assert plain(wire.record(again.encode())) == plain(value)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("event", sorted({*events.KNOWN, *events.OWN}))
def test_events(before: Reading, event: str, kind: Kind) -> None:
    text = hint(kind, "u1", 1_000, event).decode()
    old, new = before("event", text), read("event", text)

    if kind in NEW_KINDS:
        assert "Role" in old["unreadable"]
    else:
        assert old["value"] == new["value"]


@pytest.mark.parametrize("kind", Kind)
def test_what_is_of_a_new_kind_is_a_dead_letter_to_the_release_before(before: Reading, kind: Kind) -> None:
    for value in (observed(kind), wanted(kind), recorded(kind)):
        answer = before(type(value).__name__.lower(), wire.encode(value).decode())
        assert ("unreadable" in answer) is (kind in NEW_KINDS), answer
        assert "Role" in answer.get("unreadable", "Role")


@pytest.mark.parametrize("kind", sorted(BOTH))
def test_a_new_field_is_a_dead_letter_to_the_release_before(before: Reading, kind: Kind) -> None:
    refused = set()
    for name in OPTIONAL[kind]:
        for value in (observed(kind), wanted(kind)):
            more = replace(value, fields={**(value.fields or {}), name: "7"})
            if before(type(value).__name__.lower(), wire.encode(more).decode())["flaw"]:
                refused.add(name)
    assert refused == NEW_FIELDS.get(kind, set())


def test_a_form_that_nobody_knows_is_unreadable_with_its_number(before: Reading) -> None:
    later = json.dumps({"v": wire.FORM + 1, "body": json.loads(wire.encode(observed(Kind.USER)))["body"]})

    for reader in (before, read):
        assert f"form {wire.FORM + 1}" in reader("observation", later)["unreadable"]


def agreed(kind: Kind) -> dict[str, str]:
    told = {**dict.fromkeys(FIELDS[kind], "x"), "parent": "p1"}
    return {**told, RULES: ""} if RULES in told else told


def observed(kind: Kind) -> Observation:
    return Observation("r1", kind, "u1", agreed(kind), 1_000)


def wanted(kind: Kind) -> Desired:
    return Desired("r1", kind, "u1", 1, agreed(kind), None)


def recorded(kind: Kind) -> Record:
    stamp = Stamp(1_000, "r1")
    named = {name: records.Value(text, stamp) for name, text in agreed(kind).items()}
    return Record(kind, "u1", named, records.Life(True, stamp))
