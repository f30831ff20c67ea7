"""What is known to be in a region, and what should be there and is not, as a scan walks through it.

In: a region, a kind, the UUID to go on after. Out: at most so many UUIDs. Called by ScanStore, inside its
transactions; and by RegionStore, about one user's account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, not_, or_, select

from pipeline.core.entities import Kind
from pipeline.outbox.confirmed import under_way
from pipeline.outbox.mappings import is_present, rows_by_canonical
from pipeline.outbox.schema import entity, rmap


@dataclass(frozen=True, slots=True)
class Absent:
    """An entity that lives and is not known to be in the region: its canonical UUID, and the one it has or
    would have there. `was_here`: it was seen there once. `in_flight`: a desired state is under way there."""

    canonical: str
    local: str
    was_here: bool
    in_flight: bool


def read_known(connection: Connection, region: str, kind: Kind) -> int:
    """How many entities of the kind are known to be there."""
    query = select(func.count()).select_from(rmap).where(_there(region, kind))
    return int(connection.execute(query).scalar_one())


def read_present(
    connection: Connection, region: str, kind: Kind, after: str, limit: int
) -> list[tuple[str, int]]:
    """(UUID there, when this was written) of what is known to be there, from the one after `after`."""
    query = (
        select(rmap.c.uuid, rmap.c.modified)
        .where(_there(region, kind), rmap.c.uuid > after)
        .order_by(rmap.c.uuid)
        .limit(limit)
    )
    return [(uuid, modified) for uuid, modified in connection.execute(query)]


def read_absent(connection: Connection, region: str, kind: Kind, after: str, limit: int) -> list[Absent]:
    """What lives and is not known to be there, from the canonical UUID after `after`."""
    query = (
        select(entity.c.uuid, rmap.c.uuid, rmap.c.confirmed)
        .outerjoin(rmap, and_(rmap.c.source == entity.c.uuid, rmap.c.region_id == region))
        .where(entity.c.kind == kind.value, entity.c.present.is_(True), entity.c.uuid > after)
        .where(or_(rmap.c.source.is_(None), not_(is_present())))
        .order_by(entity.c.uuid)
        .limit(limit)
    )
    found = list(connection.execute(query))
    waiting = under_way(connection, region, [uuid for uuid, _, _ in found])
    return [
        Absent(uuid, local or uuid, confirmed is not None, uuid in waiting)
        for uuid, local, confirmed in found
    ]


def _there(region: str, kind: Kind) -> Any:
    return and_(rmap.c.region_id == region, rmap.c.kind == kind.value, is_present())


def dying_account(connection: Connection, region: str, user: str) -> str | None:
    """The account that a user is to go with, still in the region though its record is removed; None where the
    user is gone already, or its account stays."""
    here = rows_by_canonical(connection, [(user, region)]).get((user, region))
    if here is not None and here["removed"] is not None:
        return None
    account = here["parent"] if here is not None else None
    if account is None:
        query = select(entity.c.parent).where(entity.c.uuid == user)
        account = connection.execute(query).scalar_one_or_none()
    query = (
        select(rmap.c.source)
        .join(entity, entity.c.uuid == rmap.c.source)
        .where(
            rmap.c.source == account,
            rmap.c.region_id == region,
            is_present(),
            entity.c.present.is_(False),
        )
    )
    return connection.execute(query).scalar_one_or_none()
