"""What a person does: each act and its line in the audit are one transaction.

In: ids, who asks and why. Out: changed rows, or `PermanentError` in a sentence for that person. Called by the
views' actions, in threads, and by the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, select, update

from pipeline import wire
from pipeline.core.errors import PermanentError
from pipeline.core.overrule import overrule
from pipeline.core.records import Conflict, Stamp, Topology
from pipeline.outbox import futile, holding
from pipeline.outbox.acts import audit
from pipeline.outbox.audit import try_again
from pipeline.outbox.engine import reading, writing
from pipeline.outbox.errors import StaleRecord
from pipeline.outbox.hub import Change, commit
from pipeline.outbox.mappings import wake
from pipeline.outbox.noting import By, note, note_all
from pipeline.outbox.schema import MESSAGE_MAX, conflict, dead_letter, entity, outbox
from pipeline.outbox.statements import chunks, cut

__all__ = ["Act", "ActStore", "By", "conflict_of"]

DISCARDED: Final = "discarded"
TRIES: Final = 5
"""How often an act is begun anew because the hub wrote the same record just then."""


@dataclass(frozen=True, slots=True)
class Act:
    """One line of the audit."""

    id: int
    time: int
    who: str
    action: str
    subject: str
    subject_id: int
    entity: str | None
    region: str | None
    reason: str


class ActStore:
    """Every method raises `TemporaryError` for what passes by itself, and `PermanentError` for what can't be
    done, with the reason; then nothing is written."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def retry(self, id_: int, by: By) -> None:
        """A failed row is tried again from the beginning."""
        with writing(self._engine) as connection:
            row = _dead_row(connection, id_)
            try_again(connection, outbox.c.id == id_, by.now)
            note(connection, by, "retry", ("outbox", id_), row)

    def retry_dead(self, ids: Sequence[int], by: By) -> int:
        """Those of these rows that have failed are tried again. Returns how many."""
        with writing(self._engine) as connection:
            return sum(_retry(connection, outbox.c.id.in_(chunk), by) for chunk in chunks(ids))

    def retry_region(self, name: str, by: By) -> int:
        """All rows of a region that have failed are tried again. Returns how many."""
        with writing(self._engine) as connection:
            return _retry(connection, outbox.c.region == name, by)

    def discard(self, id_: int, by: By) -> None:
        """A failed row counts as failed no more, and is not tried again: the region stays as it is until the
        entity changes."""
        with writing(self._engine) as connection:
            row = _dead_row(connection, id_)
            message = cut(f"discarded by {by.who}: {by.reason}", MESSAGE_MAX)
            connection.execute(
                update(outbox)
                .where(outbox.c.id == id_)
                .values(state="superseded", result=DISCARDED, message=message, processed_time=by.now)
            )
            marked = entity.c.marked.startswith(f"{row['region']}: ", autoescape=True)
            connection.execute(
                update(entity).where(entity.c.uuid == row["entity"], marked).values(marked=None)
            )
            futile.forget(connection, [id_])
            wake(connection, [(row["entity"], row["region"])], by.now)
            note(connection, by, "discard", ("outbox", id_), row)

    def approve(self, id_: int, by: By) -> None:
        """A held removal is carried out."""
        with writing(self._engine) as connection:
            row = holding.approve(connection, id_, by.reason, by.now)
            note(connection, by, "approve", ("hold", id_), row)

    def refuse(self, id_: int, by: By) -> None:
        """A held removal is not carried out."""
        with writing(self._engine) as connection:
            row = holding.refuse(connection, id_, by.reason, by.now)
            note(connection, by, "refuse", ("hold", id_), row)

    def overrule(self, id_: int, by: By, topology: Topology) -> None:
        """The loser of a conflict wins; the regions' workers are told at once by their timers."""
        for left in reversed(range(TRIES)):
            try:
                with writing(self._engine) as connection:
                    return _overrule(connection, id_, by, topology)
            except StaleRecord:
                if not left:
                    raise
        return None

    def requeue(self, id_: int, by: By) -> None:
        """A dead letter is put again where it belongs; the caller does that."""
        with writing(self._engine) as connection:
            query = select(dead_letter.c.region).where(dead_letter.c.id == id_)
            region = connection.execute(query).scalar_one_or_none()
            if region is None:
                raise PermanentError(f"there is no dead letter {id_}")
            note(connection, by, "requeue", ("dead_letter", id_), {"region": region or None})

    def acts(self, subject: str, ids: list[int]) -> dict[int, list[Act]]:
        """What was done to these, the oldest first."""
        found: dict[int, list[Act]] = {}
        columns = [audit.c[field.name] for field in fields(Act)]
        with reading(self._engine) as connection:
            for chunk in chunks(ids):
                query = select(*columns).where(audit.c.subject == subject, audit.c.subject_id.in_(chunk))
                for row in connection.execute(query.order_by(audit.c.id)).mappings():
                    found.setdefault(row["subject_id"], []).append(Act(**row))
        return found


def conflict_of(row: Mapping[Any, Any]) -> Conflict:
    """A line of the ledger as the core knows it."""
    return Conflict(
        uuid=row["entity"],
        field=row["field"],
        base=row["base"],
        kept=row["kept"],
        kept_stamp=Stamp(row["kept_time"], row["kept_region"]),
        lost=row["lost"],
        lost_stamp=Stamp(row["lost_time"], row["lost_region"]),
        reason=row["reason"] or "",
    )


def _overrule(connection: Connection, id_: int, by: By, topology: Topology) -> None:
    line = connection.execute(select(conflict).where(conflict.c.id == id_)).mappings().one_or_none()
    if line is None:
        raise PermanentError(f"there is no conflict {id_}")
    query = select(entity.c.body, entity.c.revision).where(entity.c.uuid == line["entity"])
    held = connection.execute(query.with_for_update()).one_or_none()
    if held is None:
        raise PermanentError("the entity is known no more")
    merged = overrule(wire.record(held.body), conflict_of(line), by.now, topology)
    assert merged.record is not None  # noqa: S101 - there was one
    rows = commit(connection, [Change(merged.record, held.revision, merged.desired)], by.now)
    for chunk in chunks([row for row, _, _ in rows]):  # nobody publishes them here: their timers do
        connection.execute(update(outbox).where(outbox.c.id.in_(chunk)).values(due_time=by.now))
    note(connection, by, "overrule", ("conflict", id_), {**line, "region": line["lost_region"]})


def _retry(connection: Connection, which: ColumnElement[bool], by: By) -> int:
    ids = try_again(connection, which, by.now)
    for chunk in chunks(ids):
        query = select(outbox.c.id, outbox.c.entity, outbox.c.region).where(outbox.c.id.in_(chunk))
        rows = connection.execute(query.order_by(outbox.c.id)).mappings().all()
        note_all(connection, by, "retry", "outbox", rows)
    return len(ids)


def _dead_row(connection: Connection, id_: int) -> Mapping[Any, Any]:
    query = select(outbox.c.state, outbox.c.entity, outbox.c.region).where(outbox.c.id == id_)
    row = connection.execute(query.with_for_update()).mappings().one_or_none()
    if row is None:
        raise PermanentError(f"there is no outbox row {id_}")
    if row["state"] != "dead":
        raise PermanentError(f"row {id_} has not failed: it is {row['state']}")
    return row
