"""Asks before a removal is made, and does what was decided instead: held, quarantined, or refused.

In: a removal that apply is about to make, and what was read. Out: how its row ends, or None: remove it.
Called by apply, one lane at a time for an entity. The ledger is written before the region is touched, so that
a worker that dies in between is taken up where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.agents.batch import Batcher
from pipeline.agents.calls import Caller
from pipeline.agents.desk import Desk, Sighting
from pipeline.agents.report import tell_removal, timed
from pipeline.cloudstack.losses import read_losses
from pipeline.core.entities import DISABLED, Snapshot
from pipeline.core.plan import Plan, Target, state_calls
from pipeline.core.records import Desired
from pipeline.core.removal import (
    NOTHING_STANDS,
    Asked,
    CarryOut,
    Decision,
    Hold,
    Limits,
    Losses,
    Quarantine,
    Window,
    decide,
    is_decided,
)
from pipeline.outbox.holding import refusal
from pipeline.outbox.holds import Pending
from pipeline.outbox.region import Context


@dataclass(frozen=True, slots=True)
class Kept:
    """The entity stays for now: how its row ends. `due_time`: when it is asked about again."""

    state: Literal["held", "pending", "dead"]
    message: str
    due_time: int | None = None


class Remover:
    """Asks before each removal in one region."""

    def __init__(self, desk: Desk, caller: Caller, limits: Limits) -> None:
        self._desk = desk
        self._caller = caller
        self._limits = limits
        self._decisions: Batcher[Pending, Decision] = Batcher(
            timed(desk.report, "removals", lambda asked: desk.store.decide(asked, limits))
        )

    async def ask(self, desired: Desired, context: Context, actual: Snapshot) -> Kept | None:
        """None: it may be removed now. Raises as the client does."""
        decision = await self._decide(desired, context, actual)
        tell_removal(self._desk.report, desired, context, decision)
        if isinstance(decision, CarryOut):
            return None
        if isinstance(decision, Hold):
            return Kept("held", decision.reason)
        if isinstance(decision, Quarantine):
            await self._bring_into(DISABLED, desired, actual)
            return Kept("pending", "in quarantine", decision.until)
        if decision.before is not None:
            await self._bring_into(decision.before, desired, actual)
        return Kept("dead", refusal(decision.note))

    async def _decide(self, desired: Desired, context: Context, actual: Snapshot) -> Decision:
        now = self._desk.clock()
        standing = context.standing
        state = (actual.fields or {}).get("state", "")
        if is_decided(standing, now) or context.outbox_id is None:
            # Without a row nothing could be held: it was purged, and so had ended.
            standing = standing if context.outbox_id is not None else NOTHING_STANDS
            return decide(self._limits, Asked(desired.kind, state, Losses(), standing), Window(0, 0), now)
        losses = await read_losses(self._desk.resources, actual)
        asked = Asked(desired.kind, state, losses, standing)
        return await self._decisions.ask(Pending(context.outbox_id, desired.uuid, asked))

    async def _bring_into(self, state: str, desired: Desired, actual: Snapshot) -> None:
        """By as few calls as it takes; none where a worker that died had made them."""
        held = (actual.fields or {}).get("state", "")
        calls = state_calls(desired.kind, actual.uuid, held, state)
        if not calls:
            return
        target = Target(desired.kind, actual.uuid, actual.fields, None)
        carried = await self._caller.carry_out(target, Plan(calls), actual, desired)
        await self._desk.publish(carried.after, Sighting(self._desk.clock(), "quarantine"), desired.uuid)
