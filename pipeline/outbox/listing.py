"""Pages of long tables, the newest first, by key: outbox rows, conflicts, dead letters.

In: filters and the id where a page begins. Out: frozen values, and where the pages before and after it begin.
Called by the views and the command line. No page costs more than the rows that it reads: a table is entered
by its key or by an index that ends with it, and what was skipped before is never counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Engine, Select, Table, select

from pipeline.outbox.audit import OutboxRow
from pipeline.outbox.engine import reading
from pipeline.outbox.schema import conflict, dead_letter, entity, outbox

PAGE: Final = 50
PAGE_MAX: Final = 500
BODY_SHOWN: Final = 65_536
"""Bytes of a dead letter that are shown."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cut:
    """Which piece of a list: at most `limit` rows that are older than the id `before`, or newer than `after`;
    with neither the newest."""

    before: int | None = None
    after: int | None = None
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class Piece(Generic[T]):
    """Rows, the newest first. `older`: `before` of the next piece, `newer`: `after` of the one before it;
    None where there is none."""

    rows: tuple[T, ...]
    older: int | None
    newer: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which outbox rows; times in ms, of when they were written."""

    region: str | None = None
    state: str | None = None
    kind: str | None = None
    entity: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """One line of the ledger of conflicts, with the name that the entity has by now. `reason`: why it counts
    for nothing, where the region may not say it."""

    id: int
    entity: str
    name: str | None
    kind: str | None
    field: str
    base: str | None
    kept: str
    kept_time: int
    kept_region: str
    lost: str
    lost_time: int
    lost_region: str
    time: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class LetterRow:
    """One message that could not be read, whole as far as the table keeps it."""

    id: int
    topic: str
    partition: int
    offset: int
    region: str
    routing_key: str
    reason: str
    body: bytes
    time: int


def outbox_rows(engine: Engine, wanted: Wanted, cut: Cut) -> Piece[OutboxRow]:
    """Raises `TemporaryError`."""
    equal = {name: getattr(wanted, name) for name in ("region", "state", "kind", "entity")}
    which = [outbox.c[name] == value for name, value in equal.items() if value is not None]
    if wanted.since is not None:
        which.append(outbox.c.created_time >= wanted.since)
    if wanted.until is not None:
        which.append(outbox.c.created_time < wanted.until)
    query = select(*_columns(OutboxRow, outbox)).where(*which)
    return _piece(engine, query, outbox, cut, OutboxRow)


def conflicts(
    engine: Engine, cut: Cut, uuid: str | None = None, region: str | None = None
) -> Piece[ConflictRow]:
    """Of one entity, or lost by one region, where given. Raises `TemporaryError`."""
    which: list[ColumnElement[bool]] = []
    if uuid is not None:
        which.append(conflict.c.entity == uuid)
    if region is not None:
        which.append(conflict.c.lost_region == region)
    query = (
        select(*_columns(ConflictRow, conflict, entity))
        .outerjoin(entity, entity.c.uuid == conflict.c.entity)
        .where(*which)
    )
    return _piece(engine, query, conflict, cut, ConflictRow)


def letters(engine: Engine, cut: Cut, region: str | None = None) -> Piece[LetterRow]:
    """Of one region, where given. Raises `TemporaryError`."""
    query = select(*_columns(LetterRow, dead_letter))
    if region is not None:
        query = query.where(dead_letter.c.region == region)
    return _piece(engine, query, dead_letter, cut, LetterRow)


def letter(engine: Engine, id_: int) -> LetterRow | None:
    """One of them. Raises `TemporaryError`."""
    query = select(*_columns(LetterRow, dead_letter)).where(dead_letter.c.id == id_)
    with reading(engine) as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else LetterRow(**row)


def _columns(of: type[Any], *tables: Table) -> list[Any]:
    """The columns of the value class, each from the first table that has it."""
    return [next(table.c[field.name] for table in tables if field.name in table.c) for field in fields(of)]


def _piece(engine: Engine, query: Select[Any], table: Table, cut: Cut, of: type[T]) -> Piece[T]:
    """One row more than asked for is read: it says whether there is another piece."""
    upwards = cut.after is not None and cut.before is None
    key = table.c.id
    if upwards:
        query = query.where(key > cut.after).order_by(key)
    else:
        query = query.order_by(key.desc())
        if cut.before is not None:
            query = query.where(key < cut.before)
    with reading(engine) as connection:
        found = [of(**row) for row in connection.execute(query.limit(cut.limit + 1)).mappings()]
    more, rows = len(found) > cut.limit, found[: cut.limit]
    if upwards:
        rows.reverse()
        return _ends(rows, older=bool(rows), newer=more)
    return _ends(rows, older=more, newer=cut.before is not None)


def _ends(rows: Sequence[Any], *, older: bool, newer: bool) -> Piece[Any]:
    if not rows:
        return Piece((), None, None)
    return Piece(tuple(rows), rows[-1].id if older else None, rows[0].id if newer else None)
