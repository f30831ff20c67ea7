"""Has a region's roles looked at now and then: not every change of a role has an event.

In: the region's name, how often. Out: one hint each time on its events, by the one road there is. Started by
the region's worker where roles are synced; whoever of the region's workers has that key answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from pipeline.agents.guard import Guard
from pipeline.agents.publish import Message, Publisher
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.events import ROLES, hint

KEY: Final = "roles"
"""Stands for all of them where an entity's UUID would be: one lane looks at them, once for all that wait."""


async def poll_roles(
    publisher: Publisher, region: str, every_s: float, clock: Callable[[], int], guard: Guard
) -> None:
    """Until cancelled."""
    while True:
        body = hint(Kind.ROLE, KEY, clock(), ROLES)
        asked = [Message(topics.events(region), KEY.encode(), body)]
        await guard.patiently("looking at roles", partial(publisher.publish, asked))
        await asyncio.sleep(every_s)
