"""Scans a region again and again: the net below the stream.

In: a scanner and an interval. Out: nothing, until cancelled. Run by each worker of the region; the scans'
lease makes it one scan, whichever worker begins it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Final

from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.outbox.scans import ScanStore
from pipeline.reconcile.scan import Scanner

LOOK_EVERY_S: Final = 60.0
"""How late a scan may begin, and how soon one that failed goes on."""

log = logging.getLogger(__name__)


async def scan_periodically(
    scanner: Scanner, store: ScanStore, interval_ms: int, clock: Callable[[], int]
) -> None:
    """Until cancelled. A scan that fails is told of and goes on later: nothing else may suffer from it."""
    owner = uuid.uuid4().hex
    while True:
        try:
            wait_s = (await asyncio.to_thread(store.due, interval_ms) - clock()) / 1000
            if wait_s <= 0:
                row = await scanner.run(owner)
                log.info(
                    "scan of %s: %s, %d entities, %d calls", row.region, row.state, row.entities, row.calls
                )
                continue
        except (TemporaryError, PermanentError) as error:
            log.warning("scan of %s: %s", store.region, error)
            wait_s = LOOK_EVERY_S
        await asyncio.sleep(min(wait_s, LOOK_EVERY_S))
