"""All that the tables hold about one entity: its record, where it is, and what happened to it when.

In: a canonical UUID. Out: frozen values, in a bounded number of queries. Called by the views and by
`region-sync history`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, select

from pipeline import wire
from pipeline.core.records import Record
from pipeline.outbox.acting import Act
from pipeline.outbox.acts import audit
from pipeline.outbox.audit import OutboxRow
from pipeline.outbox.decisions import read_decisions
from pipeline.outbox.engine import reading
from pipeline.outbox.moments import Moment, decisions_told
from pipeline.outbox.schema import attempt, conflict, entity, hold, outbox, rmap
from pipeline.outbox.statements import chunks

ROWS_SHOWN: Final = 200
"""Of the newest outbox rows of an entity, and of decisions, conflicts and acts; older rows are in the list of
the outbox."""
CALLS_SHOWN: Final = 500


@dataclass(frozen=True, slots=True)
class There:
    """Where the entity is in one region. `confirmed`: when it was first seen there as it is now; `removed`:
    when it was seen to be gone."""

    region: str
    uuid: str
    confirmed: int | None
    removed: int | None
    modified: int

    @property
    def present(self) -> bool:
        return self.confirmed is not None and self.removed is None


@dataclass(frozen=True, slots=True)
class History:
    """`newest`: region → its newest outbox row. `moments`: the newest first."""

    record: Record
    created: int
    modified: int
    marked: str | None
    theres: dict[str, There]
    newest: dict[str, OutboxRow]
    moments: tuple[Moment, ...]


def records(engine: Engine, uuids: Collection[str]) -> dict[str, Record]:
    """Those that exist. Raises `TemporaryError`."""
    found: dict[str, Record] = {}
    with reading(engine) as connection:
        for chunk in chunks(uuids):
            query = select(entity.c.uuid, entity.c.body).where(entity.c.uuid.in_(chunk))
            found.update((uuid, wire.record(body)) for uuid, body in connection.execute(query))
    return found


def history(engine: Engine, uuid: str) -> History | None:
    """None for a UUID that no record has. Raises `TemporaryError`."""
    with reading(engine) as connection:
        held = connection.execute(select(entity).where(entity.c.uuid == uuid)).mappings().one_or_none()
        if held is None:
            return None
        record = wire.record(held["body"])
        rows = _rows(connection, uuid)
        moments = [  # in the order in which one leads to the other, which tells what has one time apart
            *_given(record),
            *decisions_told(read_decisions(connection, uuid, ROWS_SHOWN), rows),
            *_conflicts(connection, uuid),
            *_calls(connection, [row.id for row in rows]),
            *_rows_told(rows[::-1]),
            *_holds(connection, uuid),
            *_acts(connection, uuid),
        ]
        theres = _theres(connection, uuid)
    newest: dict[str, OutboxRow] = {}
    for row in rows:  # the newest first
        newest.setdefault(row.region, row)
    moments.sort(key=lambda one: one.time)
    told = tuple(reversed(moments))
    return History(record, held["created"], held["modified"], held["marked"], theres, newest, told)


def _columns(of: type[Any], table: Table) -> list[Any]:
    return [table.c[field.name] for field in fields(of)]


def _rows(connection: Connection, uuid: str) -> list[OutboxRow]:
    query = (
        select(*_columns(OutboxRow, outbox))
        .where(outbox.c.entity == uuid)
        .order_by(outbox.c.version.desc(), outbox.c.id.desc())
        .limit(ROWS_SHOWN)
    )
    return [OutboxRow(**row) for row in connection.execute(query).mappings()]


def _theres(connection: Connection, uuid: str) -> dict[str, There]:
    query = select(rmap).where(rmap.c.source == uuid)
    return {
        row["region_id"]: There(
            row["region_id"], row["uuid"], row["confirmed"], row["removed"], row["modified"]
        )
        for row in connection.execute(query).mappings()
    }


def _given(record: Record) -> Iterator[Moment]:
    """What the record says of itself; of each field the value that it has now."""
    for name, value in record.fields.items():
        yield Moment(value.stamp.time, "changed", f"{name} is {value.text!r} since then", value.stamp.region)
    if not record.life.present:
        yield Moment(record.life.stamp.time, "removed", "removed there", record.life.stamp.region)


def _rows_told(rows: list[OutboxRow]) -> Iterator[Moment]:
    for row in rows:
        sent = f"version {row.version} is to be applied"
        yield Moment(row.created_time, "sent", sent, row.region, row.id)
        if row.published_time is not None:
            yield Moment(row.published_time, "published", f"to {row.routing_key}", row.region, row.id)
        if row.waits_for is not None:
            text = f"version {row.version} waits for {row.waits_for}"
            told = row.message or row.waits_for
            text += ", which it needs there" if row.waits_for in told else f": {told}"
            yield Moment(row.published_time or row.created_time, "parked", text, row.region, row.id)
        if row.processed_time is not None:
            told = f"version {row.version}: {row.result or row.state}"
            text = f"{told}: {row.message}" if row.message else told
            yield Moment(row.processed_time, row.state, text, row.region, row.id)


def _calls(connection: Connection, ids: list[int]) -> list[Moment]:
    found: list[Moment] = []
    for chunk in chunks(ids):
        query = (
            select(attempt, outbox.c.region)
            .join(outbox, outbox.c.id == attempt.c.outbox_id)
            .where(attempt.c.outbox_id.in_(chunk))
            .order_by(attempt.c.id.desc())
            .limit(CALLS_SHOWN)
        )
        for row in connection.execute(query).mappings():
            answer = "no answer" if row["status"] is None else f"HTTP {row['status']}"
            text = f"{row['command']}: {answer}" + (f": {row['error']}" if row["error"] else "")
            found.append(Moment(row["time"], "called", text, row["region"], row["outbox_id"], row["ms"]))
    return found


def _conflicts(connection: Connection, uuid: str) -> Iterator[Moment]:
    query = select(conflict).where(conflict.c.entity == uuid).order_by(conflict.c.id.desc()).limit(ROWS_SHOWN)
    for row in connection.execute(query).mappings():
        if row["reason"]:
            text = f"{row['field']} stays {row['kept']!r}, not {row['lost']!r}: {row['reason']}"
        else:
            text = f"{row['field']}: {row['kept']!r} of {row['kept_region']} won over {row['lost']!r}"
        yield Moment(row["time"], "violation" if row["reason"] else "conflict", text, row["lost_region"])


def _holds(connection: Connection, uuid: str) -> Iterator[Moment]:
    query = select(hold).where(hold.c.entity == uuid).order_by(hold.c.id.desc()).limit(ROWS_SHOWN)
    for row in connection.execute(query).mappings():
        yield Moment(
            row["created_time"], "held", f"its removal: {row['reason']}", row["region"], row["outbox_id"]
        )
        if row["decided_time"] is not None:
            text = f"its removal is {row['decision']}: {row['note']}"
            yield Moment(row["decided_time"], "decided", text, row["region"], row["outbox_id"])


def _acts(connection: Connection, uuid: str) -> Iterator[Moment]:
    query = (
        select(*_columns(Act, audit))
        .where(audit.c.entity == uuid)
        .order_by(audit.c.id.desc())
        .limit(ROWS_SHOWN)
    )
    for row in connection.execute(query).mappings():
        act = Act(**row)
        about = act.subject_id if act.subject == "outbox" else None
        subject = act.subject.replace("_", " ")
        text = f"{act.action} of {subject} {act.subject_id} by {act.who}: {act.reason}"
        yield Moment(act.time, "acted", text, act.region, about)
