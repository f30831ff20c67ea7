"""Carries out just one plan: what has not changed since, and nothing else.

In: a kept plan, and the way to ask for entities to be read. Out: each of its steps done, failed, or left out,
with the reason. Called by `region-sync apply` and `join --apply`. It calls no region to change anything: the
steps are released, and the region's worker does them, like everything else. Whoever is cut off says it again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Final

from pipeline.core.drift import Drift
from pipeline.core.errors import PermanentError
from pipeline.core.events import ABSENT, SCAN
from pipeline.outbox.audit import AuditStore
from pipeline.outbox.directory import REFUSED, Directory
from pipeline.outbox.hub import HubStore
from pipeline.outbox.noting import By
from pipeline.outbox.plans import PlanRow, PlanStore, StepRow, StepState
from pipeline.reconcile.asking import Asking
from pipeline.reconcile.planning import Means, Planner

AT_ONCE: Final = 500
"""Steps that are released, or looked at, together."""
LOOK_EVERY_S: Final = 0.3
STALLED_S: Final = 60.0
"""Without one step coming to its end for so long, waiting is given up; what was released goes on."""

CHANGED: Final = "changed since the plan was made"
PARENT_LEFT_OUT: Final = "what it is in is left out"


@dataclass(frozen=True, slots=True)
class Advance:
    """How far it is: steps that are over, of all that were released."""

    over: int
    released: int


def untold(_: Advance) -> None:
    """For whoever does not want to know."""


@dataclass(slots=True)
class Carried:
    """What came of it. `waiting`: steps that were released and did not come to their end in time."""

    done: int = 0
    failed: list[StepRow] = field(default_factory=list)
    left_out: list[StepRow] = field(default_factory=list)
    waiting: int = 0


class Carrier:
    """One plan of one region."""

    def __init__(self, means: Means, asking: Asking, stalled_s: float = STALLED_S) -> None:
        self._means = means
        self._asking = asking
        self._stalled_s = stalled_s
        self._plans = PlanStore(means.engine, means.region, means.clock)
        self._hub = HubStore(means.engine, means.clock)
        self._revisions: dict[str, int] = {}
        self._spared: set[str] = set()
        self._resumed = 0
        self._by: By | None = None

    async def run(
        self, planned: PlanRow, by: By | None = None, told: Callable[[Advance], None] = untold
    ) -> Carried:
        """To its end, or until nothing has moved for long; `by` whom goes into the audit. Raises the errors
        of errors.py."""
        self._by = by
        if planned.region != self._means.region:
            raise PermanentError(f"the plan {planned.hash} is {planned.region}'s")
        fresh = await Planner(self._means).make()
        carried = Carried()
        after = (0, 0)
        while steps := await asyncio.to_thread(self._plans.to_release, planned.id, after, AT_ONCE):
            after = (steps[-1].place, steps[-1].id)
            await self._release(planned, fresh, steps, carried)
        released = len(self._revisions) + self._resumed
        last, moved = time.monotonic(), 0
        while carried.done + len(carried.failed) < released:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look(planned, carried)
            over = carried.done + len(carried.failed)
            if over > moved:
                last, moved = time.monotonic(), over
                told(Advance(over, released))
            if time.monotonic() - last > self._stalled_s:
                break
        carried.waiting = released - carried.done - len(carried.failed)
        return carried

    async def _release(
        self, planned: PlanRow, fresh: PlanRow, steps: Sequence[StepRow], carried: Carried
    ) -> None:
        """Those of the steps that are as they were planned, or under way since an earlier run."""
        now = await asyncio.to_thread(self._plans.fingerprints, fresh.id, [step.entity for step in steps])
        over = [step for step in steps if step.entity not in now]
        rest = [step for step in steps if step.entity in now]
        left_out = [step for step in map(partial(self._left_out, now), rest) if step is not None]
        await self._settle(over, StepState.DONE)
        resumed = sum(
            step.state is StepState.RELEASED for step in over
        )  # an earlier run's, carried out since
        carried.done += resumed
        self._resumed += resumed
        await self._settle(left_out, StepState.LEFT_OUT)
        carried.left_out += left_out
        spared = {step.id for step in left_out}
        chosen = [step for step in rest if step.id not in spared]
        entities = [step.entity for step in chosen]
        stored = await asyncio.to_thread(self._hub.load, entities)
        self._revisions |= {uuid: stored[uuid].revision if uuid in stored else 0 for uuid in entities}
        await asyncio.to_thread(self._plans.release, planned.id, chosen, self._by)
        self._by = None  # said once
        audit = AuditStore(self._means.engine)
        await asyncio.to_thread(audit.retry_entities, self._means.region, entities, self._means.clock())
        await self._ask(chosen)

    async def _ask(self, steps: Sequence[StepRow]) -> None:
        """In their order. What never was in the region was just seen not to be there: it needs no read. What
        an earlier run had made again under another UUID is asked for by that."""
        region = self._means.region
        here = await asyncio.to_thread(self._hub.locals, [(step.entity, region) for step in steps])
        for event, group in groupby(steps, lambda step: ABSENT if step.told["never_here"] else SCAN):
            entities = [(step.kind, here.get((step.entity, region), step.local)) for step in group]
            await self._asking.ask(entities, event)

    def _left_out(self, now: Mapping[str, str], step: StepRow) -> StepRow | None:
        """The step with why it is left out; None where it is not. What an earlier run had released goes on,
        half done as it may be."""
        if step.state is StepState.RELEASED:
            return None
        if now[step.entity] != step.fingerprint:
            words = CHANGED
        elif (step.wanted or {}).get("parent") in self._spared and step.told["drift"] == Drift.MISSING:
            words = PARENT_LEFT_OUT
        elif _is_not_taken(step):
            words = step.told["note"]
        else:
            return None
        self._spared.add(step.entity)
        return replace(step, message=words)

    async def _look(self, planned: PlanRow, carried: Carried) -> None:
        """Which of the released steps are over."""
        after = 0
        while steps := await asyncio.to_thread(
            self._plans.in_state, planned.id, StepState.RELEASED, after, AT_ONCE
        ):
            after = steps[-1].id
            done, failed = await asyncio.to_thread(self._over, steps)
            await self._settle(done, StepState.DONE)
            await self._settle(failed, StepState.FAILED)
            carried.done += len(done)
            carried.failed += failed

    def _over(self, steps: Sequence[StepRow]) -> tuple[list[StepRow], list[StepRow]]:
        """Done: the hub has heard of it since, and knows the region to hold what was planned. Failed: refused
        by the region, or held for a person."""
        stored = self._hub.load([step.entity for step in steps])
        done = [
            step
            for step in steps
            if (found := stored.get(step.entity)) is not None
            and found.revision > self._revisions.get(step.entity, 0)
            and found.record.desired_in(self._means.region) == step.wanted
            and found.record.region(self._means.region).confirmed == step.wanted
        ]
        rest = {step.entity: step for step in steps if step not in done}
        waits = Directory(self._means.engine).under_way(self._means.region, list(rest))
        refused = {uuid: words for uuid, words in waits.items() if words.startswith(REFUSED)}
        return done, [replace(rest[uuid], message=words) for uuid, words in refused.items()]

    async def _settle(self, steps: Sequence[StepRow], state: StepState) -> None:
        if steps:
            words = {step.id: step.message or "" for step in steps}
            await asyncio.to_thread(self._plans.settle, words, state)


def _is_not_taken(step: StepRow) -> bool:
    """Its region is no source for it: it stays there, and nowhere else."""
    told = step.told
    nothing = not (told["calls"] or told["elsewhere"] or told["differences"] or told["linked"])
    return nothing and told["drift"] == Drift.CONFLICT
