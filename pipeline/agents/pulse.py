"""A region worker's heartbeat: that it lives, whether its region answers, how many of its lanes are busy.

In: every HTTP call of the region's client as it ended, the lanes, the guard. Out: one row of the table
`pulse` every few seconds, and a call now and then where nothing else is asked. Run beside the worker, from
its first attempt to reach the region on; a beat that can't be written is left out.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from pipeline.agents.guard import Guard
from pipeline.agents.lanes import AnyLanes
from pipeline.agents.letters import Letters
from pipeline.cloudstack.client import CallRecord
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.outbox.pulses import Pulse, PulseStore

BEAT_EVERY_S: Final = 5.0
SOONEST: Final = 0.2
"""A region that answers no more, or again, is told of after this part of that time."""
QUIET_S: Final = 15.0
"""After so long without a call the region is asked for a sign of life."""
SIGN_OF_LIFE: Final = "listCapabilities"
"""It reads no table; where a role may not call it, the refusal is a sign of life too."""
NO_ANSWER: Final = frozenset({401, 502, 503, 504})
"""Statuses that say no more of the region than silence does: it does not know us, or a proxy answered."""

log = logging.getLogger(__name__)


class Reached:
    """Whether the region answers, and since when, by the last call that ended."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._heard = clock()
        self.changed = asyncio.Event()
        self.answers: bool | None = None
        self.since: int | None = None
        self.reason: str | None = None

    def called(self, call: CallRecord) -> None:
        """A refusal is an answer."""
        self._heard = self._clock()
        answers = call.status is not None and call.status not in NO_ANSWER
        self.reason = None if answers else call.error or f"HTTP {call.status}"
        if answers is not self.answers:
            self.answers, self.since = answers, self._heard
            self.changed.set()

    async def listen(self, ask: Callable[[], Awaitable[object]], quiet_s: float = QUIET_S) -> None:
        """Until cancelled: asks where nobody else does. What comes of it is told by `called`."""
        while True:
            await asyncio.sleep(quiet_s)
            # Negative when our clock was set back: then nobody knows for how long it has been quiet.
            if 0 <= self._clock() - self._heard < quiet_s * 1000:
                continue
            with suppress(TemporaryError, PermanentError):
                await ask()


class Heart:
    """Beats for one worker of one region."""

    def __init__(
        self, region: str, reached: Reached, lanes: AnyLanes, guard: Guard, letters: Sequence[Letters] = ()
    ) -> None:
        self._region = region
        self._worker = uuid.uuid4().hex
        self._reached = reached
        self._lanes = lanes
        self._guard = guard
        self._letters = letters

    async def beat(self, store: PulseStore, clock: Callable[[], int], every_s: float = BEAT_EVERY_S) -> None:
        """Until cancelled."""
        while True:
            self._reached.changed.clear()
            try:
                await asyncio.to_thread(store.keep, self.pulse(clock()))
            except TemporaryError as error:
                log.debug("%s: no heartbeat: %s", self._region, error)
            await asyncio.sleep(every_s * SOONEST)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._reached.changed.wait(), every_s * (1 - SOONEST))

    def pulse(self, now: int) -> Pulse:
        """How it stands now."""
        retried = self._guard.last_error if self._guard.waiting else None
        stopped = next((words for one in self._letters if (words := one.stopped) is not None), None)
        return Pulse(
            self._region,
            self._worker,
            now,
            lanes=self._lanes.count,
            busy=self._lanes.busy,
            reachable=self._reached.answers,
            since=self._reached.since,
            reason=stopped or self._reached.reason or retried,
        )
