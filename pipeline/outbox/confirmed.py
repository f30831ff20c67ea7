"""What the records say that one region holds, in its own UUIDs, to be compared with what is read there.

In: UUIDs of a region. Out: fields, as a snapshot has them. Called by RegionStore and ScanStore, inside
their transactions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, select

from pipeline import wire
from pipeline.core.compare import Held
from pipeline.core.records import RegionState
from pipeline.outbox.mappings import OPEN, canonical_by_local, local_by_canonical
from pipeline.outbox.schema import entity, outbox
from pipeline.outbox.statements import chunks

HELD: Final = "held"
"""The state of an outbox row that waits for a person's word."""


def read_confirmed(
    connection: Connection, region: str, locals_: Collection[str]
) -> dict[str, dict[str, str] | None]:
    """UUID there → what was confirmed there last, None for nothing; only those that are known."""
    known = canonical_by_local(connection, [(region, local) for local in locals_])
    held = _states(connection, region, set(known.values()))
    there = _parents(connection, region, held)
    return {
        local: _in_local(held[canonical].confirmed, region, there)
        for (_, local), canonical in known.items()
        if canonical in held
    }


def read_held(connection: Connection, region: str, locals_: Collection[str]) -> dict[str, Held]:
    """UUID there → what is known of it there; only those that are known, by that region's UUID or, where it
    was never seen there, by its canonical one."""
    known = canonical_by_local(connection, [(region, local) for local in locals_])
    canonical = {local: known.get((region, local), local) for local in locals_}
    held = _states(connection, region, set(canonical.values()))
    there = _parents(connection, region, held)
    awaited = [uuid for uuid, state in held.items() if state.sent]
    waiting = under_way(connection, region, awaited)
    return {
        local: Held(_in_local(held[uuid].confirmed, region, there), uuid in waiting)
        for local, uuid in canonical.items()
        if uuid in held
    }


def _states(connection: Connection, region: str, uuids: Collection[str]) -> dict[str, RegionState]:
    held: dict[str, RegionState] = {}
    for chunk in chunks(uuids):
        query = select(entity.c.uuid, entity.c.body).where(entity.c.uuid.in_(chunk))
        for uuid, body in connection.execute(query):
            held[uuid] = wire.region_state(body, region)
    return held


def _parents(connection: Connection, region: str, held: dict[str, RegionState]) -> dict[tuple[str, str], str]:
    parents = {state.confirmed["parent"] for state in held.values() if state.confirmed is not None}
    return local_by_canonical(connection, [(parent, region) for parent in parents])


def under_way(connection: Connection, region: str, uuids: Collection[str]) -> set[str]:
    """Which of them have a desired state that is still to be applied there. One that is dead stays in the
    record as sent, and is not."""
    found: set[str] = set()
    for chunk in chunks(uuids):
        query = select(outbox.c.entity).where(
            outbox.c.entity.in_(chunk), outbox.c.region == region, outbox.c.state.in_((*OPEN, HELD))
        )
        found.update(connection.execute(query).scalars())
    return found


def _in_local(
    fields: dict[str, str] | None, region: str, there: dict[tuple[str, str], str]
) -> dict[str, str] | None:
    if fields is None:
        return None
    return fields | {"parent": there.get((fields["parent"], region), fields["parent"])}
