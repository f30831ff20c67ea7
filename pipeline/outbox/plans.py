"""Plans: what it would take to make a region equal, kept so that just that is carried out later.

In: steps as they are found. Out: the plan's row and its steps in the order of their calls; what of it a
person released; how far that has come. Called by `pipeline.reconcile` and the command line; `released` by a
region's worker, in mode plan. Every method is one transaction and may be run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Engine, and_, delete, func, insert, select, tuple_, update

from pipeline import wire
from pipeline.core.drift import Drift, Step, Tally, plan_hash, shown
from pipeline.core.entities import Kind
from pipeline.core.errors import PermanentError
from pipeline.core.records import Desired
from pipeline.outbox.engine import reading, writing
from pipeline.outbox.noting import By, note
from pipeline.outbox.schema import MESSAGE_MAX, attempt, outbox, plan, plan_step
from pipeline.outbox.settle import PLANNED
from pipeline.outbox.statements import chunks, cut

KEPT: Final = 20
"""Plans of a region that are kept; older ones are forgotten."""
RELEASED_MS: Final = 86_400_000
"""What a person released and nobody carried out within a day has to be planned anew."""
MEASURED_CALLS: Final = 20_000
"""Of the newest calls, those whose time is looked at for the estimate."""
HASH_MIN: Final = 6
"""Digits of a hash that name a plan, where they name one alone."""


class StepState(StrEnum):
    """The life of a step: planned → released → done | failed; what changed since is left out."""

    PLANNED = "planned"
    RELEASED = "released"
    DONE = "done"
    FAILED = "failed"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One plan as the table has it. `seconds`: about how long its calls take."""

    id: int
    hash: str
    region: str
    time: int
    released_time: int | None
    counts: dict[Drift, int]
    calls: int
    seconds: int

    @property
    def equal(self) -> bool:
        """Nothing is to be done."""
        return all(not count or drift is Drift.MATCHED for drift, count in self.counts.items())


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step as it was kept; `told` is all of it, for a person."""

    id: int
    place: int
    entity: str
    kind: Kind
    fingerprint: str
    wanted: dict[str, str] | None
    told: dict[str, Any]
    state: StepState
    message: str | None = None

    @property
    def local(self) -> str:
        """The region's own UUID of it."""
        return str(self.told["local"])


