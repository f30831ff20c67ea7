"""All that apply must know about desired states, read fresh for a whole batch in a handful of statements.

In: desired states for one region, as they came off its topic. Out: one `Context` each, in their order. Called
by RegionStore.contexts, inside its transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, func, select

from pipeline import wire
from pipeline.core.effect import Futile
from pipeline.core.entities import ROOT, Kind
from pipeline.core.records import Desired, Record
from pipeline.core.removal import NOTHING_STANDS, Standing
from pipeline.outbox import futile, holds
from pipeline.outbox.mappings import canonical_by_local, rows_by_canonical
from pipeline.outbox.schema import applied, attempt, entity, outbox
from pipeline.outbox.statements import chunks, rows_by_key


@dataclass(frozen=True, slots=True)
class Context:
    """What is known about one desired state of one entity E in this region at `time`.

    `outbox_id`, `state`, `attempts`: its outbox row's; None, None, 0 when there is none. `tried`: calls were
    made for it. `newest`: the newest version of any row for E here. `applied_version`, `applied`: what was
    last applied to E here, in canonical UUIDs (0 and None: nothing yet; None is also a removal). `local`: E's
    UUID here; `present`: it was seen; `mapped`: when that was written, None: it was not.

    The parent is the one wanted, or for a removal the one E is below. `parent_local`, `parent_present`: as
    for E (ROOT is always there, under that name). `parent_removed`: its record is removed.
    `parent_name`: for users, the account's name here. `parent_domain_local`: for users the account's domain
    here, otherwise `parent_local`. `parents`: canonical → local UUID of every parent that the desired
    state, `known` and `applied` name. `taken`: what `local` says is another entity's here.

    `standing`: of a removal, what the ledger of holds says; `futile`: what the row's last calls left undone.
    """

    time: int
    outbox_id: int | None
    state: str | None
    attempts: int
    tried: bool
    newest: int
    applied_version: int
    applied: dict[str, str] | None
    local: str
    present: bool
    parent: str
    parent_local: str
    parent_present: bool
    parent_removed: bool
    parent_name: str
    parent_domain_local: str
    parents: dict[str, str]
    standing: Standing = NOTHING_STANDS
    futile: Futile | None = None
    taken: bool = False
    mapped: int | None = None


@dataclass(frozen=True, slots=True)
class _Parent:
    """A parent's record, as far as it is needed; `record` only for accounts."""

    present: bool
    record: Record | None


@dataclass(frozen=True, slots=True)
class _Batch:
    region: str
    time: int
    rows: dict[tuple[str, int], RowMapping]
    tried: set[int]
    newest: dict[str, int]
    applied: dict[str, tuple[int, dict[str, str] | None]]
    mappings: dict[str, RowMapping]
    parents: dict[str, _Parent]
    standings: dict[int, Standing]
    futile: dict[int, Futile]
    taken: set[str]

    def local(self, uuid: str) -> str:
        row = self.mappings.get(uuid)
        return uuid if row is None else str(row["uuid"])

    def present(self, uuid: str) -> bool:
        row = self.mappings.get(uuid)
        return uuid == ROOT or (row is not None and row["confirmed"] is not None and row["removed"] is None)

    def mapped(self, uuid: str) -> int | None:
        row = self.mappings.get(uuid)
        return None if row is None else row["modified"]

    def parent_here(self, uuid: str) -> str | None:
        row = self.mappings.get(uuid)
        return None if row is None else row["parent"]


def read_contexts(connection: Connection, region: str, wanted: Sequence[Desired], now: int) -> list[Context]:
    """One context for each desired state, in their order."""
    entities = sorted({one.uuid for one in wanted})
    last = _read_applied(connection, region, entities)
    named = {parent for one in wanted for parent in _named(one, last.get(one.uuid, (0, None))[1])}
    mappings = _read_mappings(connection, region, {*entities, *named})
    # A removal that names no parent: the one that was seen.
    named |= {row["parent"] for row in mappings.values() if row["parent"] is not None}
    accounts = {_parent_of(one, last, mappings) for one in wanted if one.kind is Kind.USER}
    parents = _read_parents(connection, named - {ROOT}, accounts)
    domains = {one.record.parent for one in parents.values() if one.record is not None}
    missing = (named | domains) - set(mappings) - {ROOT}
    rows = _read_rows(connection, region, wanted)
    removals = {(one.uuid, one.version) for one in wanted if one.fields is None}
    batch = _Batch(
        region=region,
        time=now,
        rows=rows,
        tried=_read_tried(connection, [row["id"] for row in rows.values()]),
        newest=_read_newest(connection, region, entities),
        applied=last,
        mappings=mappings | _read_mappings(connection, region, missing),
        parents=parents,
        standings=holds.read_standings(
            connection, [row["id"] for key, row in rows.items() if key in removals]
        ),
        futile=futile.read(connection, [row["id"] for row in rows.values() if row["attempts"]]),
        taken=_read_taken(connection, region, set(entities) - set(mappings)),
    )
    return [_context(batch, one) for one in wanted]


