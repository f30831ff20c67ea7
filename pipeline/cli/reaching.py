"""What the commands that read a region and ask for its entities have in common: the way to it, and to its
worker.

In: settings, a region. Out: its API, started; hints that its worker answers; closed at the end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from pipeline.cli.database import now_ms

if TYPE_CHECKING:
    from pipeline.cloudstack.resources import Resources
    from pipeline.reconcile.asking import Asking
    from pipeline.settings import Region, Settings


@asynccontextmanager
async def reached(settings: Settings, region: Region) -> AsyncIterator[Resources]:
    """The region's API. Raises the errors of errors.py."""
    from pipeline.cloudstack.client import CloudStack
    from pipeline.cloudstack.resources import Resources
    from pipeline.reach import client_settings

    client = CloudStack(client_settings(region), clock=now_ms)
    try:
        policy = settings.key_policy(region)
        resources = Resources(client, policy, limits=region.limits, roles=settings.roles)
        await resources.start()
        yield resources
    finally:
        await client.aclose()


@contextmanager
def asking_of(settings: Settings, region: Region) -> Iterator[Asking]:
    """Hints for the region's worker. Raises `TemporaryError` where no broker is to be found."""
    from pipeline.agents.publish import Publisher
    from pipeline.bridging import room
    from pipeline.broker import brokers
    from pipeline.hints import waited_for
    from pipeline.reconcile.asking import Asking

    where = brokers(settings)
    publisher = Publisher(where, {**settings.kafka_options, **waited_for()})
    try:
        with room(where, settings.kafka_options, region.name, forgets=settings.embedded) as has_room:
            yield Asking(publisher, region.name, now_ms, has_room)
    finally:
        publisher.close(1.0)
