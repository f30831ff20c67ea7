"""What a call needs and is not there yet, though nothing else of the entity has to wait for it.

In: raised while a plan is carried out. Out: what the region holds by then, and when to look again. Called by
apply, for users' keys, for limits and for accounts' roles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.agents import ending
from pipeline.agents.desk import Desk, Sighting
from pipeline.cloudstack.client import CallRecord
from pipeline.core.entities import Snapshot
from pipeline.core.errors import TemporaryError
from pipeline.core.records import Desired
from pipeline.outbox.region import Context, Settlement


class Awaited(TemporaryError):
    """`seen`: what the region holds by now. `wait_ms`: None: ever longer. `above`: canonical UUID of what
    wakes the row when it is applied. `stuck`: a person has to do something about it."""

    def __init__(self, words: str, wait_ms: int | None, seen: Snapshot | None = None) -> None:
        super().__init__(words)
        self.wait_ms = wait_ms
        self.seen = seen
        self.above: str | None = None
        self.stuck = False


class LimitAwaited(Awaited):
    """The domain above does not allow as much yet: whatever is applied to it wakes the row."""


async def put_off(
    desk: Desk, desired: Desired, context: Context, awaited: Awaited, calls: Sequence[CallRecord]
) -> Settlement:
    """The row waits. All else was done, and what `calls` led to is told; what was sent stays on its way until
    all of it is there."""
    now = desk.clock()
    if awaited.seen is not None and any(not call.read for call in calls):
        await desk.publish(awaited.seen, Sighting(now, "apply"), desired.uuid)
    wait_ms = ending.pause_ms(context.attempts) if awaited.wait_ms is None else awaited.wait_ms
    above = context.parent if isinstance(awaited, LimitAwaited) else awaited.above
    waiting = ending.awaiting(desired, context, str(awaited), above, now + wait_ms)
    return replace(waiting, stuck=awaited.stuck)
