"""One small record and what is seen of it, for the cases of the merge."""

from __future__ import annotations

from dataclasses import replace

from pipeline.core.entities import Kind
from pipeline.core.records import (
    Life,
    Observation,
    Position,
    Record,
    RegionState,
    Sent,
    Stamp,
    Topology,
    Value,
)

EQUALS = Topology(("r1", "r2", "r3"))
BASE = {"name": "n", "networkdomain": "d", "parent": "p"}


def seen(
    region: str, time: int = 200, *, gone: bool = False, applied: int | None = None, **changed: str
) -> Observation:
    fields = None if gone else BASE | changed
    return Observation(region, Kind.DOMAIN, "x", fields, time, applied=applied)


def record(**regions: RegionState) -> Record:
    """At time 100 r1 said it all; every region not named holds it."""
    stamp = Stamp(100, "r1")
    held = {name: RegionState(dict(BASE)) for name in EQUALS.priority}
    fields = {name: Value(text, stamp) for name, text in BASE.items()}
    return Record(Kind.DOMAIN, "x", fields, Life(True, stamp), 5, {"log/0": 9}, held | regions)


def at(offset: int = 10, log: str = "log/0") -> Position:
    return Position(log, offset)


def named(old: Record, text: str, time: int, region: str) -> Record:
    """The record after its name was changed, which nobody but `region` holds yet."""
    changed = replace(old, fields=old.fields | {"name": Value(text, Stamp(time, region))})
    held = RegionState(BASE | {"name": text})
    sent = {
        name: replace(state, sent=(*state.sent, Sent(6, BASE | {"name": text})))
        for name, state in old.regions.items()
    }
    return replace(changed, version=6, regions=sent | {region: held})
