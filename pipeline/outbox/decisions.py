"""What the hub decided about each observation, kept for a while: by which event, where in the log, what it
turned out to be, and what it led to.

In: decisions, in the transaction of the merge itself, so that there is never one without the other. Out:
those of one entity. Called by the hub and by `timeline`; `DecisionStore.prune` by the hub's timer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import Connection, Engine, delete, func, select

from pipeline.core.entities import Kind
from pipeline.core.merge import Merged, Outcome
from pipeline.core.records import Observation, Position
from pipeline.outbox.columns import UUID_MAX
from pipeline.outbox.engine import reading, writing
from pipeline.outbox.journal_schema import CAUSE_MAX, decision
from pipeline.outbox.statements import chunks, cut, insert_new

KEPT_MS: Final = 30 * 24 * 3_600_000
"""Older ones are deleted, unless the settings say otherwise."""
KEPT_ROWS: Final = 5_000_000
"""Of all entities together; beyond that the oldest are deleted, however young."""
PRUNED_ROWS: Final = 2_000
"""In one transaction."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One observation as it was merged. `conflicts`: how many fields another region had changed too;
    `version`: of the desired states that it led to, None where it led to none."""

    entity: str
    kind: Kind
    region: str
    log: str
    offset: int
    cause: str
    applied: int | None
    outcome: Outcome
    conflicts: int
    version: int | None
    event_time: int


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One that was kept, `time` being the hub's."""

    region: str
    log: str
    offset: int
    cause: str
    applied: int | None
    outcome: str
    conflicts: int
    version: int | None
    event_time: int
    time: int

    @property
    def partition(self) -> int | None:
        """Of the topic of observations."""
        number = self.log.rpartition("/")[2]
        return int(number) if number.isdecimal() else None


def decided(seen: Observation, at: Position, merged: Merged) -> Decision:
    """What is to be kept of one merge; `seen` in canonical UUIDs."""
    return Decision(
        seen.uuid,
        seen.kind,
        seen.region,
        at.log,
        at.offset,
        seen.cause,
        seen.applied,
        merged.outcome,
        len(merged.conflicts),
        merged.desired[0].version if merged.desired else None,
        seen.time,
    )


def write_decisions(connection: Connection, decisions: Sequence[Decision], now: int) -> None:
    """A place of a log that was kept already stays as it is: it is delivered again."""
    insert_new(connection, decision, [_row(one, now) for one in decisions])


def read_decisions(connection: Connection, entity: str, limit: int) -> list[DecisionRow]:
    """The newest `limit` of one entity, the oldest of them first."""
    columns = [decision.c[field.name] for field in fields(DecisionRow)]
    query = select(*columns).where(decision.c.entity == entity).limit(limit)
    # Not by id: a database may then walk all entities' rows backwards instead of reading those of this one.
    query = query.order_by(decision.c.time.desc(), decision.c.offset.desc())
    return [DecisionRow(**row) for row in connection.execute(query).mappings()][::-1]


def count_violations(connection: Connection, of: tuple[str, str], since: int) -> int:
    """(entity, region): how often that region said of it what it may not say, since then (ms)."""
    columns = decision.c
    query = select(func.count()).where(columns.entity == of[0], columns.region == of[1], columns.time > since)
    query = query.where(columns.outcome == Outcome.VIOLATION.value)
    return int(connection.execute(query).scalar_one())


class DecisionStore:
    """The store of the timer that deletes what is too old."""

    def __init__(self, engine: Engine, kept_ms: int = KEPT_MS) -> None:
        self._engine = engine
        self._kept_ms = kept_ms

    def prune(self, now: int, kept_rows: int = KEPT_ROWS) -> int:
        """Delete the oldest, at most `PRUNED_ROWS`; how many there were. Ids and times grow together,
        nearly: a young one between old ones stays. Raises `TemporaryError`."""
        with reading(self._engine) as connection:
            newest = connection.execute(select(func.max(decision.c.id))).scalar_one() or 0
            query = select(decision.c.id, decision.c.time).order_by(decision.c.id).limit(PRUNED_ROWS)
            oldest = connection.execute(query).all()
        old = [id_ for id_, time in oldest if time < now - self._kept_ms or id_ <= newest - kept_rows]
        if old:
            with writing(self._engine) as connection:
                for chunk in chunks(old):
                    connection.execute(delete(decision).where(decision.c.id.in_(chunk)))
        return len(old)


def _row(one: Decision, now: int) -> dict[str, object]:
    return {
        "entity": one.entity,
        "log": cut(one.log, UUID_MAX),
        "offset": one.offset,
        "kind": one.kind.value,
        "region": one.region,
        "cause": cut(one.cause, CAUSE_MAX),
        "applied": one.applied,
        "outcome": one.outcome.value,
        "conflicts": one.conflicts,
        "version": one.version,
        "event_time": one.event_time,
        "time": now,
    }
