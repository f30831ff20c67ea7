"""Applies a desired state to a region: read, plan, call, publish what came of it, settle the row.

In: one desired state. Out: a settled (or parked) outbox row, and an observation of the result. Called by the
region worker's lanes, one lane at a time for an entity. Whatever is cut off in the middle is done again: the
read tells what is left to do. The result is published before the row is settled, so that a worker that dies
in between says it twice rather than never.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from pipeline.agents.calls import Caller
from pipeline.agents.desk import Desk, Sighting
from pipeline.cloudstack.client import CallRecord
from pipeline.cloudstack.errors import NameTaken, NotEmpty, NotFound
from pipeline.cloudstack.eventlog import History
from pipeline.core.entities import Fields, Kind, Snapshot
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.core.plan import LIFE, Plan, Target, as_made_here, plan
from pipeline.core.records import Desired
from pipeline.outbox.region import UNTOUCHED, CallRow, Context, Settlement

TRIES: Final = 7
"""What is refused may pass: a name becomes free (its owner's removal or renaming is on its way too), a change
in the same moment is over. Tried this often over about a minute before the row is dead."""
RETRY_FIRST_MS: Final = 500
PARK_MS: Final = 10_000
"""A parked row is woken by what it waits for; this is the fallback."""

RESULTS: Final = {"delivered": "success", "superseded": "superseded", "dead": "refused", "pending": "waiting"}

log = logging.getLogger(__name__)

State = Literal["delivered", "superseded", "dead", "pending", "trying"]


class NoEffect(PermanentError):
    """The calls succeeded, and the region holds something else: somebody changed it in the same moment, which
    the next read tells, or the calls do nothing, and would be planned again and again."""


class Applier:
    """Writes to one region."""

    def __init__(self, desk: Desk, caller: Caller) -> None:
        self._desk = desk
        self._caller = caller

    async def apply(self, desired: Desired, hinted_at: int | None) -> bool:
        """Settles the row; says whether the entity was read and told. `hinted_at`: when a change that is not
        read yet was made there (ms). Raises `TemporaryError`: nothing is settled, to be tried again."""
        context = await self._desk.context(desired)
        with self._desk.client.recording() as calls:
            try:
                settlement, told = await self._attempt(desired, context, hinted_at)
            except PermanentError as error:
                settlement, told = self._refused(desired, context, error), False
            except TemporaryError as error:
                if calls:
                    await self._desk.settle(
                        self._audited(self._settlement(desired, context, "trying", str(error)), calls)
                    )
                raise
        await self._desk.settle(self._audited(settlement, calls))
        return told

    async def _attempt(
        self, desired: Desired, context: Context, hinted_at: int | None
    ) -> tuple[Settlement, bool]:
        if context.newest > desired.version or context.applied_version > desired.version:
            newest = max(context.newest, context.applied_version)
            return self._settlement(desired, context, "superseded", f"by version {newest}"), False
        blocker = await self._blocker(desired, context)
        if blocker is not None:
            if await self._is_over(desired, context):
                return self._settlement(desired, context, "superseded", "removed since"), False
            await self._tell_orphan(desired, context, Snapshot(desired.kind, context.local, None))
            return self._parked(desired, context, blocker), False
        actual = await self._desk.resources.read(desired.kind, context.local)
        if actual.protected:
            raise PermanentError(f"{desired.kind} {context.local} is never touched")
        target = _target(desired, context, actual)
        planned = plan(target)
        changed_at = hinted_at if planned.left_alone else None
        lost = False
        if LIFE in planned.left_alone or (planned.left_alone and changed_at is None):
            history = await self._history(desired.kind, context.local)
            lost = LIFE in planned.left_alone and history.removed_at is None
            changed_at = changed_at or history.changed_at
            if history.made_by_us and changed_at is None:
                planned = plan(as_made_here(target))
        if not context.parent_present and _needs_parent(planned):
            await self._tell_orphan(desired, context, actual)
            return self._parked(desired, context, context.parent), False
        carried = await self._caller.carry_out(target, planned, actual, desired)
        if carried.removed_at is not None:
            return await self._gone_since(desired, context, carried.removed_at), True
        after = carried.after
        _check_effect(_in_local(desired.fields, context), after.fields, planned)  # before it is told
        seen = Sighting(changed_at or self._desk.clock(), "apply", desired.version, lost)
        await self._desk.publish(after, seen, desired.uuid)
        return self._result(desired, context, planned, after), True

    async def _gone_since(self, desired: Desired, context: Context, removed_at: int) -> Settlement:
        """It was made, as a used UUID proves, and removed: the hub is told both, in this order."""
        made = Snapshot(desired.kind, context.local, _in_local(desired.fields, context))
        await self._desk.publish(made, Sighting(removed_at, "apply", desired.version), desired.uuid)
        gone = Snapshot(desired.kind, context.local, None)
        await self._desk.publish(gone, Sighting(removed_at, "removed"), desired.uuid)
        done = self._settlement(desired, context, "delivered", "created before, and removed there since")
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

    async def _tell_orphan(self, desired: Desired, context: Context, actual: Snapshot) -> None:
        """It should be below what is removed: the hub is told where it is, if anywhere, and decides anew."""
        if desired.fields is not None and context.parent_removed:
            await self._desk.publish(actual, Sighting(self._desk.clock(), "orphan"), desired.uuid)

    def _result(self, desired: Desired, context: Context, planned: Plan, after: Snapshot) -> Settlement:
        names = ", ".join(call.command for call in planned.calls) or "nothing to do"
        left = f"; left alone: {', '.join(planned.left_alone)}" if planned.left_alone else ""
        done = self._settlement(desired, context, "delivered", names + left)
        if LIFE in planned.left_alone:
            return replace(done, present=False)
        return replace(
            done,
            local=after.uuid,
            applied=_applied(desired.fields, planned),
            present=after.present,
            parent=None if desired.fields is None else desired.fields["parent"],
        )

    def _refused(self, desired: Desired, context: Context, error: PermanentError) -> Settlement:
        may_pass = isinstance(error, NameTaken | NotEmpty | NotFound | NoEffect)
        if not may_pass or context.attempts >= TRIES:
            return self._settlement(desired, context, "dead", str(error))
        pause = RETRY_FIRST_MS * 2**context.attempts
        waiting = self._settlement(desired, context, "pending", str(error))
        return replace(waiting, due_time=self._desk.clock() + pause)

    def _parked(self, desired: Desired, context: Context, blocker: str) -> Settlement:
        word = "after" if desired.fields is None else "for"
        parked = self._settlement(desired, context, "pending", f"waits {word} {blocker}")
        return replace(
            parked,
            waits_for=blocker,
            due_time=self._desk.clock() + PARK_MS,
            context_time=context.time,
        )

    def _settlement(self, desired: Desired, context: Context, state: State, message: str) -> Settlement:
        return Settlement(
            entity=desired.uuid,
            kind=desired.kind,
            version=desired.version,
            state=state,
            result=RESULTS.get(state, ""),
            message=message,
            local=context.local,
            applied=UNTOUCHED,
        )

    def _audited(self, settlement: Settlement, calls: Sequence[CallRecord]) -> Settlement:
        now = self._desk.clock()
        rows = [CallRow(call.command, call.status, call.error, round(call.ms), now) for call in calls]
        return replace(settlement, calls=tuple(rows))


def _check_effect(wanted: Fields | None, got: Fields | None, planned: Plan) -> None:
    """Raises `NoEffect`."""
    if LIFE not in planned.left_alone and (wanted is None) != (got is None):
        raise NoEffect("the calls succeeded but had no effect")
    for name, text in (wanted or {}).items():
        if got is not None and got[name] != text and name not in planned.left_alone:
            raise NoEffect(f"the calls succeeded but {name} is {got[name]!r}, not {text!r}")


def _needs_parent(planned: Plan) -> bool:
    return any(call.command.startswith(("create", "move")) for call in planned.calls)


def _in_local(fields: dict[str, str] | None, context: Context) -> dict[str, str] | None:
    """The fields with the parent's UUID as this region knows it."""
    if fields is None:
        return None
    if "parent" not in fields:
        return fields
    return fields | {"parent": context.parents.get(fields["parent"], fields["parent"])}


def _applied(fields: dict[str, str] | None, planned: Plan) -> dict[str, str] | None:
    """What was left alone was not applied."""
    if fields is None:
        return None
    return {name: text for name, text in fields.items() if name not in planned.left_alone}


def _target(desired: Desired, context: Context, actual: Snapshot) -> Target:
    parent_domain = context.parent_domain_local
    return Target(
        kind=desired.kind,
        uuid=context.local,
        actual=actual.fields,
        wanted=_in_local(desired.fields, context),
        known=_in_local(desired.known, context),
        applied=_in_local(context.applied, context),
        held=context.present,
        domain=parent_domain if desired.kind is Kind.USER else context.parent_local,
        account=context.parent_name if desired.kind is Kind.USER else "",
    )
