"""Asks for entities of a region to be looked into: the one thing that a scan does about a difference.

In: kinds and UUIDs of one region. Out: hints on `events.<region>`, after Kafka has them. Called by the scan.
A Kafka that forgets (the embedded one) is given only as much as its region's worker has room for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from pipeline.agents.publish import Message, Publisher
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.errors import TemporaryError
from pipeline.core.events import SCAN, hint

LOOK_EVERY_S: Final = 0.2
ROOM_LIMIT_S: Final = 600.0
"""A worker that reads nothing for so long is not there: the scan ends, and goes on later."""

Entity = tuple[Kind, str]


def unbounded() -> bool:
    """A Kafka that keeps what it is given has always room."""
    return True


class Asking:
    """The hints of one region's scans."""

    def __init__(
        self,
        publisher: Publisher,
        region: str,
        clock: Callable[[], int],
        has_room: Callable[[], bool] = unbounded,
    ) -> None:
        """`has_room` may block: it is asked in a thread."""
        self._publisher = publisher
        self._region = region
        self._clock = clock
        self._has_room = has_room

    async def ask(self, entities: Sequence[Entity], event: str = SCAN) -> None:
        """`event`: SCAN, to be read, or ABSENT. Raises `TemporaryError` when they could not be left: some of
        them may have been."""
        if not entities:
            return
        await self._room()
        topic, now = topics.events(self._region), self._clock()
        headers = {topics.HEADER_REGION: self._region, topics.HEADER_SOURCE: "scan"}
        await self._publisher.publish(
            [Message(topic, uuid.encode(), hint(kind, uuid, now, event), headers) for kind, uuid in entities]
        )

    async def _room(self) -> None:
        try:
            async with asyncio.timeout(ROOM_LIMIT_S):
                while not await asyncio.to_thread(self._has_room):  # noqa: ASYNC110 - the broker has no event
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise TemporaryError(
                f"the worker of {self._region} has read nothing for {ROOM_LIMIT_S:.0f} s"
            ) from None
