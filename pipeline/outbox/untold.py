"""Finds what was applied to a region and never merged: its observation was lost with the embedded broker.

In: a region. Out: the lost observations once more, as they were published. What left a field alone cannot be
said again without reading: its row is opened, and apply reads. Called at the embedded broker's start, before
anything new is read, since these come first in the order of the log.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, and_, func, select, update

from pipeline import wire
from pipeline.core.entities import FIELDS, Kind
from pipeline.core.records import Observation, Record
from pipeline.outbox.engine import writing
from pipeline.outbox.schema import applied, entity, outbox, rmap
from pipeline.outbox.statements import chunks

CAUSE: Final = "told again"
_SENT: Final = b'"sent":[{'
"""In a record's body (see `pipeline.wire`) where something is on its way to a region."""


def untold(engine: Engine, region: str, now: int) -> list[tuple[str, Observation]]:
    """(canonical UUID, observation) of what this region was made to hold and the records do not know yet. The
    entity is named by its UUID there, its parent by the canonical one. Raises `TemporaryError`."""
    told: list[tuple[str, Observation]] = []
    unclear: list[int] = []
    query = (
        select(
            outbox.c.id, entity.c.body, applied.c.version, applied.c["values"], applied.c.time, rmap.c.uuid
        )
        .join(applied, and_(applied.c.entity == entity.c.uuid, applied.c.region == region))
        .join(
            outbox,
            and_(
                outbox.c.entity == entity.c.uuid,
                outbox.c.region == region,
                outbox.c.version == applied.c.version,
                outbox.c.state == "delivered",
            ),
        )
        .outerjoin(rmap, and_(rmap.c.source == entity.c.uuid, rmap.c.region_id == region))
        .where(func.instr(entity.c.body, _SENT) > 0)
        .order_by(applied.c.time, outbox.c.id)
    )
    with writing(engine) as connection:
        for number, body, version, values, time, local in connection.execute(query):
            record, held = wire.record(body), wire.fields(values)
            if not _awaits(record, region, version):
                continue
            if held is not None and not _is_whole(record.kind, held):
                unclear.append(number)
                continue
            uuid = record.uuid if local is None else local
            seen = Observation(region, record.kind, uuid, held, time, CAUSE, version)
            told.append((record.uuid, seen))
        for chunk in chunks(unclear):
            reopened = {"state": "pending", "due_time": now, "processed_time": None}
            connection.execute(update(outbox).where(outbox.c.id.in_(chunk)).values(reopened))
    return told


def _awaits(record: Record, region: str, version: int) -> bool:
    return any(sent.version <= version for sent in record.region(region).sent)


def _is_whole(kind: Kind, held: dict[str, str]) -> bool:
    return all(name in held for name in FIELDS[kind])
