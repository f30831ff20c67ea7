"""Says how an outbox row ends, in the outbox's words.

In: a desired state, what is known about it, what came of it. Out: a `Settlement`. Pure; called
by apply, which writes it down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from pipeline.cloudstack.client import CallRecord
from pipeline.cloudstack.errors import NameTaken, NotEmpty, NotFound, Refused
from pipeline.core.drift import shown
from pipeline.core.effect import Futile
from pipeline.core.entities import Snapshot
from pipeline.core.errors import PermanentError
from pipeline.core.plan import LIFE, Plan
from pipeline.core.records import Desired
from pipeline.outbox.region import UNTOUCHED, CallRow, Context, Settlement
from pipeline.outbox.settle import PLANNED

TRIES: Final = 7
"""What is refused may pass: a name becomes free (its owner's removal or renaming is on its way too), a change
in the same moment is over. Tried this often over about a minute before the row is dead."""
SLOWEST: Final = 10
"""How often the time between two tries is doubled: nine minutes at last."""
RETRY_FIRST_MS: Final = 500
PARK_MS: Final = 10_000
"""A parked row is woken by what it waits for; this is the fallback."""
PARK_HELD_MS: Final = 600_000
"""The same for what waits for a person, or for the end of a quarantine: that may take days."""
CALLS_SHOWN: Final = 20
PAUSED: Final = "paused"

LOCKING: Final = frozenset({"disableAccount", "lockUser"})
"""Calls that lock."""
RESULTS: Final = {
    "delivered": "success",
    "superseded": "superseded",
    "dead": "refused",
    "pending": "waiting",
    "held": "held",
}

State = Literal["delivered", "superseded", "held", "dead", "pending", "trying"]


def ended(desired: Desired, context: Context, state: State, message: str = "") -> Settlement:
    """The row in this state, and nothing else changed."""
    return Settlement(
        entity=desired.uuid,
        kind=desired.kind,
        version=desired.version,
        state=state,
        result=RESULTS.get(state, ""),
        message=message,
        local=context.local,
        applied=UNTOUCHED,
        context_time=context.time,
    )


def delivered(desired: Desired, context: Context, planned: Plan, after: Snapshot) -> Settlement:
    """The region holds what was wanted, but for what was left alone."""
    names = ", ".join(call.command for call in planned.calls) or "nothing to do"
    done = ended(desired, context, "delivered", names + _left(planned))
    if LIFE in planned.left_alone:
        return replace(done, present=False)
    return replace(
        done,
        local=after.uuid,
        applied=_applied(desired.fields, planned),
        present=after.present,
        parent=None if desired.fields is None else desired.fields["parent"],
    )


def refused(desired: Desired, context: Context, error: PermanentError, now: int) -> Settlement:
    """Dead, or tried again where what is refused may pass."""
    may_pass = isinstance(error, NameTaken | NotFound)
    # What somebody disabled since it was read can't be locked: the next read tells (cloudstack.md).
    may_pass = may_pass or (isinstance(error, Refused) and error.command in LOCKING)
    # What is below a removed domain goes too, as soon as the hub has heard of it: however long that takes.
    if not isinstance(error, NotEmpty) and not (may_pass and context.attempts < TRIES):
        return ended(desired, context, "dead", str(error))
    waiting = ended(desired, context, "pending", str(error))
    return replace(waiting, due_time=now + pause_ms(context.attempts))


def without_effect(desired: Desired, context: Context, futile: Futile, now: int) -> Settlement:
    """Tried again, since it may be a change in the same moment as ours, which the next read tells; dead when
    the same difference is left each time."""
    if futile.is_hopeless:
        words = f"no progress: after {futile.times} tries {futile.difference}"
        stopped = ended(desired, context, "dead", words)
    else:
        waiting = ended(desired, context, "pending", f"the calls succeeded but {futile.difference}")
        stopped = replace(waiting, due_time=now + RETRY_FIRST_MS * 2 ** (futile.times - 1))
    return replace(stopped, futile=futile)


def parked(desired: Desired, context: Context, blocker: str, now: int) -> Settlement:
    """Until the entity in the way has gone, or come."""
    word = "after" if desired.fields is None else "for"
    waiting = ended(desired, context, "pending", f"waits {word} {blocker}")
    return replace(waiting, waits_for=blocker, due_time=now + PARK_MS)


def awaiting(desired: Desired, context: Context, words: str, above: str | None, due_time: int) -> Settlement:
    """Until a region that holds the user's keys has handed them over, or until something is applied to what
    is `above` it: that wakes it."""
    return replace(ended(desired, context, "pending", words), waits_for=above, due_time=due_time)


def pause_ms(attempts: int) -> int:
    """How long to wait after so many tries: twice as long each time, up to nine minutes."""
    return RETRY_FIRST_MS << min(attempts, SLOWEST)


def below_itself(desired: Desired, context: Context, now: int) -> Settlement:
    """Until what it is to be moved below has itself moved out of it: two regions moved domains about at the
    same time, and the other's desired state is on its way."""
    waiting = parked(desired, context, context.parent, now)
    return replace(waiting, message=f"{waiting.message}, which is still below it")


def parked_with_held(desired: Desired, context: Context, blocker: str, now: int) -> Settlement:
    """Until a person, or a time, has let the entity in the way go."""
    waiting = parked(desired, context, blocker, now)
    words = f"{waiting.message}, which is held or in quarantine"
    return replace(waiting, message=words, due_time=now + PARK_HELD_MS)


def planned_only(desired: Desired, context: Context, planned: Plan) -> Settlement:
    """Held with the calls that were not made. No line in the ledger of holds: nobody has to decide."""
    calls = "; ".join(shown(call) for call in planned.calls[:CALLS_SHOWN])
    held = ended(desired, context, "held", f"mode plan: {calls}{_left(planned)}")
    return replace(held, result=PLANNED)


def paused(desired: Desired, context: Context, now: int) -> Settlement:
    """Due as soon as the worker starts in another mode: in this one nothing is sent again."""
    waiting = ended(desired, context, "pending", "the region is paused")
    return replace(waiting, result=PAUSED, due_time=now)


def audited(settlement: Settlement, calls: Sequence[CallRecord], now: int) -> Settlement:
    """With the calls that were made for it."""
    rows = [CallRow(call.command, call.status, call.error, round(call.ms), now) for call in calls]
    return replace(settlement, calls=tuple(rows))


def _left(planned: Plan) -> str:
    return f"; left alone: {', '.join(planned.left_alone)}" if planned.left_alone else ""


def _applied(fields: dict[str, str] | None, planned: Plan) -> dict[str, str] | None:
    """What was left alone was not applied."""
    if fields is None:
        return None
    return {name: text for name, text in fields.items() if name not in planned.left_alone}
