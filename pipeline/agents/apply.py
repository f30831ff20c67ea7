"""Applies a desired state to a region: read, plan, call, publish what came of it, settle the row.

In: one desired state. Out: a settled (or parked, or held) outbox row, and an observation of the result.
Called by the region worker's lanes, one lane at a time for an entity. Whatever is cut off in the middle is
done again: the read tells what is left to do. Only what was never there is made without a read: CloudStack
refuses a UUID or a name that is used, and then it is read. The result is published before the row is settled,
so that a worker that dies in between says it twice rather than never.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from functools import partial

from pipeline.agents import ending, roles
from pipeline.agents.awaited import Awaited, put_off
from pipeline.agents.calls import Caller, Found, ParentGone
from pipeline.agents.desk import Desk, Sighting
from pipeline.agents.doubt import Doubts
from pipeline.agents.removal import Remover
from pipeline.agents.report import tell_applied
from pipeline.agents.target import in_canonical, in_local, target_of
from pipeline.agents.tenure import Lost
from pipeline.cloudstack.errors import BelowItself, Refused
from pipeline.cloudstack.eventlog import History
from pipeline.core.effect import Futile, again, difference, unlike
from pipeline.core.entities import ROOT, Kind, Snapshot
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.core.events import SCAN
from pipeline.core.makeshift import is_stand_in
from pipeline.core.mode import Mode
from pipeline.core.plan import LIFE, Plan, as_made_here, plan
from pipeline.core.records import Desired
from pipeline.core.removal import Limits
from pipeline.outbox.region import Context, Settlement

log = logging.getLogger(__name__)


class NoEffect(PermanentError):
    """The calls succeeded, and the region holds something else: somebody changed it in the same moment, which
    the next read tells, or the calls do nothing, and would be planned again and again."""

    def __init__(self, futile: Futile) -> None:
        super().__init__(futile.difference)
        self.futile = futile


@dataclass(frozen=True, slots=True)
class Rules:
    """What apply may do to its region, and when it asks before it removes."""

    mode: Mode = Mode.APPLY
    limits: Limits = field(default_factory=Limits)


class Applier:
    """Writes to one region, as far as its rules let it."""

    def __init__(self, desk: Desk, caller: Caller, rules: Rules) -> None:
        self._desk = desk
        self._caller = caller
        self._mode = rules.mode
        self._remover = Remover(desk, caller, rules.limits)
        self.doubts = Doubts(desk)

    async def apply(self, desired: Desired, hinted_at: int | None) -> bool:
        """Settles the row; says whether the entity was read and told. `hinted_at`: when a change that is not
        read yet was made there (ms). Raises `TemporaryError`: nothing is settled, to be tried again."""
        context = await self._desk.context(desired)
        self._desk.tenure.asks(partial(self._desk.unchanged, desired, context))
        if self._mode is Mode.PAUSED:
            await self._desk.settle(ending.paused(desired, context, self._desk.clock()))
            return False
        with self._desk.client.recording() as calls:
            try:
                settlement, told = await self._attempt(desired, context, hinted_at)
            except NoEffect as error:
                futile = again(context.futile, error.futile)
                settlement = ending.without_effect(desired, context, futile, self._desk.clock())
                told = False
            except BelowItself:
                settlement, told = ending.below_itself(desired, context, self._desk.clock()), False
            except PermanentError as error:
                settlement, told = ending.refused(desired, context, error, self._desk.clock()), False
            except Awaited as error:
                settlement, told = await put_off(self._desk, desired, context, error, calls), False
            except ParentGone:
                settlement, told = await self._without_parent(desired, context), False
            except (TemporaryError, Lost) as error:
                self.doubts.note(desired, context.local, in_local(desired.fields, context), calls)
                if calls:
                    trying = ending.ended(desired, context, "trying", str(error))
                    await self._desk.settle(ending.audited(trying, calls, self._desk.clock()))
                raise
        await self._desk.settle(ending.audited(settlement, calls, self._desk.clock()))
        tell_applied(self._desk.report, desired, context, settlement, self._desk.clock())
        return told

    async def _attempt(
        self, desired: Desired, context: Context, hinted_at: int | None
    ) -> tuple[Settlement, bool]:
        over = await self._over(desired, context)
        if over is not None:
            return over, False
        if context.taken:  # whatever is done to that UUID would be done to another entity
            await self._caller.mint(desired, context.local, context.mapped)
            raise TemporaryError(
                f"{desired.kind} {context.local} is another one here: it gets a UUID of its own"
            )
        if desired.kind is Kind.ROLE:
            context = await roles.placed(self._desk, desired, context)
            actual = await self._desk.resources.read(desired.kind, context.local)
            return await self._from(actual, desired, context, hinted_at)
        if not self._is_unheard_of(desired, context):
            actual = await self._desk.resources.read(desired.kind, context.local)
            return await self._from(actual, desired, context, hinted_at)
        try:
            actual = Snapshot(desired.kind, context.local, None)
            return await self._from(actual, desired, context, hinted_at)
        except Found as found:
            actual = found.actual
        except Refused:
            actual = await self._desk.resources.read(desired.kind, context.local)
            if not actual.present:
                raise
        return await self._from(actual, desired, context, hinted_at)

    def _is_unheard_of(self, desired: Desired, context: Context) -> bool:
        """Nobody has ever seen it there, and nobody has tried to make it: it is as good as certain that it is
        not there. What is only planned is read, since no call will tell."""
        known = context.present or context.applied_version or desired.known is not None
        tried = context.tried or context.attempts
        return desired.fields is not None and self._mode is Mode.APPLY and not (known or tried)

    async def _from(
        self, actual: Snapshot, desired: Desired, context: Context, hinted_at: int | None
    ) -> tuple[Settlement, bool]:
        """From what the region holds to how the row ends, and whether that was told."""
        # What was made a root administrator here is brought back to what it was, and never removed.
        if actual.is_left_alone(known=context.present and desired.fields is not None):
            raise PermanentError(f"{desired.kind} {context.local} is never touched")
        target = target_of(desired, context, actual)
        planned = plan(target)
        changed_at = hinted_at if planned.left_alone else None
        lost = False
        if LIFE in planned.left_alone or (planned.left_alone and changed_at is None):
            history = await self._history(desired.kind, context.local)
            lost = LIFE in planned.left_alone and history.removed_at is None
            changed_at = changed_at or history.changed_at
            if history.made_by_us and changed_at is None:
                planned = plan(as_made_here(target))
        stopped = await self._stopped(desired, context, actual, planned)
        if stopped is not None:
            return stopped, False
        carried = await self._caller.carry_out(target, planned, actual, desired)
        if carried.removed_at is not None:
            return await self._gone_since(desired, context, carried.removed_at), True
        after = carried.after
        _check_effect(desired, context, after, planned)  # before it is told
        if after.uuid != context.local:  # a role's: the next try would else not know it
            await roles.link(self._desk, desired, context, after.uuid)
        if after.users and not context.present:
            # Before anybody can hear of the account, and take its founder for one that is still to be made.
            came = [user.uuid for user in after.users[:1] if not is_stand_in(user)]
            await asyncio.to_thread(self._desk.store.came_with, desired.uuid, came)
        wrote = bool(planned.calls) and not planned.left_alone
        seen = Sighting(changed_at or self._desk.clock(), "apply", desired.version, lost, wrote=wrote)
        if desired.kind is Kind.ROLE and not context.present and planned.left_alone and not changed_at:
            seen = replace(seen, created=roles.OLDEST)
        unseen = unlike(in_local(desired.fields, context), after.fields)
        await self._desk.publish(after, replace(seen, unseen=unseen), desired.uuid)
        return ending.delivered(desired, context, planned, after), True

    async def _over(self, desired: Desired, context: Context) -> Settlement | None:
        """How the row ends where nothing has to be read for that; None: it goes on."""
        newest = max(context.newest, context.applied_version)
        if newest > desired.version:
            return ending.ended(desired, context, "superseded", f"by version {newest}")
        if context.state in ("held", "dead"):  # told once more: it goes on when it is pending again
            return ending.ended(desired, context, "trying")
        blocker = None if await self._only_plans(desired) else await self._blocker(desired, context)
        return None if blocker is None else await self._blocked(desired, context, blocker)

    async def _stopped(
        self, desired: Desired, context: Context, actual: Snapshot, planned: Plan
    ) -> Settlement | None:
        """How the row ends where the calls are not made now; None: they are."""
        if planned.calls and await self._only_plans(desired):
            return ending.planned_only(desired, context, planned)
        if not context.parent_present and _needs_parent(planned):
            await self._tell_orphan(desired, context, actual)
            return ending.parked(desired, context, context.parent, self._desk.clock())
        if desired.fields is not None or not planned.calls:
            return None
        kept = await self._remover.ask(desired, context, actual)
        if kept is None:
            return None
        return replace(ending.ended(desired, context, kept.state, kept.message), due_time=kept.due_time)

    async def _only_plans(self, desired: Desired) -> bool:
        """In mode plan calls are made only for what a person had carried out."""
        if self._mode is not Mode.PLAN:
            return False
        return not await asyncio.to_thread(self._desk.store.released, desired)

    async def _blocked(self, desired: Desired, context: Context, blocker: str) -> Settlement:
        if await self._is_over(desired, context):
            return ending.ended(desired, context, "superseded", "removed since")
        await self._tell_orphan(desired, context, Snapshot(desired.kind, context.local, None))
        now = self._desk.clock()
        if desired.fields is not None:
            return ending.parked(desired, context, blocker, now)
        stands = await asyncio.to_thread(self._desk.store.stands, blocker)
        if stands.refused is not None:
            words = f"it stays with {blocker}, whose removal was refused: {stands.refused}"
            return ending.ended(desired, context, "dead", words)
        return (ending.parked_with_held if stands.waits else ending.parked)(desired, context, blocker, now)

    async def _gone_since(self, desired: Desired, context: Context, removed_at: int) -> Settlement:
        """It was made, as a used UUID proves, and removed: the hub is told both, in this order."""
        made = Snapshot(desired.kind, context.local, in_local(desired.fields, context))
        await self._desk.publish(made, Sighting(removed_at, "apply", desired.version), desired.uuid)
        gone = Snapshot(desired.kind, context.local, None)
        await self._desk.publish(gone, Sighting(removed_at, "removed"), desired.uuid)
        done = ending.ended(desired, context, "delivered", "created before, and removed there since")
        return replace(done, present=False)

    async def _history(self, kind: Kind, local: str) -> History:
        """When a change was made that nobody has read decides a conflict. A log that can't be asked must not
        hold up the rest."""
        try:
            return await self._desk.resources.history(kind, local)
        except PermanentError as error:
            log.warning("%s: when %s was changed is not known: %s", self._desk.region, local, error)
            return History()

    async def _blocker(self, desired: Desired, context: Context) -> str | None:
        """The entity that must go, or come, before this one."""
        if desired.fields is None:
            return await asyncio.to_thread(self._desk.store.blocker, desired)
        return None if context.parent_present or context.present else context.parent

    async def _is_over(self, desired: Desired, context: Context) -> bool:
        """Its parent never comes and it is removed itself: where it never was, no newer row says so."""
        if desired.fields is None or not context.parent_removed:
            return False
        return await asyncio.to_thread(self._desk.store.is_removed, desired.uuid)

    async def _without_parent(self, desired: Desired, context: Context) -> Settlement:
        """It waits, and has the parent read: the region may have lost it, and no event may ever say so."""
        kind, now = Kind.ACCOUNT if desired.kind is Kind.USER else Kind.DOMAIN, self._desk.clock()
        if context.parent_local != ROOT:
            await self._desk.hint(kind, [context.parent_local], now, SCAN)
        return ending.parked(desired, context, context.parent, now)

    async def _tell_orphan(self, desired: Desired, context: Context, actual: Snapshot) -> None:
        """It should be below what is removed: the hub is told where it is, if anywhere, and decides anew."""
        if desired.fields is not None and context.parent_removed:
            await self._desk.publish(actual, Sighting(self._desk.clock(), "orphan"), desired.uuid)


def _check_effect(desired: Desired, context: Context, after: Snapshot, planned: Plan) -> None:
    """Raises `NoEffect`."""
    wanted = in_local(desired.fields, context)
    left = "" if LIFE in planned.left_alone else difference(wanted, after.fields, planned.left_alone)
    if left:
        raise NoEffect(Futile(left, in_canonical(after.fields, context)))


def _needs_parent(planned: Plan) -> bool:
    return any(call.command.startswith(("create", "move")) for call in planned.calls)