class PlanStore:
    """One region's plans. Every method raises `TemporaryError` for what passes by itself."""

    def __init__(self, engine: Engine, region: str, clock: Callable[[], int]) -> None:
        self._engine = engine
        self.region = region
        self._clock = clock

    def begin(self) -> int:
        """A plan without steps; the region's oldest ones are forgotten."""
        row = {"region": self.region, "time": self._clock(), "calls": 0, "seconds": 0}
        row |= dict.fromkeys(Drift, 0)
        with writing(self._engine) as connection:
            mine = select(plan.c.id).where(plan.c.region == self.region)
            old = connection.execute(mine.order_by(plan.c.id.desc()).offset(KEPT - 1).limit(KEPT)).scalars()
            for number in old.all():
                connection.execute(delete(plan_step).where(plan_step.c.plan == number))
                connection.execute(delete(plan).where(plan.c.id == number))
            key = connection.execute(insert(plan).values(row)).inserted_primary_key
        return int(key[0]) if key is not None else 0

    def add(self, number: int, steps: Sequence[Step]) -> None:
        """Steps of the plan `number`, in any order."""
        rows = [
            {
                "plan": number,
                "place": step.place,
                "region": self.region,
                "entity": step.uuid,
                "kind": step.kind.value,
                "fingerprint": step.fingerprint,
                "wanted": wire.encode_fields(None if step.wanted is None else dict(step.wanted)).encode(),
                "body": wire.encode_told(_told(step)),
                "state": StepState.PLANNED.value,
            }
            for step in steps
        ]
        if rows:
            with writing(self._engine) as connection:
                connection.execute(insert(plan_step), rows)

    def end(self, number: int, tally: Tally, seconds: int) -> PlanRow:
        """The plan is whole: it gets its hash."""
        values: dict[str, Any] = {drift.value: tally.drifts[drift] for drift in Drift}
        values |= {"calls": sum(tally.commands.values()), "seconds": seconds}
        query = select(plan_step.c.fingerprint).where(plan_step.c.plan == number)
        with writing(self._engine) as connection:
            values["hash"] = plan_hash(self.region, connection.execute(query).scalars())
            connection.execute(update(plan).where(plan.c.id == number).values(values))
            return plan_row(connection.execute(select(plan).where(plan.c.id == number)).mappings().one())

    def measured_ms(self) -> dict[str, float]:
        """What each command took in this region, on average, of late."""
        newest = select(func.max(attempt.c.id)).scalar_subquery()
        query = (
            select(attempt.c.command, func.avg(attempt.c.ms))
            .join(outbox, outbox.c.id == attempt.c.outbox_id)
            .where(outbox.c.region == self.region, attempt.c.id > newest - MEASURED_CALLS)
            .where(attempt.c.error.is_(None))
            .group_by(attempt.c.command)
        )
        with reading(self._engine) as connection:
            return {command: float(ms) for command, ms in connection.execute(query)}

    def steps(self, number: int, after: int = 0, limit: int = 500) -> list[StepRow]:
        """In the order of their calls: at most `limit`, after the first `after`."""
        query = (
            select(plan_step)
            .where(plan_step.c.plan == number)
            .order_by(plan_step.c.place, plan_step.c.id)
            .offset(after)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [step_row(found) for found in connection.execute(query).mappings()]

    def in_state(self, number: int, state: StepState, after: int, limit: int) -> list[StepRow]:
        """Steps in this state, in the order of their ids: at most `limit`, from the one after `after`."""
        mine = and_(plan_step.c.plan == number, plan_step.c.state == state.value)
        query = select(plan_step).where(mine, plan_step.c.id > after).order_by(plan_step.c.id).limit(limit)
        with reading(self._engine) as connection:
            return [step_row(found) for found in connection.execute(query).mappings()]

    def to_release(self, number: int, after: tuple[int, int], limit: int) -> list[StepRow]:
        """What is neither over nor left out, parents before children: at most `limit`, after the place and id
        in `after`."""
        waiting = plan_step.c.state.in_((StepState.PLANNED.value, StepState.RELEASED.value))
        rest = tuple_(plan_step.c.place, plan_step.c.id) > after
        query = (
            select(plan_step)
            .where(plan_step.c.plan == number, waiting, rest)
            .order_by(plan_step.c.place, plan_step.c.id)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [step_row(found) for found in connection.execute(query).mappings()]

    def settle(self, ids: Mapping[int, str], state: StepState) -> None:
        """These steps (id → message) have come to this."""
        with writing(self._engine) as connection:
            for number, message in ids.items():
                values = {"state": state.value, "message": cut(message, MESSAGE_MAX) or None}
                connection.execute(update(plan_step).where(plan_step.c.id == number).values(values))

    def fingerprints(self, number: int, entities: Sequence[str]) -> dict[str, str]:
        """Entity → fingerprint, of those that the plan has."""
        found: dict[str, str] = {}
        with reading(self._engine) as connection:
            for chunk in chunks(entities):
                query = select(plan_step.c.entity, plan_step.c.fingerprint).where(
                    plan_step.c.plan == number, plan_step.c.entity.in_(chunk)
                )
                found.update((entity, fingerprint) for entity, fingerprint in connection.execute(query))
        return found

    def release(self, number: int, steps: Sequence[StepRow], by: By | None = None) -> None:
        """These may be carried out, whatever the region's mode; what was held or refused before is due. `by`:
        who said so, written down with the first of them."""
        now = self._clock()
        with writing(self._engine) as connection:
            connection.execute(update(plan).where(plan.c.id == number).values(released_time=now))
            if by is not None:
                note(connection, by, "apply", ("plan", number), {"region": self.region})
            for chunk in chunks([step.id for step in steps]):
                changed = {"state": StepState.RELEASED.value, "message": None}
                connection.execute(update(plan_step).where(plan_step.c.id.in_(chunk)).values(changed))
            for entities in chunks([step.entity for step in steps]):
                due = and_(outbox.c.region == self.region, outbox.c.entity.in_(entities))
                planned = and_(outbox.c.state == "held", outbox.c.result == PLANNED)
                again = {"state": "pending", "due_time": now, "processed_time": None}
                connection.execute(update(outbox).where(due, planned).values(again))


def is_released(connection: Connection, region: str, desired: Desired, now: int) -> bool:
    """Whether a person had just this desired state carried out, within the last day."""
    query = (
        select(plan_step.c.wanted)
        .join(plan, plan.c.id == plan_step.c.plan)
        .where(
            plan_step.c.region == region,
            plan_step.c.state == StepState.RELEASED.value,
            plan_step.c.entity == desired.uuid,
            plan.c.released_time > now - RELEASED_MS,
        )
    )
    return any(wire.fields(body) == desired.fields for body in connection.execute(query).scalars())


def find_plan(engine: Engine, digits: str) -> PlanRow:
    """The newest plan whose hash begins so. Raises `PermanentError` where there is none, or several."""
    if len(digits) < HASH_MIN:
        raise PermanentError(f"{digits!r} is no plan's hash: give at least {HASH_MIN} of its digits")
    with reading(engine) as connection:
        rows = [plan_row(one) for one in _by_hash(connection, digits)]
    if not rows:
        raise PermanentError(f"there is no plan {digits}: make one by `region-sync plan --region NAME`")
    if len({row.hash for row in rows}) > 1:
        raise PermanentError(f"several plans begin with {digits}: give more digits")
    return rows[0]


def _by_hash(connection: Connection, digits: str) -> Iterator[Mapping[Any, Any]]:
    query = select(plan).where(plan.c.hash.startswith(digits.lower(), autoescape=True))
    yield from connection.execute(query.order_by(plan.c.id.desc())).mappings()


def _told(step: Step) -> dict[str, Any]:
    return {
        "kind": step.kind.value,
        "path": step.path,
        "drift": step.drift.value,
        "uuid": step.uuid,
        "local": step.local,
        "differences": {name: list(both) for name, both in step.differences.items()},
        "calls": [shown(call) for call in step.calls],
        "elsewhere": list(step.elsewhere),
        "note": step.note,
        "linked": step.linked,
        "never_here": step.never_here,
    }


def plan_row(found: Mapping[Any, Any]) -> PlanRow:
    return PlanRow(
        id=found["id"],
        hash=found["hash"] or "",
        region=found["region"],
        time=found["time"],
        released_time=found["released_time"],
        counts={drift: found[drift.value] for drift in Drift},
        calls=found["calls"],
        seconds=found["seconds"],
    )


def step_row(found: Mapping[Any, Any]) -> StepRow:
    return StepRow(
        id=found["id"],
        place=found["place"],
        entity=found["entity"],
        kind=Kind(found["kind"]),
        fingerprint=found["fingerprint"],
        wanted=wire.fields(found["wanted"]),
        told=wire.told(found["body"]),
        state=StepState(found["state"]),
        message=found["message"],
    )
