"""Lets one process of many do a piece of work, and another take over when that one is gone.

In: a lease in the database, and the work. Out: nothing; it runs until it is cancelled. Called by the
composition. A process that stalls longer than the lease may for a moment work beside its follower: the work
must bear being done twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from pipeline.core.errors import TemporaryError

BEAT_S: Final = 5.0
"""How often the lease is taken anew, or tried for; a fraction of what it lasts (outbox.lease.LASTS_MS)."""

log = logging.getLogger(__name__)


class Turn(Protocol):
    """A lease by name. Raises `TemporaryError`."""

    def take(self) -> bool:
        """It is ours from now on, or still, for a while."""

    def release(self) -> None:
        """Another may take it at once."""


async def alone(turn: Turn, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Does the work whenever the turn is ours, until cancelled. Raises what the work raises."""
    while True:
        if await _ours(turn):
            await _while_ours(turn, work)
        await asyncio.sleep(BEAT_S)


async def _while_ours(turn: Turn, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.create_task(work())
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=BEAT_S)
            if not (task.done() or await _ours(turn)):
                return
        task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})
        try:
            await asyncio.to_thread(turn.release)
        except TemporaryError as error:
            log.debug("a lease runs out by itself: %s", error)


async def _ours(turn: Turn) -> bool:
    """Not while the database can't be reached: what was done then could not be remembered."""
    try:
        return await asyncio.to_thread(turn.take)
    except TemporaryError as error:
        log.debug("no lease now: %s", error)
        return False
