"""Ends a process whose event loop does not turn any more, after telling where each of its threads is.

In: the running event loop. Out: as long as the block lasts, a thread that asks the loop for a sign every
second; where none comes for `STOPPED_S`, the stacks of all threads on standard error, a line of the log, and
the end of the process with `EXIT_LOOP`. Used by all processes that run for long.

Time counts only as far as the thread itself was awake: a process that was stopped, a machine that slept, and
a clock that was set, end nothing. A loop that hangs with Python's lock in its hands stops this thread too:
for that there is /health/live.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pipeline.agents.watchdog import EXIT_LOOP

TICK_S: Final = 1.0
STOPPED_S: Final = 60.0
LAST_S: Final = 5.0

log = logging.getLogger(__name__)


class Turning:
    """The sum of what the ticks saw. Pure, but for what it is told."""

    def __init__(self, limit_s: float, tick_s: float = TICK_S) -> None:
        self._limit_s = limit_s
        self._tick_s = tick_s
        self.silent_s = 0.0
        self._turned = False

    def turned(self) -> None:
        """The loop has answered."""
        self._turned = True

    def ticked(self, passed_s: float) -> bool:
        """So much time since the last tick; whether the loop has been silent for too long."""
        self.silent_s = 0.0 if self._turned else self.silent_s + min(passed_s, 2 * self._tick_s)
        self._turned = False
        return self.silent_s > self._limit_s


@contextmanager
def watched_loop(
    limit_s: float = STOPPED_S, tick_s: float = TICK_S, end: Callable[[float], None] | None = None
) -> Iterator[None]:
    """To be entered within the loop. `end` is told for how long it did not turn."""
    loop, over = asyncio.get_running_loop(), threading.Event()
    turning = Turning(limit_s, tick_s)
    thread = threading.Thread(
        target=_watch, args=(loop, over, turning, tick_s, end or _end), name="turning", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()


def _watch(
    loop: asyncio.AbstractEventLoop,
    over: threading.Event,
    turning: Turning,
    tick_s: float,
    end: Callable[[float], None],
) -> None:
    last = time.monotonic()
    while not over.wait(tick_s):
        now = time.monotonic()
        if turning.ticked(now - last):
            end(turning.silent_s)
            return
        last = now
        try:
            loop.call_soon_threadsafe(turning.turned)
        except RuntimeError:  # closed
            return


def _end(silent_s: float) -> None:
    last = threading.Timer(LAST_S, os._exit, (EXIT_LOOP,))  # should nobody read what we write
    last.daemon = True
    last.start()
    faulthandler.dump_traceback(file=sys.__stderr__ or 2, all_threads=True)
    log.critical("the event loop has not turned for %.0f s: ending, for a new start", silent_s)
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(EXIT_LOOP)
