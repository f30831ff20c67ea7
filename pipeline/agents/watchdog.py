"""Ends a worker that does not work any more, for its supervisor to start it again.

In: the worker, how far Kafka says that its partitions are, limits. Out: `Stuck`, with the exit code that
tells which watchdog it was. Run beside the worker by the composition, which ends the process. A worker that
waits for something that is known to be away, that has nothing to do, or that was itself stopped, is left
alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from pipeline.agents.acknowledge import Partition
from pipeline.agents.guard import Guard
from pipeline.agents.signs import Signs
from pipeline.core.errors import TemporaryError
from pipeline.core.stall import Look, Place, Stall, follow

EXIT_STALLED: Final = 81
EXIT_LANE: Final = 82
EXIT_LOOP: Final = 83
"""Exit codes of their own, beyond those of the shell's conventions and of sysexits.h (64 to 78)."""

LOOK_EVERY_S: Final = 15.0
LOOKS: Final = 4
"""At least so many make a stall, however short the limit."""

Ask = Callable[[Collection[Partition]], Mapping[Partition, Place]]
"""Of Kafka, where these partitions end and how far they are acknowledged. Waits for the network; raises
`TemporaryError`."""


class Stuck(Exception):
    """The worker does not go on. `exit_code` says which watchdog found that."""

    def __init__(self, words: str, exit_code: int) -> None:
        super().__init__(words)
        self.exit_code = exit_code


class Watched(Protocol):
    """What is looked at: the hub, or a region's worker."""

    @property
    def guard(self) -> Guard: ...
    @property
    def done(self) -> int: ...
    @property
    def busy(self) -> Collection[Partition]: ...
    @property
    def full(self) -> bool: ...
    @property
    def stopped(self) -> str | None: ...


class LagWatch:
    """Messages wait, and nothing is finished."""

    def __init__(
        self, part: str, watched: Watched, assigned: Callable[[], Collection[Partition]], ask: Ask
    ) -> None:
        """`part`: hub, or the region's name."""
        self._part = part
        self._watched = watched
        self._assigned = assigned
        self._ask = ask
        self._stall = Stall(time.monotonic())

    @property
    def stalled_s(self) -> float:
        return self._stall.seconds

    async def run(self, limit_s: float) -> None:
        """Until cancelled, or `Stuck`."""
        every_s = min(LOOK_EVERY_S, limit_s / LOOKS)
        # A thread of its own: those that all share may be what hangs.
        own = ThreadPoolExecutor(1, "watchdog")
        try:
            while True:
                await asyncio.sleep(every_s)
                self._stall = follow(self._stall, await self.look(own), every_s)
                words = self._stall.words(limit_s)
                if words is not None:
                    raise Stuck(f"{self._part}: {words}", EXIT_STALLED)
        finally:
            own.shutdown(wait=False, cancel_futures=True)

    async def look(self, own: ThreadPoolExecutor | None = None) -> Look:
        """How it stands now."""
        assigned, guard, loop = self._assigned(), self._watched.guard, asyncio.get_running_loop()
        places, excuse = {}, (guard.last_error if guard.waiting else "") or self._watched.stopped or ""
        try:
            places = dict(await loop.run_in_executor(own, self._ask, assigned)) if assigned else {}
        except TemporaryError as error:
            excuse = str(error) or "Kafka is away"
        return Look(
            time.monotonic(),
            self._watched.done,
            places,
            frozenset(self._watched.busy),
            self._watched.full,
            excuse or ("something is away" if guard.waiting else ""),
        )


async def watch_lanes(region: str, signs: Signs, limit_s: float) -> None:
    """Until cancelled, or `Stuck`: a job has been in its lane for longer than any call can take."""
    every_s = min(LOOK_EVERY_S, limit_s / LOOKS)
    last = time.monotonic()
    while True:
        await asyncio.sleep(every_s)
        now = time.monotonic()
        signs.passed(min(now - last, 2 * every_s))
        last = now
        name, silent_s = signs.silent()
        if silent_s > limit_s:
            words = f"{region}: {name} has been at work for {silent_s:.0f} s without a sign of life"
            raise Stuck(words, EXIT_LANE)
