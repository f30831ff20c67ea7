"""The one place where a failure becomes a wait, an answer, or the end of the worker.

Faust acknowledges an event when an agent's body raises, and the event is lost. So no body raises: a
temporary error waits here in place, a permanent one is the caller's answer (a dead row, a dead letter), and
an unknown one ends the process before anything is acknowledged, for its supervisor to start it again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.core.errors import TemporaryError
from pipeline.core.retry import Backoff

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Guard:
    """Waits out temporary errors of one process; knows whether it is waiting at the moment."""

    backoff: Backoff = field(default_factory=Backoff)
    waiting: int = 0
    last_error: str = ""

    async def patiently(self, what: str, operation: Callable[[], Awaitable[T]]) -> T:
        """The operation's result, however long it takes. Raises whatever is not a `TemporaryError`."""
        attempt = 0
        try:
            while True:
                try:
                    result = await operation()
                except TemporaryError as error:
                    attempt += 1
                    self.waiting += attempt == 1
                    self.last_error = str(error)
                    delay = self.backoff.delay(attempt, random.random(), error.after_s)
                    level = logging.WARNING if attempt in (1, 10) else logging.DEBUG
                    log.log(level, "%s: %s; trying again in %.1f s", what, error, delay)
                    await asyncio.sleep(delay)
                    continue
                if attempt:
                    log.info("%s: works again after %d tries", what, attempt)
                return result
        finally:
            self.waiting -= attempt > 0
