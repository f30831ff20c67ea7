"""The dead letters of one topic's consumer: counted, and beyond a number a minute a reason to take no more.

In: what can't be read or answered, whole, with the reason. Out: messages of the dead letters' topic; waits.
Called by the hub and the region worker, which ask for room before they take a message. While there is none,
nothing is acknowledged: all that follows stays in Kafka. See docs/decisions/dead-letters.md.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from pipeline.agents.publish import Message, Publisher
from pipeline.core import topics
from pipeline.core.quota import Quota
from pipeline.outbox.pulses import STOPPED

PER_MINUTE: Final = 60
LOOK_EVERY_S: Final = 1.0
REASON_MAX: Final = 500

log = logging.getLogger(__name__)


class Letters:
    """Of one topic in one process."""

    def __init__(
        self,
        topic: str,
        publisher: Publisher,
        per_minute: int = PER_MINUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock`: seconds, and never back."""
        self.topic = topic
        self._publisher = publisher
        self._quota = Quota(per_minute)
        self._clock = clock

    @property
    def stopped(self) -> str | None:
        """Why nothing is taken now, for a person; None while it is."""
        left_s = self._quota.wait_s(self._clock())
        if not left_s:
            return None
        many = f"{self._quota.per_minute} dead letters within a minute"
        return f"{STOPPED} {self.topic} for {left_s:.0f} s: {many}"

    async def room(self) -> None:
        """Returns when a message may be taken: mostly at once."""
        if not self._quota.wait_s(self._clock()):
            return
        while (left_s := self._quota.wait_s(self._clock())) > 0:  # noqa: ASYNC110 - only time opens it
            await asyncio.sleep(min(left_s, LOOK_EVERY_S))
        log.warning("%s: messages are taken again", self.topic)

    async def bury(self, key: bytes | None, value: bytes, reason: str, region: str = "") -> None:
        """Returns when Kafka has the letter, which counts. Raises `TemporaryError`."""
        await self.set_aside(key, value, reason, region)
        if self._quota.spend(self._clock()):
            log.error(
                "%s; they are kept, and what follows stays in Kafka. Mend the cause and start it again",
                self.stopped,
            )

    async def set_aside(self, key: bytes | None, value: bytes, reason: str, region: str = "") -> None:
        """Likewise, of a letter that does not count: it is well made, and nobody asked for it."""
        headers = {topics.HEADER_REASON: reason[:REASON_MAX].encode("utf-8", "replace").decode()}
        if region:
            headers[topics.HEADER_REGION] = region
        log.warning("%s: dead letter: %s", self.topic, headers[topics.HEADER_REASON])
        await self._publisher.publish([Message(topics.DEAD_LETTERS, key, value, headers)])
