"""What the records say that one region holds, in its own UUIDs, to be compared with what is read there.

In: UUIDs of a region. Out: fields, as a snapshot has them. Called by RegionStore, inside its transaction.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from pipeline import wire
from pipeline.outbox.mappings import canonical_by_local, local_by_canonical
from pipeline.outbox.schema import entity
from pipeline.outbox.statements import chunks


def read_confirmed(
    connection: Connection, region: str, locals_: Collection[str]
) -> dict[str, dict[str, str] | None]:
    """UUID there → what was confirmed there last, None for nothing; only those that are known."""
    known = canonical_by_local(connection, [(region, local) for local in locals_])
    held: dict[str, dict[str, str] | None] = {}
    for chunk in chunks(set(known.values())):
        query = select(entity.c.uuid, entity.c.body).where(entity.c.uuid.in_(chunk))
        for uuid, body in connection.execute(query):
            held[uuid] = wire.record(body).region(region).confirmed
    parents = {fields["parent"] for fields in held.values() if fields is not None}
    there = local_by_canonical(connection, [(parent, region) for parent in parents])
    return {
        local: _in_local(held[canonical], region, there)
        for (_, local), canonical in known.items()
        if canonical in held
    }


def _in_local(
    fields: dict[str, str] | None, region: str, there: dict[tuple[str, str], str]
) -> dict[str, str] | None:
    if fields is None:
        return None
    return fields | {"parent": there.get((fields["parent"], region), fields["parent"])}
