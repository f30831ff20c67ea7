"""Deletes what the hub decided long ago, and all else that is old and over.

In: stores and a clock. Out: nothing, until cancelled. Run by each hub beside its work; that two do it at once
is no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from pipeline.agents.report import SILENT, Report
from pipeline.core.errors import TemporaryError
from pipeline.outbox.decisions import PRUNED_ROWS, DecisionStore
from pipeline.outbox.retention import TABLES, Cursor, Retention

EVERY_S: Final = 60.0
TURNS: Final = 100
"""Batches of a table at one time, one after the other: more than a hub adds in between."""
REST_S: Final = 3_600.0
"""From the end of a table to its beginning: what stays whatever its age is gone through anew each time."""

log = logging.getLogger(__name__)


async def prune_periodically(
    store: DecisionStore, clock: Callable[[], int], every_s: float = EVERY_S, report: Report = SILENT
) -> None:
    """Until cancelled. What can't be deleted now is deleted later: nothing else may suffer from it."""
    while True:
        try:
            await _prune(store, clock, report)
        except TemporaryError as error:
            log.warning("old decisions are not deleted now: %s", error)
        await asyncio.sleep(every_s)


async def purge_periodically(
    retention: Retention, clock: Callable[[], int], report: Report = SILENT, rest_s: float = REST_S
) -> None:
    """Likewise. A table that is not through after so many batches goes on there a little later."""
    loop = asyncio.get_running_loop()
    places: dict[str, Cursor] = dict.fromkeys(TABLES, ())
    rests = dict.fromkeys(TABLES, 0.0)
    while True:
        for name in TABLES:
            if loop.time() < rests[name]:
                continue
            try:
                places[name] = await _purge(retention, name, (clock(), places[name]), report)
            except TemporaryError as error:
                log.warning("old rows of %s are not deleted now: %s", name, error)
                continue
            if not places[name]:
                rests[name] = loop.time() + rest_s
        await asyncio.sleep(min(EVERY_S, rest_s))


async def _prune(store: DecisionStore, clock: Callable[[], int], report: Report) -> None:
    for _ in range(TURNS):
        pruned = await asyncio.to_thread(store.prune, clock())
        if pruned:
            report.purged("decision", pruned)
        if pruned < PRUNED_ROWS:
            return


async def _purge(retention: Retention, name: str, start: tuple[int, Cursor], report: Report) -> Cursor:
    """Where it goes on the next time."""
    now, place = start
    for _ in range(TURNS):
        purged = await asyncio.to_thread(retention.purge, name, now, place)
        if purged.rows:
            report.purged(name, purged.rows)
        if purged.after is None:
            return ()
        place = purged.after
    return place
