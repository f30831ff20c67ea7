"""Deletes what is old and over, a few rows at a time.

In: ages, the time, and where the last batch ended. Out: how many rows were deleted, and where the next batch
begins. Called by the hub's timer (`agents/pruning`), in threads; two at once are no harm. Every batch looks
at no more than `LOOKED` rows, by an index, and deletes in one transaction.

What stays whatever its age: a desired state that is not over (pending, published, held, dead), with its
calls; the newest desired state of each entity in each region: it says how the entity stands there, keeps an
older one that comes late from being applied, and is opened again by a worker that needs it; a desired state
whose calls are still kept; the last scans of each region, and the last proof. Records, mappings and what was
last applied are no history: they are never deleted. A line of the audit names what it was about by its id,
and does not keep it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Column, Connection, Engine, Table, delete, func, select, tuple_

from pipeline.outbox.acts import audit
from pipeline.outbox.engine import reading, writing
from pipeline.outbox.schema import (
    attempt,
    conflict,
    dead_letter,
    futile,
    hold,
    outbox,
    plan,
    plan_step,
    proof,
    removal,
    scan,
    scan_page,
    sealed,
)
from pipeline.outbox.statements import chunks

LOOKED: Final = 500
"""Rows that one batch looks at; it deletes no more."""
SCANS_KEPT: Final = 50
"""The last scans of each region: among them is the last one that was through."""
OVER: Final = ("delivered", "superseded")
"""The states of a desired state that nothing follows any more."""

Cursor = tuple[Any, ...]
"""Where a batch ended, in the order of its index; empty: nowhere yet."""


@dataclass(frozen=True, slots=True)
class Ages:
    """For how long is kept what is over, in ms: `outbox_ms` what was done for the regions, `ledger_ms` what a
    person may have to account for."""

    outbox_ms: int
    ledger_ms: int


@dataclass(frozen=True, slots=True)
class Purged:
    """`rows` were deleted. `after`: where the next batch begins; None: there is nothing more that is old."""

    rows: int
    after: Cursor | None


class Retention:
    """Every method raises `TemporaryError` for what passes by itself."""

    def __init__(self, engine: Engine, ages: Ages) -> None:
        self._engine = engine
        self._ages = ages

    def purge(self, name: str, now: int, after: Cursor = ()) -> Purged:
        """One batch of the table `name`, one of `TABLES`."""
        swept = TABLES[name]
        before = now - (self._ages.ledger_ms if swept.ledger else self._ages.outbox_ms)
        with reading(self._engine) as connection:
            looked = connection.execute(swept.query(before, after)).all()
            ids = swept.chosen(connection, looked) if looked else []
        rows = 0
        if ids:
            with writing(self._engine) as connection:
                rows = swept.delete(connection, ids)
        return Purged(rows, tuple(looked[-1][: swept.places]) if len(looked) == LOOKED else None)


@dataclass(frozen=True, slots=True)
class _Swept:
    """How one table is swept. `query` gives rows that begin with `places` columns of the index and hold the
    `id`; `chosen` those of them that may go; `delete` deletes them, as far as they still may."""

    query: Callable[[int, Cursor], Any]
    chosen: Callable[[Connection, Sequence[Any]], list[int]]
    delete: Callable[[Connection, Collection[int]], int]
    places: int = 1
    ledger: bool = False


def _by_id(table: Table, time: Column[int], *more: Column[Any]) -> Callable[[int, Cursor], Any]:
    """In the order of ids, with which the times grow: the first row that is young is not looked past."""

    def query(before: int, after: Cursor) -> Any:
        first = table.c.id > (after[0] if after else 0)
        looked = select(table.c.id, time.label("time"), *more).where(first).order_by(table.c.id)
        few = looked.limit(LOOKED).subquery()
        return select(few).where(few.c.time < before).order_by(few.c.id)

    return query


def _all(_connection: Connection, rows: Sequence[Any]) -> list[int]:
    return [row.id for row in rows]


def _delete(table: Table) -> Callable[[Connection, Collection[int]], int]:
    def deleted(connection: Connection, ids: Collection[int]) -> int:
        return sum(
            connection.execute(delete(table).where(table.c.id.in_(chunk))).rowcount for chunk in chunks(ids)
        )

    return deleted


def _ledger(table: Table) -> _Swept:
    return _Swept(_by_id(table, table.c.time), _all, _delete(table), ledger=True)


def _old_rows(before: int, after: Cursor) -> Any:
    """In the order of the index, which ends with the id."""
    place = (outbox.c.processed_time, outbox.c.region, outbox.c.state, outbox.c.id)
    query = select(*place, outbox.c.entity, outbox.c.version).where(outbox.c.processed_time < before)
    if after:
        query = query.where(outbox.c.processed_time >= after[0], tuple_(*place) > after)
    return query.order_by(*place).limit(LOOKED)


def _replaced(connection: Connection, rows: Sequence[Any]) -> list[int]:
    """Those that are over and not the newest of their entity there, and whose calls are gone."""
    newest: dict[tuple[str, str], int] = {}
    for name in {row.region for row in rows}:
        for chunk in chunks(sorted({row.entity for row in rows if row.region == name})):
            query = select(outbox.c.entity, func.max(outbox.c.version)).where(
                outbox.c.region == name, outbox.c.entity.in_(chunk)
            )
            found = connection.execute(query.group_by(outbox.c.entity))
            newest.update(((uuid, name), version) for uuid, version in found)
    ids = [
        row.id for row in rows if row.state in OVER and row.version < newest.get((row.entity, row.region), 0)
    ]
    called: set[int] = set()
    for chunk in chunks(ids):
        query_calls = select(attempt.c.outbox_id).where(attempt.c.outbox_id.in_(chunk)).distinct()
        called.update(connection.execute(query_calls).scalars())
    return [id_ for id_ in ids if id_ not in called]


def _delete_rows(connection: Connection, ids: Collection[int]) -> int:
    """With what is said of each in the ledgers that have one line for a desired state. One that was opened
    again in the meantime stays."""
    count = 0
    for chunk in chunks(ids):
        which = select(outbox.c.id).where(outbox.c.id.in_(chunk), outbox.c.state.in_(OVER))
        over = list(connection.execute(which.with_for_update()).scalars())
        for table in (hold, futile, removal):
            connection.execute(delete(table).where(table.c.outbox_id.in_(over)))
        count += connection.execute(delete(outbox).where(outbox.c.id.in_(over))).rowcount
    return count


def _calls_of_what_is_over(connection: Connection, rows: Sequence[Any]) -> list[int]:
    """A desired state that is not over needs its calls: they tell that it was tried."""
    of = {row.outbox_id for row in rows}
    for chunk in chunks(sorted(of)):
        still = select(outbox.c.id).where(outbox.c.id.in_(chunk), outbox.c.state.not_in(OVER))
        of -= set(connection.execute(still).scalars())
    return [row.id for row in rows if row.outbox_id in of]


def _old_scans(connection: Connection, rows: Sequence[Any]) -> list[int]:
    """Without the last ones of each region."""
    found: list[int] = []
    for name in {row.region for row in rows}:
        last = select(scan.c.id).where(scan.c.region == name).order_by(scan.c.id.desc())
        kept = connection.execute(last.offset(SCANS_KEPT - 1).limit(1)).scalar_one_or_none() or 0
        found += [row.id for row in rows if row.region == name and row.id < kept]
    return found


def _delete_scans(connection: Connection, ids: Collection[int]) -> int:
    for chunk in chunks(ids):
        connection.execute(delete(scan_page).where(scan_page.c.scan.in_(chunk)))
    return _delete(scan)(connection, ids)


def _old_proofs(connection: Connection, rows: Sequence[Any]) -> list[int]:
    """Without those of the last look."""
    last = connection.execute(select(func.max(proof.c.time))).scalar_one()
    return [row.id for row in rows if row.time < last]


def _steps_first(connection: Connection, rows: Sequence[Any]) -> list[int]:
    """Plans that have no step any more."""
    left: set[int] = set()
    for chunk in chunks([row.id for row in rows]):
        with_steps = select(plan_step.c.plan).where(plan_step.c.plan.in_(chunk)).distinct()
        left.update(connection.execute(with_steps).scalars())
    return [row.id for row in rows if row.id not in left]


def _old_steps(before: int, _after: Cursor) -> Any:
    """Of the oldest plan that is old: what was deleted makes room for what is next."""
    old = select(plan.c.id).where(plan.c.time < before).order_by(plan.c.id).limit(1).scalar_subquery()
    return select(plan_step.c.id).where(plan_step.c.plan == old).limit(LOOKED)


TABLES: Final[Mapping[str, _Swept]] = MappingProxyType(
    {
        # Calls before what they were made for, steps before their plan.
        "attempt": _Swept(
            _by_id(attempt, attempt.c.time, attempt.c.outbox_id), _calls_of_what_is_over, _delete(attempt)
        ),
        "outbox": _Swept(_old_rows, _replaced, _delete_rows, places=4),
        "plan_step": _Swept(_old_steps, _all, _delete(plan_step)),
        "plan": _Swept(_by_id(plan, plan.c.time), _steps_first, _delete(plan)),
        "scan": _Swept(_by_id(scan, scan.c.started_time, scan.c.region), _old_scans, _delete_scans),
        "proof": _Swept(_by_id(proof, proof.c.time), _old_proofs, _delete(proof)),
        "sealed": _Swept(_by_id(sealed, sealed.c.asked_time), _all, _delete(sealed)),
        "conflict": _ledger(conflict),
        "dead_letter": _ledger(dead_letter),
        "audit": _ledger(audit),
    }
)
"""In the order in which they are swept."""