def _context(batch: _Batch, wanted: Desired) -> Context:
    row = batch.rows.get((wanted.uuid, wanted.version))
    version, fields = batch.applied.get(wanted.uuid, (0, None))
    parent = _parent_of(wanted, batch.applied, batch.mappings)
    name, domain = _account(batch, parent) if wanted.kind is Kind.USER else ("", parent)
    known = batch.parents.get(parent)
    return Context(
        time=batch.time,
        outbox_id=None if row is None else row["id"],
        state=None if row is None else row["state"],
        attempts=0 if row is None else row["attempts"],
        tried=row is not None and row["id"] in batch.tried,
        newest=batch.newest.get(wanted.uuid, wanted.version),
        applied_version=version,
        applied=fields,
        local=batch.local(wanted.uuid),
        present=batch.present(wanted.uuid),
        parent=parent,
        parent_local=batch.local(parent),
        parent_present=batch.present(parent),
        parent_removed=known is not None and not known.present,
        parent_name=name,
        parent_domain_local=batch.local(domain),
        parents={uuid: batch.local(uuid) for uuid in (*_named(wanted, fields), parent)},
        standing=NOTHING_STANDS if row is None else batch.standings.get(row["id"], NOTHING_STANDS),
        futile=None if row is None else batch.futile.get(row["id"]),
        taken=wanted.uuid in batch.taken,
        mapped=batch.mapped(wanted.uuid),
    )


def _account(batch: _Batch, account: str) -> tuple[str, str]:
    """(its name, its domain) in this region as last seen there, else as they should be."""
    known = batch.parents.get(account)
    record = None if known is None else known.record
    domain = batch.parent_here(account) or (record.parent if record is not None else ROOT)
    if record is None:
        return "", domain
    here = record.region(batch.region).confirmed or {}
    return here.get("name") or record.fields["name"].text, domain


def _named(wanted: Desired, applied_fields: dict[str, str] | None) -> set[str]:
    sides = (wanted.fields, wanted.known, applied_fields)
    return {side["parent"] for side in sides if side is not None and "parent" in side}


def _parent_of(
    wanted: Desired,
    last: dict[str, tuple[int, dict[str, str] | None]],
    mappings: dict[str, RowMapping],
) -> str:
    """The parent wanted; for a removal the one seen, else known, else last applied."""
    if wanted.fields is not None:
        return wanted.fields["parent"]
    row = mappings.get(wanted.uuid)
    if row is not None and row["parent"] is not None:
        return str(row["parent"])
    for side in (wanted.known, last.get(wanted.uuid, (0, None))[1]):
        if side is not None and "parent" in side:
            return side["parent"]
    return ROOT


def _read_rows(
    connection: Connection, region: str, wanted: Sequence[Desired]
) -> dict[tuple[str, int], RowMapping]:
    key = (outbox.c.entity, outbox.c.region, outbox.c.version)
    keys = {(one.uuid, region, one.version) for one in wanted}
    rows = rows_by_key(connection, (*key, outbox.c.id, outbox.c.state, outbox.c.attempts), key, keys)
    return {(row["entity"], row["version"]): row for row in rows}


def _read_tried(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Which of these rows had calls made for them, as far as that was written down."""
    found: set[int] = set()
    for chunk in chunks(ids):
        query = select(attempt.c.outbox_id).where(attempt.c.outbox_id.in_(chunk)).distinct()
        found.update(connection.execute(query).scalars())
    return found


def _read_newest(connection: Connection, region: str, entities: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in chunks(entities):
        query = (
            select(outbox.c.entity, func.max(outbox.c.version))
            .where(outbox.c.region == region, outbox.c.entity.in_(chunk))
            .group_by(outbox.c.entity)
        )
        found.update((uuid, version) for uuid, version in connection.execute(query))
    return found


def _read_applied(
    connection: Connection, region: str, entities: Sequence[str]
) -> dict[str, tuple[int, dict[str, str] | None]]:
    found: dict[str, tuple[int, dict[str, str] | None]] = {}
    for chunk in chunks(entities):
        query = select(applied.c.entity, applied.c.version, applied.c["values"]).where(
            applied.c.region == region, applied.c.entity.in_(chunk)
        )
        for uuid, version, values in connection.execute(query):
            found[uuid] = (version, wire.fields(values))
    return found


def _read_mappings(connection: Connection, region: str, uuids: set[str]) -> dict[str, RowMapping]:
    rows = rows_by_canonical(connection, [(uuid, region) for uuid in sorted(uuids)])
    return {source: row for (source, _), row in rows.items()}


def _read_taken(connection: Connection, region: str, unmapped: set[str]) -> set[str]:
    """Which of these canonical UUIDs some other entity has as its own there. The entity's own mapping may
    have been written since it was looked for: each statement sees what was committed before it."""
    owners = canonical_by_local(connection, [(region, uuid) for uuid in sorted(unmapped)])
    return {uuid for (_, uuid), source in owners.items() if source != uuid}


def _read_parents(connection: Connection, uuids: set[str], accounts: set[str]) -> dict[str, _Parent]:
    found: dict[str, _Parent] = {}
    for chunk in chunks(uuids - accounts):
        query = select(entity.c.uuid, entity.c.present).where(entity.c.uuid.in_(chunk))
        found.update((uuid, _Parent(present, None)) for uuid, present in connection.execute(query))
    for chunk in chunks(accounts - {ROOT}):
        query = select(entity.c.uuid, entity.c.body).where(entity.c.uuid.in_(chunk))
        for uuid, body in connection.execute(query):
            record = wire.record(body)
            found[uuid] = _Parent(record.life.present, record)
    return found
