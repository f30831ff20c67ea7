"""What the hub remembers: records, mappings, and the outbox rows that carry desired states to the regions.

In: records as merged, in batches. Out: records as stored, and the ids of the rows to publish. Called by the
merge agent, in threads; every method is one transaction and may be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from pipeline import wire
from pipeline.core import topics
from pipeline.core.authority import CORRECTION_DELAY_MS
from pipeline.core.entities import Kind
from pipeline.core.records import Conflict, Desired, Record, Stamp
from pipeline.outbox import adoption, futile
from pipeline.outbox.columns import UUID_MAX
from pipeline.outbox.decisions import Decision, count_violations, write_decisions
from pipeline.outbox.engine import reading, writing
from pipeline.outbox.errors import StaleRecord
from pipeline.outbox.ledger import HOUR_MS, Owner, read_unborn, write_conflicts
from pipeline.outbox.mappings import (
    Mapping,
    canonical_by_local,
    local_by_canonical,
    read_copied,
    wake,
    write_mappings,
)
from pipeline.outbox.namesakes import read_removal, read_twin
from pipeline.outbox.records import entity_row, read_graves
from pipeline.outbox.schema import MESSAGE_MAX, NAME_MAX, dead_letter, entity, outbox, rmap
from pipeline.outbox.statements import chunks, cut, insert_new, name_key, rows_by_key, upsert

__all__ = ["Change", "DeadLetter", "HubStore", "Mapping", "NaturalKey", "StaleRecord", "Stored"]

PUBLISH_LEASE_MS: Final = 60_000
"""A row that is not published this long after it was written lost its publisher."""
REPUBLISH_AFTER_MS: Final = 600_000
"""A row that is not settled this long after it was published is published again."""
LETTER_BYTES_MAX: Final = 1024 * 1024

_KEPT: Final = frozenset({"uuid", "kind", "created", "marked"})
_ENTITY_COLUMNS: Final = tuple(column.name for column in entity.c if column.name not in _KEPT)

NaturalKey = tuple[str, Kind, str]
"""Canonical parent, kind, name without case: what an entity's twins have in common."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record with the revision of its row, which `Change` gives back."""

    record: Record
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One merge to be kept. `revision` is the one loaded, None for a record that is new. `later`: desired
    states that are not sent now but by their region's timer, when they are due."""

    record: Record
    revision: int | None
    desired: tuple[Desired, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    mapping: Mapping | None = None
    later: tuple[Desired, ...] = ()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be read, with the place it came from."""

    topic: str
    partition: int
    offset: int
    region: str
    routing_key: str
    reason: str
    body: bytes
    time: int


class HubStore:
    """The hub's view of the database. Every method raises `TemporaryError` for what passes by itself."""

    def __init__(self, engine: Engine, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._clock = clock

    def canonical(self, locals: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """(region, UUID there) → canonical UUID, only those that are known."""
        with reading(self._engine) as connection:
            return canonical_by_local(connection, locals)

    def copied(
        self, unknown: Collection[tuple[str, str]], regions: Collection[str]
    ) -> dict[tuple[str, str], str]:
        """(region, UUID there) → canonical UUID, of those that another region has of an entity that was never
        seen in this one: the two are one, since no UUID is made twice."""
        with reading(self._engine) as connection:
            return read_copied(connection, unknown, regions)

    def locals(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """(canonical UUID, region) → UUID there, only those that are known."""
        with reading(self._engine) as connection:
            return local_by_canonical(connection, pairs)

    def load(self, uuids: Collection[str]) -> dict[str, Stored]:
        """The records that exist, by canonical UUID."""
        found: dict[str, Stored] = {}
        with reading(self._engine) as connection:
            for chunk in chunks(uuids):
                query = select(entity.c.uuid, entity.c.body, entity.c.revision).where(
                    entity.c.uuid.in_(chunk)
                )
                for uuid, body, revision in connection.execute(query):
                    found[uuid] = Stored(wire.record(body), revision)
        return found

    def namesakes(self, keys: Collection[NaturalKey]) -> set[NaturalKey]:
        """Which of these natural keys a present record has: where a `twin` may be found."""
        key = (entity.c.parent, entity.c.kind, entity.c.name_key)
        with reading(self._engine) as connection:
            wanted = {(parent, kind.value, name) for parent, kind, name in keys}
            rows = rows_by_key(connection, (*key, entity.c.present), key, wanted)
        return {(row["parent"], Kind(row["kind"]), row["name_key"]) for row in rows if row["present"]}

    def twin(self, kind: Kind, parent: str, name: str, region: str) -> str | None:
        """The canonical UUID of a present record with this natural key that was never seen in `region`: what
        an unknown entity of that name there is to be linked to. None when there is none."""
        with reading(self._engine) as connection:
            return read_twin(connection, (parent, kind, name_key(name)), region)

    def namesake_removed(self, kind: Kind, parent: str, name: str, after: int) -> Stamp | None:
        """When and where a record with this natural key was last removed, later than `after` (ms)."""
        with reading(self._engine) as connection:
            return read_removal(connection, (parent, kind, name_key(name)), after)

    def children(self, parents: Collection[str], region: str) -> list[tuple[Kind, str, str]]:
        """(kind, canonical UUID, UUID in `region`) of the present records directly below `parents`."""
        found: list[tuple[Kind, str, str]] = []
        with reading(self._engine) as connection:
            for chunk in chunks(parents):
                query = (
                    select(entity.c.kind, entity.c.uuid, rmap.c.uuid)
                    .outerjoin(rmap, and_(rmap.c.source == entity.c.uuid, rmap.c.region_id == region))
                    .where(entity.c.parent.in_(chunk), entity.c.present.is_(True))
                )
                rows = connection.execute(query)
                found += [(Kind(kind), uuid, local or uuid) for kind, uuid, local in rows]
        return found

    def graves(self, uuids: Collection[str]) -> dict[str, Stamp]:
        """Which of these entities are removed: canonical UUID → when and where."""
        with reading(self._engine) as connection:
            return read_graves(connection, uuids)

    def adopt(self, old_parent: str, new_parent: str) -> set[str]:
        """Everything below `old_parent`, a region's own UUID, is below `new_parent`, the canonical one that
        it was linked to. Returns the canonical UUIDs of the records that changed: load them again."""
        with writing(self._engine) as connection:
            return adoption.adopt(connection, old_parent, new_parent, self._clock())

    def unborn(self, entities: Collection[Owner]) -> set[Owner]:
        """Which of these (UUID there, region) were not taken from their region, as the ledger says."""
        with reading(self._engine) as connection:
            return read_unborn(connection, entities)

    def violations(self, entity: str, region: str) -> int:
        """How often that region said of that entity what it may not say, within the last hour."""
        with reading(self._engine) as connection:
            return count_violations(connection, (entity, region), self._clock() - HOUR_MS)

    def commit(
        self,
        changes: Sequence[Change],
        now: int,
        decisions: Sequence[Decision] = (),
        unborn: Sequence[Change] = (),
    ) -> list[tuple[int, Desired, bytes]]:
        """Keep a batch of merges and what was decided, all or none, and return one (outbox id, desired
        state, message) for each desired state, in their order. Of what is `unborn` only the conflicts are.

        The new revision of a record is the one given plus 1; 1 for a new one. Several changes of one record
        are kept in their order as one write. Raises `StaleRecord` when a record or a mapping was written by
        somebody else since it was loaded; nothing is kept then.
        """
        if not (changes or decisions or unborn):
            return []
        with writing(self._engine) as connection:
            write_decisions(connection, decisions, now)
            write_conflicts(connection, [one for change in unborn for one in change.conflicts], now)
            return commit(connection, changes, now) if changes else []

    def published(self, ids: Sequence[int], now: int) -> None:
        """These rows are on their topics. One that was settled or parked in the meantime stays so."""
        with writing(self._engine) as connection:
            for chunk in chunks(ids):
                connection.execute(
                    update(outbox)
                    .where(outbox.c.id.in_(chunk), outbox.c.state == "pending", outbox.c.result.is_(None))
                    .values(state="published", published_time=now, due_time=now + REPUBLISH_AFTER_MS)
                )

    def keep_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Keep them, each place of a log once."""
        rows = [
            {
                "topic": letter.topic,
                "partition": letter.partition,
                "offset": letter.offset,
                "region": cut(letter.region, UUID_MAX),
                "routing_key": cut(letter.routing_key, NAME_MAX),
                "reason": cut(letter.reason, MESSAGE_MAX),
                "body": letter.body[:LETTER_BYTES_MAX],
                "time": letter.time,
            }
            for letter in letters
        ]
        with writing(self._engine) as connection:
            insert_new(connection, dead_letter, rows)


def commit(connection: Connection, changes: Sequence[Change], now: int) -> list[tuple[int, Desired, bytes]]:
    """What `HubStore.commit` does, in a transaction of the caller's."""
    _write_entities(connection, changes, now)
    seen = [change.mapping for change in changes if change.mapping]
    wake(connection, write_mappings(connection, seen, now) | _ended(changes), now)
    futile.revive(connection, [(one.record, one.mapping) for one in changes if one.mapping], now)
    write_conflicts(connection, [one for change in changes for one in change.conflicts], now)
    _write_outbox(connection, [one for change in changes for one in change.later], now, CORRECTION_DELAY_MS)
    return _write_outbox(connection, [one for change in changes for one in change.desired], now)


def _ended(changes: Sequence[Change]) -> set[tuple[str, str]]:
    """(canonical UUID, region) of what is removed now: an account's removal waits for its users' records."""
    ended = [change.record for change in changes if not change.record.life.present]
    return {(record.uuid, region) for record in ended for region in record.regions}


def _write_entities(connection: Connection, changes: Sequence[Change], now: int) -> None:
    latest = {change.record.uuid: change.record for change in changes}
    loaded = {change.record.uuid: change.revision for change in reversed(changes)}  # the first one's
    known = sorted(uuid for uuid, revision in loaded.items() if revision is not None)
    held: dict[str, int] = {}
    for chunk in chunks(known):
        query = select(entity.c.uuid, entity.c.revision).where(entity.c.uuid.in_(chunk)).with_for_update()
        held.update((uuid, revision) for uuid, revision in connection.execute(query))
    stale = [uuid for uuid in known if held.get(uuid) != loaded[uuid]]
    if stale:
        raise StaleRecord(f"{len(stale)} records were written by somebody else, {stale[0]} among them")
    upsert(
        connection, entity, [entity_row(latest[uuid], held[uuid] + 1, now) for uuid in known], _ENTITY_COLUMNS
    )
    fresh = [entity_row(latest[uuid], 1, now) for uuid, revision in loaded.items() if revision is None]
    try:
        if fresh:
            connection.execute(insert(entity), fresh)
    except IntegrityError as error:
        raise StaleRecord("a record was made by somebody else just now") from error


def _write_outbox(
    connection: Connection, desired: Sequence[Desired], now: int, delay_ms: int = PUBLISH_LEASE_MS
) -> list[tuple[int, Desired, bytes]]:
    bodies = [wire.encode(one) for one in desired]
    rows = [_outbox_row(*pair, now, now + delay_ms) for pair in zip(desired, bodies, strict=True)]
    insert_new(connection, outbox, rows)
    key = (outbox.c.entity, outbox.c.region, outbox.c.version)
    known = rows_by_key(
        connection, (*key, outbox.c.id), key, {(one.uuid, one.region, one.version) for one in desired}
    )
    ids = {(row["entity"], row["region"], row["version"]): row["id"] for row in known}
    return [
        (ids[one.uuid, one.region, one.version], one, body) for one, body in zip(desired, bodies, strict=True)
    ]


def _outbox_row(desired: Desired, body: bytes, now: int, due: int) -> dict[str, Any]:
    topic = topics.carrying(desired.region, revokes=desired.revokes)
    return {
        "routing_key": cut(f"{topic}/{desired.uuid}", NAME_MAX),
        "body": body,
        "created_time": now,
        "entity": desired.uuid,
        "kind": desired.kind.value,
        "version": desired.version,
        "region": desired.region,
        "state": "pending",
        "attempts": 0,
        "due_time": due,
        "revokes": desired.revokes,
    }
