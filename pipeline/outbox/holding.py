"""What a person sees and decides of the removals that are held or in quarantine.

In: ids of the ledger of holds, decisions with their reasons. Out: small frozen values; rows that apply takes
up again, or dead ones. Called by the command line and the views, and by `acting` in its transactions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import Connection, Engine, RowMapping, and_, case, literal, or_, select, update

from pipeline.core.errors import PermanentError
from pipeline.core.removal import APPROVED, REFUSED
from pipeline.outbox.engine import reading
from pipeline.outbox.mappings import OPEN, wake
from pipeline.outbox.schema import MESSAGE_MAX, entity, hold, outbox
from pipeline.outbox.statements import chunks, cut

SHOWN: Final = 1000


@dataclass(frozen=True, slots=True)
class Held:
    """One line of the ledger. `until`: in quarantine until then; times in ms. `decision`: None while a person
    is asked."""

    id: int
    outbox_id: int
    region: str
    kind: str
    name: str
    entity: str
    state: str
    reason: str
    created_time: int
    until: int | None
    decision: str | None
    note: str | None
    decided_time: int | None


class NotHeld(PermanentError):
    """There is no such line, or nothing can be decided about it any more; the text says which."""


_COLUMNS: Final[dict[str, Any]] = {
    field.name: next(table.c[field.name] for table in (hold, outbox, entity) if field.name in table.c)
    for field in fields(Held)
}


def _is_open() -> Any:
    """Held, or in quarantine."""
    return and_(
        hold.c.decision.is_(None),
        or_(outbox.c.state == "held", and_(outbox.c.state.in_(OPEN), hold.c.until.is_not(None))),
    )


class HoldStore:
    """Every method raises `TemporaryError` for what passes by itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def holds(self, region: str | None = None, *, decided: bool = False, limit: int = SHOWN) -> list[Held]:
        """What waits for a person, the oldest first; or what was decided, the newest first."""
        query = (
            select(*_COLUMNS.values())
            .select_from(hold)
            .join(outbox, outbox.c.id == hold.c.outbox_id)
            .join(entity, entity.c.uuid == hold.c.entity)
            .where(hold.c.decision.is_not(None) if decided else _is_open())
            .order_by(hold.c.decided_time.desc() if decided else hold.c.id, hold.c.id)
            .limit(limit)
        )
        if region is not None:
            query = query.where(hold.c.region == region)
        with reading(self._engine) as connection:
            return [Held(**row) for row in connection.execute(query).mappings()]


def approve(connection: Connection, id_: int, note: str, now: int) -> RowMapping:
    """It is removed, and nothing is asked again; what is in quarantine is removed at once. The hold that
    it was done to. Raises `NotHeld`."""
    row = _take(connection, id_)
    _decide(connection, id_, APPROVED, note, now)
    _reopen(connection, row["outbox_id"], now)
    return row


def refuse(connection: Connection, id_: int, note: str, now: int) -> RowMapping:
    """It stays in the region. What is in quarantine, or was before it was held, is first given back its state
    by the region's worker. Likewise."""
    row = _take(connection, id_)
    _decide(connection, id_, REFUSED, note, now)
    if row["state_before"] is not None:
        _reopen(connection, row["outbox_id"], now)
        return row
    message = refusal(note)
    connection.execute(
        update(outbox)
        .where(outbox.c.id == row["outbox_id"])
        .values(state="dead", result="refused", message=cut(message, MESSAGE_MAX), processed_time=now)
    )
    mark = cut(f"{row['region']}: {message}", MESSAGE_MAX)
    connection.execute(update(entity).where(entity.c.uuid == row["entity"]).values(marked=mark))
    wake(connection, [(row["entity"], row["region"])], now)  # what waits for its end learns of it
    return row


def refusal(note: str) -> str:
    """How a refused removal's row and its entity's mark begin."""
    return f"its removal was refused: {note}"


def ask_again(connection: Connection, ids: Collection[int], now: int) -> None:
    """Dead rows that are tried again: a refusal among them is over, and what it said stays in the reason."""
    for chunk in chunks(ids):
        said = case((hold.c.note.is_(None), ""), else_=hold.c.note)
        connection.execute(
            update(hold)
            .where(hold.c.outbox_id.in_(chunk), hold.c.decision == REFUSED)
            .values(
                decision=None,
                decided_time=None,
                until=None,
                state_before=None,
                note=literal("refused before: ") + said,
                created_time=now,
            )
        )


def _take(connection: Connection, id_: int) -> RowMapping:
    query = (
        select(
            hold.c.outbox_id,
            hold.c.entity,
            hold.c.region,
            hold.c.state_before,
            hold.c.decision,
            outbox.c.state,
        )
        .join(outbox, outbox.c.id == hold.c.outbox_id)
        .where(hold.c.id == id_)
    )
    row = connection.execute(query.with_for_update()).mappings().one_or_none()
    if row is None:
        raise NotHeld(f"there is no hold {id_}")
    if row["decision"] is not None:
        raise NotHeld(f"hold {id_} was decided already: {row['decision']}")
    quarantined = row["state_before"] is not None and row["state"] in OPEN
    if row["state"] != "held" and not quarantined:
        raise NotHeld(f"hold {id_} is over: its desired state is {row['state']}")
    return row


def _decide(connection: Connection, id_: int, decision: str, note: str, now: int) -> None:
    said = {"decision": decision, "note": cut(note, MESSAGE_MAX), "decided_time": now}
    connection.execute(update(hold).where(hold.c.id == id_).values(said))


def _reopen(connection: Connection, outbox_id: int, now: int) -> None:
    connection.execute(
        update(outbox)
        .where(outbox.c.id == outbox_id)
        .values(state="pending", due_time=now, waits_for=None, processed_time=None)
    )
