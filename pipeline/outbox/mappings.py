"""Where each entity is: its UUID in each region, its parent there, and whether it was seen there.

In: what an observation or an apply found (`Mapping`). Out: rows of `rmap`, written only where something in
them changes. Called inside the transactions of HubStore and RegionStore, never alone. A row is *present* when
it was confirmed and not removed since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from pipeline.core.entities import Kind
from pipeline.outbox.errors import StaleRecord
from pipeline.outbox.schema import outbox, rmap
from pipeline.outbox.statements import chunks, rows_by_key, upsert

OPEN = ("pending", "published")
"""The states of an outbox row that is still to be applied."""

Key = tuple[str, str]
"""(canonical UUID, region)."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """What was seen of one entity in one region: `source` is its canonical UUID, `uuid` its own one there,
    `parent` the canonical UUID of its parent there (None where nothing is known), `time` when, in ms. A
    mapping that was written after `since` stays as it is. `instead`: what is absent gets this UUID there from
    now on, since its own is used up, and is still to be made."""

    source: str
    region: str
    uuid: str
    kind: Kind
    parent: str | None
    present: bool
    time: int
    since: int | None = None
    instead: str | None = None


def is_present() -> ColumnElement[bool]:
    """The condition on `rmap` for an entity that is in the region, as far as known."""
    return and_(rmap.c.confirmed.is_not(None), rmap.c.removed.is_(None))


def canonical_by_local(connection: Connection, locals_: Collection[Key]) -> dict[Key, str]:
    """(region, UUID there) → canonical UUID, for those that are known."""
    key = (rmap.c.region_id, rmap.c.uuid)
    rows = rows_by_key(connection, (*key, rmap.c.source), key, locals_)
    return {(row["region_id"], row["uuid"]): row["source"] for row in rows}


def present_locals(connection: Connection, region: str, locals_: Collection[str]) -> set[str]:
    """Which of these UUIDs of a region belong to entities that are there, as far as known."""
    found: set[str] = set()
    for chunk in chunks(locals_):
        query = select(rmap.c.uuid).where(rmap.c.region_id == region, rmap.c.uuid.in_(chunk), is_present())
        found.update(connection.execute(query).scalars())
    return found


def local_by_canonical(connection: Connection, pairs: Collection[Key]) -> dict[Key, str]:
    """(canonical UUID, region) → UUID there, for those that are known."""
    key = (rmap.c.source, rmap.c.region_id)
    rows = rows_by_key(connection, (*key, rmap.c.uuid), key, pairs)
    return {(row["source"], row["region_id"]): row["uuid"] for row in rows}


def read_copied(connection: Connection, unknown: Collection[Key], regions: Collection[str]) -> dict[Key, str]:
    """See `HubStore.copied`. Asked by region and UUID, for which there is an index."""
    asked = {(other, uuid) for region, uuid in unknown for other in regions if other != region}
    if not asked:
        return {}
    owners = {
        uuid: source for (_, uuid), source in canonical_by_local(connection, asked).items() if source != uuid
    }
    found = {(region, uuid): owners[uuid] for region, uuid in unknown if uuid in owners}
    here = local_by_canonical(connection, {(source, region) for (region, _), source in found.items()})
    return {key: source for key, source in found.items() if (source, key[0]) not in here}


def rows_by_canonical(
    connection: Connection, pairs: Collection[Key], *, lock: bool = False
) -> dict[Key, RowMapping]:
    """The rows of `rmap` for (canonical UUID, region). `lock`: until the transaction ends."""
    rows = rows_by_key(connection, tuple(rmap.c), (rmap.c.source, rmap.c.region_id), pairs, lock=lock)
    return {(row["source"], row["region_id"]): row for row in rows}


def write_mappings(
    connection: Connection, seen: Sequence[Mapping], now: int, *, skip_taken: bool = False
) -> set[Key]:
    """Write what was seen, and say which mappings changed.

    A UUID that is known to belong to another entity is left out where `skip_taken`, else it raises
    `StaleRecord`, as it does when somebody else wrote the same mapping just now.
    """
    if not seen:
        return set()
    rows: dict[Key, dict[str, Any]] = {}
    keys = sorted({(one.source, one.region) for one in seen})
    known = rows_by_canonical(connection, keys, lock=True)
    for one in seen:
        key = (one.source, one.region)
        if one.since is not None and key in known and known[key]["modified"] > one.since:
            continue
        before = rows.get(key) or known.get(key)
        after = _after(before, one, now)
        if after is not None:
            rows[key] = after
    for key in _taken(connection, rows):
        if not skip_taken:
            raise StaleRecord(f"{rows[key]['uuid']} in {key[1]} belongs to another entity")
        del rows[key]
    columns = ("uuid", "parent", "modified", "removed", "confirmed")
    upsert(connection, rmap, [row for key, row in rows.items() if key in known], columns)
    try:
        if fresh := [row for key, row in rows.items() if key not in known]:
            connection.execute(insert(rmap), fresh)
    except IntegrityError as error:
        raise StaleRecord("the mapping was made by somebody else just now") from error
    return set(rows)


def wake(connection: Connection, changed: Iterable[Key], now: int) -> None:
    """Open rows that wait for one of these entities in its region are due now."""
    waiting = rows_by_key(
        connection,
        (outbox.c.id,),
        (outbox.c.region, outbox.c.waits_for),
        [(region, source) for source, region in changed],
    )
    for chunk in chunks([row["id"] for row in waiting]):
        connection.execute(
            update(outbox)
            .where(outbox.c.id.in_(chunk), outbox.c.state.in_(OPEN), outbox.c.due_time > now)
            .values(due_time=now)
        )


def _after(before: RowMapping | dict[str, Any] | None, seen: Mapping, now: int) -> dict[str, Any] | None:
    """The row as `seen` leaves it; None where nothing changes."""
    held = before is not None and before["confirmed"] is not None and before["removed"] is None
    same_uuid = before is not None and before["uuid"] == seen.uuid
    if not seen.present:
        # Never seen there: nothing to remove. Another UUID: word of one that was replaced since.
        return _gone(before, seen, now) if before and held and same_uuid else None
    if before is None:
        return {
            "source": seen.source,
            "region_id": seen.region,
            "uuid": seen.uuid,
            "kind": seen.kind.value,
            "parent": seen.parent,
            "created": now,
            "modified": now,
            "removed": None,
            "confirmed": seen.time,
        }
    if held and not same_uuid:
        return None  # one entity has one UUID in a region: the first seen stays
    if held and before["parent"] == seen.parent:
        return None
    after = {"uuid": seen.uuid, "parent": seen.parent, "removed": None, "confirmed": seen.time}
    return {**before, **after, "modified": now}


def _gone(before: RowMapping | dict[str, Any], seen: Mapping, now: int) -> dict[str, Any]:
    if seen.instead is None:
        return {**before, "removed": seen.time, "modified": now}
    anew = {"uuid": seen.instead, "parent": None, "removed": None, "confirmed": None, "modified": now}
    return {**before, **anew}


def _taken(connection: Connection, rows: dict[Key, dict[str, Any]]) -> list[Key]:
    """Which of `rows` carry a UUID that another entity has in that region."""
    owners = canonical_by_local(connection, {(row["region_id"], row["uuid"]) for row in rows.values()})
    return [key for key, row in rows.items() if owners.get((row["region_id"], row["uuid"]), key[0]) != key[0]]
