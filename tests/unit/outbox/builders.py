"""Records, desired states and settlements with defaults, and a look at the rows."""

from __future__ import annotations

from collections.abc import Mapping as Rows
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, Table, select

from pipeline.core.entities import ROOT, Kind
from pipeline.core.records import Desired, Life, Record, RegionState, Stamp, Value
from pipeline.outbox.engine import reading
from pipeline.outbox.hub import Change, HubStore, Mapping
from pipeline.outbox.region import Settlement

NOW = 1_790_000_000_000
STAMP = Stamp(1_000, "r1")


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def fields(kind: Kind, name: str, parent: str) -> dict[str, str]:
    text = {"name": name, "parent": parent}
    if kind is Kind.DOMAIN:
        return {**text, "networkdomain": ""}
    if kind is Kind.ACCOUNT:
        return {**text, "networkdomain": "", "role": "User", "state": "enabled"}
    if kind is Kind.ROLE:
        return {**text, "description": "", "type": "User", "public": "true", "rules": "deny *"}
    return {**text, "firstname": "f", "lastname": "l", "email": "e", "timezone": "", "state": "enabled"}


def record(kind: Kind, uuid: str, name: str = "n", parent: str = ROOT, *, born: int = 1_000) -> Record:
    stamp = Stamp(born, "r1")
    values = {key: Value(text, stamp) for key, text in fields(kind, name, parent).items()}
    return Record(kind, uuid, values, Life(True, stamp), version=1)


def removed(one: Record) -> Record:
    return replace(one, life=Life(False, STAMP))


def seen_in(one: Record, region: str, **held: str) -> Record:
    """`one` as confirmed in `region`, with what is held differently there."""
    state = RegionState(confirmed={**(one.desired() or {}), **held})
    return replace(one, regions={**one.regions, region: state})


def desired(one: Record, region: str = "r2", version: int | None = None) -> Desired:
    return Desired(
        region,
        one.kind,
        one.uuid,
        one.version if version is None else version,
        one.desired(),
        one.region(region).confirmed,
    )


def at(
    one: Record, region: str, uuid: str | None = None, *, present: bool = True, time: int = 5_000
) -> Mapping:
    return Mapping(one.uuid, region, uuid or one.uuid, one.kind, one.parent, present, time)


def keep(
    hub: HubStore, *records: Record, regions: tuple[str, ...] = (), sent: tuple[str, ...] = ()
) -> list[int]:
    """Commit new records, seen in `regions` under their canonical UUID, sent to `sent`; their outbox ids."""
    changes = []
    for one in records:
        changes.append(Change(one, None, tuple(desired(one, name) for name in sent)))
    ids = [id_ for id_, _, _ in hub.commit(changes, NOW)]
    for one in records:
        for region in regions:
            stored = hub.load([one.uuid])[one.uuid]
            hub.commit([Change(stored.record, stored.revision, mapping=at(one, region))], NOW)
    return ids


def settled(one: Record, state: str = "delivered", **more: Any) -> Settlement:
    values: dict[str, Any] = {
        "entity": one.uuid,
        "kind": one.kind,
        "version": one.version,
        "state": state,
        "result": "applied",
        "local": one.uuid,
    }
    return Settlement(**(values | more))


def rows(engine: Engine, table: Table) -> list[Rows[str, Any]]:
    """All rows of a table by its primary key."""
    with reading(engine) as connection:
        query = select(table).order_by(*table.primary_key.columns)
        return [dict(row) for row in connection.execute(query).mappings()]


def row(engine: Engine, table: Table, **where: Any) -> dict[str, Any]:
    """The one row with these values."""
    found = [one for one in rows(engine, table) if where.items() <= one.items()]
    assert len(found) == 1, f"{len(found)} rows of {table.name} with {where}"
    return dict(found[0])
