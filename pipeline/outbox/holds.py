"""The ledger of holds as apply keeps it: what was held or quarantined and why, and the removals let through.

In: removals about to be carried out. Out: decisions, and what a person decided. Called by RegionStore; the
person's side is in `holding`. The decision is made in the transaction that counts and writes, one at a time
for a region, so the limits are exact however many lanes and workers ask at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from pipeline.core.removal import (
    APPROVED,
    HOUR_MS,
    REFUSED,
    SHARE_FROM,
    Asked,
    CarryOut,
    Decision,
    Hold,
    Limits,
    Quarantine,
    Standing,
    Window,
    decide,
)
from pipeline.outbox.mappings import is_present
from pipeline.outbox.schema import MESSAGE_MAX, hold, outbox, region, removal, rmap
from pipeline.outbox.statements import chunks, cut, upsert

QUARANTINED: Final = "in quarantine"


@dataclass(frozen=True, slots=True)
class Pending:
    """A removal that asks to be carried out: its outbox row's id, its entity, and what the decision needs."""

    outbox_id: int
    entity: str
    asked: Asked


@dataclass(frozen=True, slots=True)
class Stands:
    """How the newest desired state of something in the way stands: it is held or in quarantine until a person
    or a time comes; a person refused to remove it, with these words; or neither."""

    waits: bool = False
    refused: str | None = None


def read_standings(connection: Connection, ids: Collection[int]) -> dict[int, Standing]:
    """Outbox id → what the ledger says of it."""
    found: dict[int, Standing] = {}
    for chunk in chunks(ids):
        query = select(hold).where(hold.c.outbox_id.in_(chunk))
        for row in connection.execute(query).mappings():
            standing = Standing(row["decision"], row["note"] or "", row["until"], row["state_before"])
            found[row["outbox_id"]] = standing
    return found


def read_stands(connection: Connection, name: str, uuid: str) -> Stands:
    """How the removal of `uuid` from the region `name` stands."""
    query = (
        select(outbox.c.state, hold.c.decision, hold.c.note, hold.c.until)
        .outerjoin(hold, hold.c.outbox_id == outbox.c.id)
        .where(outbox.c.entity == uuid, outbox.c.region == name)
        .order_by(outbox.c.version.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return Stands()
    if row["decision"] == REFUSED:
        return Stands(refused=row["note"] or "")
    waits = row["state"] == "held" or (row["until"] is not None and row["decision"] is None)
    return Stands(waits=waits)


def decide_all(
    connection: Connection, name: str, pending: Sequence[Pending], limits: Limits, now: int
) -> list[Decision]:
    """One decision for each, in their order; each let through counts for the next. What the ledger says is
    read here once more: a person may have decided since the row's context was read."""
    connection.execute(select(region.c.id).where(region.c.name == name).with_for_update())  # one at a time
    counted = _Counted(connection, name, now)
    standings = read_standings(connection, [one.outbox_id for one in pending])
    decisions: list[Decision] = []
    for one in pending:
        window = counted.window(one.outbox_id)
        found = standings.get(one.outbox_id, one.asked.standing)
        standing = found if found.decision is not None or found.until is not None else one.asked.standing
        decision = decide(limits, replace(one.asked, standing=standing), window, now)
        if isinstance(decision, CarryOut) and standing.decision != APPROVED:
            counted.let_through(one.outbox_id)
        if isinstance(decision, Quarantine) and standing.until is None:
            counted.let_through(one.outbox_id)
        if isinstance(decision, Hold | Quarantine):
            _write_hold(connection, _hold_row(name, one, decision, now))
        decisions.append(decision)
    counted.write()
    return decisions


class _Counted:
    """The removals of the last hour, as this transaction sees them."""

    def __init__(self, connection: Connection, name: str, now: int) -> None:
        self._connection = connection
        self._name = name
        self._now = now
        old = and_(removal.c.region == name, removal.c.time <= now - HOUR_MS)
        connection.execute(delete(removal).where(old))
        ids = connection.execute(select(removal.c.outbox_id).where(removal.c.region == name))
        self._through = {id_ for (id_,) in ids}
        self._new: list[int] = []
        self._known: int | None = None

    def window(self, id_: int) -> Window:
        """Without the row itself, which may have been let through before, and failed."""
        removed = len(self._through - {id_})
        return Window(removed, self._count() if removed >= SHARE_FROM else removed)

    def let_through(self, id_: int) -> None:
        self._through.add(id_)
        self._new.append(id_)

    def write(self) -> None:
        rows = [{"outbox_id": id_, "region": self._name, "time": self._now} for id_ in self._new]
        upsert(self._connection, removal, rows, ("time",))

    def _count(self) -> int:
        """Only asked for where the share may matter: it reads all of the region's mappings."""
        if self._known is None:
            query = select(func.count()).select_from(rmap).where(rmap.c.region_id == self._name, is_present())
            self._known = self._connection.execute(query).scalar_one()
        return self._known


def _hold_row(name: str, one: Pending, decision: Hold | Quarantine, now: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "entity": one.entity,
        "region": name,
        "outbox_id": one.outbox_id,
        "created_time": now,
    }
    if isinstance(decision, Hold):
        return {**row, "reason": cut(decision.reason, MESSAGE_MAX)}
    return {**row, "reason": QUARANTINED, "until": decision.until, "state_before": decision.before}


def _write_hold(connection: Connection, row: dict[str, Any]) -> None:
    which = hold.c.outbox_id == row["outbox_id"]
    if connection.execute(select(hold.c.id).where(which)).scalar_one_or_none() is None:
        connection.execute(insert(hold).values(row))
    else:
        connection.execute(update(hold).where(which).values(row))
