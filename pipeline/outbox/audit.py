"""What people ask: how much waits, what is stuck and why, and "try that again". Also the settings' regions
and the watermarks of the event logs, which no other store owns.

In: filters and ids from the command line and the views. Out: small frozen values, no rows of SQLAlchemy's.
Called by the command line, the demonstration and the composition root; every method is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, select, update

from pipeline.outbox import futile
from pipeline.outbox.engine import reading, writing
from pipeline.outbox.holding import ask_again
from pipeline.outbox.schema import attempt, conflict, dead_letter, entity, outbox, region, watermark
from pipeline.outbox.settle import CallRow
from pipeline.outbox.statements import chunks, insert_new, upsert

PAGE: Final = 100
ATTEMPTS_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class RegionRow:
    """A region as the settings tell it. `password` says where the secret is, it is never the secret."""

    name: str
    host: str
    root_url: str
    user_name: str
    password: str
    is_master: bool
    mode: str = "apply"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One desired state and what became of it; times in ms, None where it has not happened."""

    id: int
    routing_key: str
    entity: str
    kind: str
    version: int
    region: str
    state: str
    attempts: int
    created_time: int
    published_time: int | None
    processed_time: int | None
    due_time: int
    waits_for: str | None
    result: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class OutboxDetail:
    """One row with its message and the API calls made for it, oldest first."""

    row: OutboxRow
    body: bytes
    attempts: tuple[CallRow, ...]


@dataclass(frozen=True, slots=True)
class Marked:
    """An entity that is stuck, and why."""

    uuid: str
    kind: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Present records by kind, lines of the conflict ledger, and messages that could not be read."""

    entities: dict[str, int]
    conflicts: int
    dead_letters: int


_ROW_COLUMNS: Final = tuple(outbox.c[field.name] for field in fields(OutboxRow))


class AuditStore:
    """The read side, and the few things a person may change. Every method raises `TemporaryError` for what
    passes by itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def counts(self) -> dict[str, dict[str, int]]:
        """Region → state → number of outbox rows."""
        query = select(outbox.c.region, outbox.c.state, func.count())
        found: dict[str, dict[str, int]] = {}
        with reading(self._engine) as connection:
            for name, state, number in connection.execute(query.group_by(outbox.c.region, outbox.c.state)):
                found.setdefault(name, {})[state] = number
        return found

    def show(self, outbox_id: int) -> OutboxDetail | None:
        """One row with its attempts; None when there is no such row."""
        query = select(*_ROW_COLUMNS, outbox.c.body).where(outbox.c.id == outbox_id)
        calls = (
            select(attempt.c.command, attempt.c.status, attempt.c.error, attempt.c.ms, attempt.c.time)
            .where(attempt.c.outbox_id == outbox_id)
            .order_by(attempt.c.id)
            .limit(ATTEMPTS_SHOWN)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                return None
            made = tuple(CallRow(**call) for call in connection.execute(calls).mappings())
        columns: dict[str, Any] = dict(row)
        return OutboxDetail(body=columns.pop("body"), row=OutboxRow(**columns), attempts=made)

    def retry_entities(self, name: str, entities: Sequence[str], now: int) -> int:
        """The dead rows of these entities in a region are pending again, and due. Returns how many."""
        with writing(self._engine) as connection:
            return sum(
                len(try_again(connection, and_(outbox.c.region == name, outbox.c.entity.in_(chunk)), now))
                for chunk in chunks(entities)
            )

    def marked(self, limit: int = PAGE) -> list[Marked]:
        """Entities that are stuck, the longest untouched first."""
        query = (
            select(entity.c.uuid, entity.c.kind, entity.c.name, entity.c.marked)
            .where(entity.c.marked.is_not(None))
            .order_by(entity.c.modified, entity.c.uuid)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [Marked(*row) for row in connection.execute(query)]

    def totals(self) -> Totals:
        """What the hub holds, counted."""
        kinds = select(entity.c.kind, func.count()).where(entity.c.present.is_(True)).group_by(entity.c.kind)
        with reading(self._engine) as connection:
            return Totals(
                entities=dict(connection.execute(kinds).all()),
                conflicts=connection.execute(select(func.count()).select_from(conflict)).scalar_one(),
                dead_letters=connection.execute(select(func.count()).select_from(dead_letter)).scalar_one(),
            )

    def watermark(self, name: str) -> int | None:
        """How far the log called `name` was read, in ms; None when never."""
        query = select(watermark.c.value).where(watermark.c.name == name)
        with reading(self._engine) as connection:
            return connection.execute(query).scalar_one_or_none()

    def save_watermark(self, name: str, value: int, now: int) -> None:
        """The log called `name` was read up to `value`, in ms."""
        with writing(self._engine) as connection:
            upsert(connection, watermark, [{"name": name, "value": value, "time": now}], ("value", "time"))

    def save_regions(self, regions: Sequence[RegionRow]) -> None:
        """Keep the settings' regions; one that is no longer among them stays, inactive. Processes that start
        together may do so together."""
        rows = [{**asdict(one), "active": True} for one in regions]
        with writing(self._engine) as connection:
            insert_new(connection, region, rows)
            names = [one.name for one in regions]
            connection.execute(update(region).where(region.c.name.not_in(names)).values(active=False))
            for row in rows:
                connection.execute(update(region).where(region.c.name == row["name"]).values(row))

    def regions(self) -> list[RegionRow]:
        """The active regions, by name."""
        query = select(*(region.c[field.name] for field in fields(RegionRow)))
        with reading(self._engine) as connection:
            active = query.where(region.c.active.is_(True)).order_by(region.c.name)
            return [RegionRow(**row) for row in connection.execute(active).mappings()]


def try_again(connection: Connection, which: ColumnElement[bool], now: int) -> list[int]:
    """Those of these rows that are dead are pending, from the beginning: what calls without effect, or a
    person's refusal, stopped is tried anew. Their ids."""
    dead = select(outbox.c.id).where(which, outbox.c.state == "dead").with_for_update()
    ids = list(connection.execute(dead).scalars())
    futile.forget(connection, ids)
    ask_again(connection, ids, now)
    for chunk in chunks(ids):
        connection.execute(
            update(outbox)
            .where(outbox.c.id.in_(chunk))
            .values(state="pending", due_time=now, waits_for=None, processed_time=None)
        )
    return ids
