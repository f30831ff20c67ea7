"""One sentence for each reason why an entity is not, or not yet, in a region as it should be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.core.entities import Kind
from pipeline.core.records import RegionState
from pipeline.outbox.audit import OutboxRow
from pipeline.outbox.timeline import There
from pipeline.views.why import Case, why
from tests.unit.outbox.builders import record, removed, seen_in

USER = record(Kind.USER, "u1", "alice", "a1")
HERE = There("r2", "u1", 5, None, 5)
GONE = There("r2", "u1", 5, 6, 6)


def row(state: str, **more: Any) -> OutboxRow:
    values: dict[str, Any] = {
        "id": 1,
        "routing_key": "k",
        "entity": "u1",
        "kind": "User",
        "version": 1,
        "region": "r2",
        "state": state,
        "attempts": 0,
        "created_time": 1,
        "published_time": None,
        "processed_time": None,
        "due_time": 1,
        "waits_for": None,
        "result": None,
        "message": None,
    }
    return OutboxRow(**(values | more))


@pytest.mark.parametrize(
    ("record_", "there", "newest", "words"),
    [
        (seen_in(USER, "r2"), HERE, row("delivered"), "It is here, as it should be."),
        (removed(USER), GONE, row("delivered"), "Removed, as it should be."),
        (removed(USER), None, None, "It is removed, and was never here."),
        (USER, None, None, "It is not here: nothing was sent to the region yet."),
        (USER, None, row("pending"), "It is not here: it is on its way."),
        (
            USER,
            None,
            row("pending", waits_for="a1"),
            "It is not here: it waits for ROOT|acme.",
        ),
        (
            USER,
            None,
            row("pending", waits_for="a1", message="waits for a1"),
            "It is not here: it waits for ROOT|acme.",
        ),
        (
            USER,
            None,
            row("pending", waits_for="a1", message="waits for the limits of the domain above: 10"),
            "It is not here: it waits for ROOT|acme (waits for the limits of the domain above: 10).",
        ),
        (
            USER,
            None,
            row("published", attempts=3, message="no answer"),
            "It is not here: it is being tried again after 3 attempts (no answer).",
        ),
        (
            USER,
            None,
            row("dead", message="no role Sales"),
            "It is not here: it failed (no role Sales), and stays so until it is tried again or changes.",
        ),
        (
            USER,
            None,
            row("held", result="planned"),
            "It is not here: the region is in mode plan, where calls are worked out and none is made.",
        ),
        (
            removed(seen_in(USER, "r2")),
            HERE,
            row("held", message="4 VMs"),
            "It is still here: the removal waits for a person (4 VMs).",
        ),
        (
            USER,
            None,
            row("superseded", result="discarded", message="discarded by ann: not wanted"),
            "It is not here: a failed row was discarded by ann: not wanted.",
        ),
        (
            seen_in(USER, "r2", email="other"),
            HERE,
            row("delivered"),
            "It differs here: what was applied last is not merged yet, or was changed since.",
        ),
    ],
)
def test_why(record_: Any, there: There | None, newest: OutboxRow | None, words: str) -> None:
    assert why(Case(record_, "r2", "apply", there, newest, "ROOT|acme")) == words


def test_a_mode_explains() -> None:
    case = Case(USER, "r2", "paused", None, row("pending"))
    assert why(case) == "It is not here: the region is paused, and what is meant for it waits."
    assert why(replace(case, mode=None)).startswith("The region takes no part")
    known = replace(USER, regions={"r2": RegionState(None)})
    assert why(Case(known, "r2", "apply", None, None)).startswith("It is not here")
