"""Whether a worker still has the entity that it is at work on: asked before each change and before each word.

In: what Kafka gives and takes, a clock, a number for each time that partitions are given out. Out: nothing,
or `Lost` (another worker has the partition) or `Outdated` (the process stood still, or something newer is
known: begin anew). Held by the region worker; the client asks before each call that changes something, the
desk before it publishes. Why, and what is left open: docs/decisions/fencing.md.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from pipeline.agents.acknowledge import Partition
from pipeline.core.errors import TemporaryError

SESSION_S: Final = 10.0
"""Kafka gives a worker's partitions to another one when it has heard nothing of it for so long."""
TICK_S: Final = 1.0


class Lost(Exception):
    """The partition belongs to another worker now, which does all of it again: no failure."""


class Outdated(TemporaryError):
    """What this job knows is from before a standstill, or is known to be old: it begins anew."""


def awake_s() -> float:
    """Seconds that go on while the process is stopped, and where it can be had while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class Held:
    """That a job's partition was ours when it was taken: for the how-manieth time, and under which term."""

    partition: Partition
    time: int
    term: int


@dataclass(slots=True)
class _Job:
    """One attempt of a job. `asked`: when the database was last asked for it; `ask`: asks once more."""

    held: Collection[Held]
    standstills: int
    asked: float
    ask: Callable[[], Awaitable[None]] | None = None


class Tenure:
    """One worker's. Not thread-safe: it lives in the event loop."""

    def __init__(
        self,
        next_term: Callable[[], int],
        clock: Callable[[], float] = awake_s,
        session_s: float = SESSION_S,
    ) -> None:
        """`next_term` waits for the database; it may raise `TemporaryError`."""
        self._next_term = next_term
        self._clock = clock
        self._session_s = session_s
        self._times: defaultdict[Partition, int] = defaultdict(int)
        self._term = 0
        self._renewals = 0
        self._taking = asyncio.Lock()
        self._ticked = clock()
        self._standstills = 0
        self._job: ContextVar[_Job | None] = ContextVar("job", default=None)

    # --- what Kafka gives and takes

    async def take(self, partition: Partition) -> Held:
        """For a message that has just come: before anything is read for it."""
        given = self._times[partition]
        async with self._taking:
            while not self._term:
                renewals = self._renewals
                term = await asyncio.to_thread(self._next_term)
                # Else it was given before partitions were: others may have had a later one since.
                if renewals == self._renewals:
                    self._term = term
        return Held(partition, given, self._term)

    def renew(self) -> None:
        """What is taken after this is ours under a later term than anybody has had before."""
        self._term = 0
        self._renewals += 1

    def give_up(self, partitions: Collection[Partition]) -> None:
        """What is given to us after this is ours under another term."""
        self.renew()
        for partition in partitions:
            self._times[partition] += 1

    def holds(self, held: Held) -> bool:
        return self._times[held.partition] == held.time

    # --- while a job is done

    @contextmanager
    def at_work(self, held: Collection[Held]) -> Iterator[None]:
        """One attempt, from its first question on. Raises `Lost`."""
        self.tick()
        job = _Job(held, self._standstills, self._clock())
        token = self._job.set(job)
        try:
            self._still(job)
            yield
        finally:
            self._job.reset(token)

    def asks(self, ask: Callable[[], Awaitable[None]]) -> None:
        """By this the job learns, after a long wait, whether it is still to be done: raises `Outdated`."""
        job = self._job.get()
        if job is not None:
            job.ask = ask

    async def before_change(self) -> None:
        """Returns when the change may be made now. Asks nobody unless more time has gone since somebody was
        asked than it takes to lose a partition. Raises `Lost`, `Outdated`."""
        job = self._job.get()
        if job is None:
            return
        self._still(job)
        if job.ask is not None and self._clock() - job.asked > self._session_s:
            await job.ask()
            job.asked = self._clock()
            self._still(job)

    def before_word(self) -> int:
        """The term under which what was read may be told; 0 outside of any job. Likewise."""
        job = self._job.get()
        if job is None:
            return 0
        self._still(job)
        return min(one.term for one in job.held)

    # --- whether the process goes on

    def tick(self) -> None:
        now = self._clock()
        self._standstills += now - self._ticked > self._session_s
        self._ticked = now

    async def run(self) -> None:
        """Ticks, until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def _still(self, job: _Job) -> None:
        """Looked at by the clock too: after a standstill this may run before the next tick."""
        if not all(map(self.holds, job.held)):
            raise Lost
        stands = self._clock() - self._ticked > self._session_s
        if stands or job.standstills != self._standstills:
            raise Outdated("the process stood still: what was read before it is read again")
