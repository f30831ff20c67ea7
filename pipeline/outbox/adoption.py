"""Rewrites a parent after it was linked: what was known by a region's own UUID is now the canonical entity.

In: the old and the new canonical UUID of a parent. Out: the records below it, their desired states that are
not yet applied, and their mappings, all naming the new one. Called by HubStore.adopt, inside its transaction.
A message that is already on a topic still names the old parent: it is parked by apply, and the timer then
publishes the row as rewritten here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection, select, union, update

from pipeline import wire
from pipeline.core.records import Record, RegionState
from pipeline.outbox.errors import StaleRecord
from pipeline.outbox.mappings import OPEN
from pipeline.outbox.records import entity_row
from pipeline.outbox.schema import applied, entity, outbox, rmap
from pipeline.outbox.statements import chunks, upsert

_UNSETTLED = (*OPEN, "held", "dead")


def adopt(connection: Connection, old: str, new: str, now: int) -> set[str]:
    """The canonical UUIDs of the records that changed. Raises `StaleRecord` where `old` has become an entity
    of its own since somebody looked, or `new` was removed."""
    known = select(entity.c.uuid, entity.c.present).where(entity.c.uuid.in_((old, new))).with_for_update()
    held = {row.uuid: row.present for row in connection.execute(known)}
    if old in held or held.get(new) is False:
        raise StaleRecord(f"{old} is not to be linked to {new} any more")
    below = union(
        select(entity.c.uuid).where(entity.c.parent == old), select(rmap.c.source).where(rmap.c.parent == old)
    )
    touched = sorted(connection.execute(below).scalars())
    changed: set[str] = set()
    for chunk in chunks(touched):
        changed |= _rewrite_records(connection, chunk, old, new, now)
        _rewrite_outbox(connection, chunk, old, new, now)
        _rewrite_applied(connection, chunk, old, new)
    connection.execute(update(rmap).where(rmap.c.parent == old).values(parent=new, modified=now))
    connection.execute(
        update(outbox)
        .where(outbox.c.waits_for == old, outbox.c.state.in_(OPEN))
        .values(waits_for=new, due_time=now)
    )
    return changed


def _rewrite_records(connection: Connection, uuids: list[str], old: str, new: str, now: int) -> set[str]:
    query = select(entity.c.body, entity.c.revision).where(entity.c.uuid.in_(uuids)).with_for_update()
    rows = []
    for body, revision in connection.execute(query):
        before = wire.record(body)
        after = _with_parent(before, old, new)
        if after != before:
            rows.append(entity_row(after, revision + 1, now))
    upsert(connection, entity, rows, ("parent", "revision", "body", "modified"))
    return {row["uuid"] for row in rows}


def _rewrite_outbox(connection: Connection, uuids: list[str], old: str, new: str, now: int) -> None:
    query = select(outbox.c.id, outbox.c.body, outbox.c.state).where(
        outbox.c.entity.in_(uuids), outbox.c.state.in_(_UNSETTLED)
    )
    for id_, body, state in connection.execute(query).all():
        desired = wire.desired(body)
        after = replace(desired, fields=_swap(desired.fields, old, new), known=_swap(desired.known, old, new))
        if after != desired:
            values = {"body": wire.encode(after)} | ({"due_time": now} if state in OPEN else {})
            connection.execute(update(outbox).where(outbox.c.id == id_).values(values))


def _rewrite_applied(connection: Connection, uuids: list[str], old: str, new: str) -> None:
    query = select(applied).where(applied.c.entity.in_(uuids))
    rows = []
    for row in connection.execute(query).mappings():
        before = wire.fields(row["values"])
        after = _swap(before, old, new)
        if after != before:
            rows.append({**row, "values": wire.encode_fields(after).encode()})
    upsert(connection, applied, rows, ("values",))


def _with_parent(record: Record, old: str, new: str) -> Record:
    fields = dict(record.fields)
    if record.parent == old:
        fields["parent"] = replace(fields["parent"], text=new)
    regions = {name: _with_parent_there(state, old, new) for name, state in record.regions.items()}
    return replace(record, fields=fields, regions=regions)


def _with_parent_there(state: RegionState, old: str, new: str) -> RegionState:
    sent = tuple(replace(one, fields=_swap(one.fields, old, new)) for one in state.sent)
    return replace(state, confirmed=_swap(state.confirmed, old, new), sent=sent)


def _swap(fields: Mapping[str, str] | None, old: str, new: str) -> dict[str, str] | None:
    if fields is None:
        return None
    return {**fields, "parent": new} if fields.get("parent") == old else dict(fields)
