"""Work beside the real work, which must not suffer from it: heartbeats, deleting what is old.

In: a coroutine. Out: it runs as long as the block does; whatever it raises is told of and ends it alone. Used
by the composition root.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

ENDS_S: Final = 5.0
"""A statement under way in a thread may hold up the end for so long."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Runs `work` until the block ends."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=ENDS_S)


def _tell(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        log.error("%s has ended: %s", task.get_name(), error, exc_info=error)
