"""Deletes what the hub decided long ago.

In: the store and a clock. Out: nothing, until cancelled. Run by each hub; that two do it at once is no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from pipeline.core.errors import TemporaryError
from pipeline.outbox.decisions import PRUNED_ROWS, DecisionStore

EVERY_S: Final = 60.0
TURNS: Final = 100
"""Batches at one time, one after the other: more than a hub adds in between."""

log = logging.getLogger(__name__)


async def prune_periodically(
    store: DecisionStore, clock: Callable[[], int], every_s: float = EVERY_S
) -> None:
    """Until cancelled. What can't be deleted now is deleted later: nothing else may suffer from it."""
    while True:
        try:
            await _prune(store, clock)
        except TemporaryError as error:
            log.warning("old decisions are not deleted now: %s", error)
        await asyncio.sleep(every_s)


async def _prune(store: DecisionStore, clock: Callable[[], int]) -> None:
    for _ in range(TURNS):
        if await asyncio.to_thread(store.prune, clock()) < PRUNED_ROWS:
            return
