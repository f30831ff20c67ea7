"""Finds an entity by any of its UUIDs, and tells whether the tables are there.

In: a UUID as a person has it, canonical or a region's own; a database's URL. Out: small frozen values. Called
by the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, make_url, select

from pipeline.core.entities import Kind
from pipeline.outbox.engine import open_database, reading
from pipeline.outbox.schema import entity, rmap
from pipeline.outbox.tables import Tables, standing


@dataclass(frozen=True, slots=True)
class Found:
    """One entity: its canonical UUID, and its UUID in each region that is known to have one of its own."""

    uuid: str
    kind: Kind
    name: str
    present: bool
    locals: dict[str, str]


def find(engine: Engine, uuid: str) -> list[Found]:
    """The entities with this canonical UUID, or with this UUID in some region: none, one, or, where regions
    gave one UUID to different things, several. Raises `TemporaryError`."""
    mapped = select(rmap.c.source).where(rmap.c.uuid == uuid)
    with reading(engine) as connection:
        rows = connection.execute(
            select(entity.c.uuid, entity.c.kind, entity.c.name, entity.c.present)
            .where((entity.c.uuid == uuid) | entity.c.uuid.in_(mapped))
            .order_by(entity.c.uuid)
        ).all()
        locals_: dict[str, dict[str, str]] = {row.uuid: {} for row in rows}
        mappings = select(rmap.c.source, rmap.c.region_id, rmap.c.uuid).where(rmap.c.source.in_(locals_))
        for source, region, there in connection.execute(mappings):
            locals_[source][region] = there
    return [Found(row.uuid, Kind(row.kind), row.name, row.present, locals_[row.uuid]) for row in rows]


def tables(url: str) -> Tables:
    """Whether the tables are there and of which release. Makes nothing. Raises `TemporaryError`."""
    target = make_url(url)
    if target.get_backend_name() == "sqlite" and not Path(target.database or "").is_file():
        return Tables.MISSING
    engine = open_database(url)
    try:
        with reading(engine) as connection:
            return standing(connection)
    finally:
        engine.dispose()
