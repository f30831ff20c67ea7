"""Finds what an entity that nobody knows may be: one of the same kind, parent and name.

In: a natural key in canonical UUIDs. Out: the canonical UUID of a twin, or when a namesake was removed.
Called by HubStore and RegionStore, inside their transactions.
"""

from __future__ import annotations

from sqlalchemy import Connection, and_, or_, select

from pipeline import wire
from pipeline.core.entities import Kind
from pipeline.core.records import Stamp
from pipeline.outbox.schema import entity, rmap

Key = tuple[str, Kind, str]
"""Canonical parent, kind, name without case."""


def read_twin(connection: Connection, key: Key, region: str) -> str | None:
    """The oldest present record with this natural key that was never seen in `region`."""
    parent, kind, name = key
    query = (
        select(entity.c.uuid)
        .outerjoin(rmap, and_(rmap.c.source == entity.c.uuid, rmap.c.region_id == region))
        .where(
            entity.c.parent == parent,
            entity.c.kind == kind.value,
            entity.c.name_key == name,
            entity.c.present.is_(True),
            or_(rmap.c.source.is_(None), and_(rmap.c.confirmed.is_(None), rmap.c.removed.is_(None))),
        )
        .order_by(entity.c.created, entity.c.uuid)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def read_called(connection: Connection, key: Key) -> str | None:
    """The oldest present record with this natural key."""
    parent, kind, name = key
    query = (
        select(entity.c.uuid)
        .where(
            entity.c.parent == parent,
            entity.c.kind == kind.value,
            entity.c.name_key == name,
            entity.c.present.is_(True),
        )
        .order_by(entity.c.created, entity.c.uuid)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def read_removal(connection: Connection, key: Key, after: int) -> Stamp | None:
    """When and where a record with this natural key was last removed, later than `after` (ms)."""
    parent, kind, name = key
    query = select(entity.c.body).where(
        entity.c.parent == parent,
        entity.c.kind == kind.value,
        entity.c.name_key == name,
        entity.c.present.is_(False),
    )
    stamps = [wire.record(body).life.stamp for body in connection.execute(query).scalars()]
    return max((stamp for stamp in stamps if stamp.time > after), default=None)
