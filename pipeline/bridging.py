"""A region's bridge from its settings: where it listens, and from when it reads an event log.

In: settings, a broker's address, the database. Out: a `Bridge` and its parts. Called by `region-sync bridge`
and by `pipeline.run`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from bridges.address import Trust
from bridges.bridge import BridgeSettings
from bridges.eventlog import EventReader, OpenLog, Watermark
from bridges.kafka import Unread
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.eventlog import read_events
from pipeline.core import topics
from pipeline.core.errors import TemporaryError
from pipeline.progress import Progress
from pipeline.reach import client_settings
from pipeline.settings import Region, Settings

if TYPE_CHECKING:  # a bridge on a bus needs no database, and so loads no SQLAlchemy
    from pipeline.outbox.engine import Engine

UNREAD: Final = 2_000
"""Events that the embedded broker holds for a region's worker at most, of about 5 MiB that it keeps."""
CHECK_EVERY_S: Final = 1.0
GENERATIONS: Final = 8

log = logging.getLogger(__name__)


def bridge_settings(settings: Settings, region: Region, brokers: str) -> BridgeSettings:
    """What the bridge must know; `brokers` is the embedded one's address or the configured one."""
    return BridgeSettings(
        region=region.name,
        kafka=brokers,
        kafka_options=settings.kafka_options,
        source=region.bus.source,
        amqp_url=region.bus.url.get_secret_value() if region.bus.url else "",
        trust=trust(region),
        exchange=region.bus.exchange,
        queue=region.queue,
        prefetch=region.bus.prefetch,
        poll_interval_s=region.bus.poll_interval_s,
        max_unread=UNREAD if settings.embedded else 0,
    )


def trust(region: Region) -> Trust:
    """The files for TLS to the region's bus."""
    bus = region.bus
    return Trust(*(str(file) if file else "" for file in (bus.tls_ca, bus.tls_certificate, bus.tls_key)))


@contextmanager
def room(
    brokers: str, options: Mapping[str, str], region: str, *, forgets: bool
) -> Iterator[Callable[[], bool]]:
    """Whether a Kafka that forgets has room for more of the region's events; another always has."""
    if not forgets:
        yield lambda: True
        return
    unread = Unread(brokers, options, region, UNREAD)
    try:
        yield unread.has_room
    finally:
        unread.close()


def open_log(region: Region, clock: Callable[[], int]) -> OpenLog:
    """The way to the region's event log, by its API."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[EventReader]:
        client = CloudStack(client_settings(region), clock=clock)
        try:
            yield lambda since: read_events(client, since)
        finally:
            await client.aclose()

    return opened


class SavedWatermark(Watermark):
    """In the table `watermark`, under the region's name."""

    def __init__(self, engine: Engine, region: str, clock: Callable[[], int]) -> None:
        from pipeline.outbox.audit import AuditStore  # noqa: PLC0415

        self._store = AuditStore(engine)
        self._region = region
        self._clock = clock

    def load(self) -> int | None:
        return self._store.watermark(self._region)

    def save(self, ms: int) -> None:
        self._store.save_watermark(self._region, ms, self._clock())


class MergedWatermark(Watermark):
    """For a broker that forgets: a watermark is saved only once all that Kafka held at that moment was
    observed, and all that was observed then is merged. `follow` finds that out."""

    def __init__(self, saved: Watermark, region: str, progress: Progress, regions: Sequence[str]) -> None:
        """`regions`: all that take part, since what is merged of one may be a hint for another."""
        self._saved = saved
        self._region = region
        self._regions = regions
        self._progress = progress
        self._offered: int | None = None

    def load(self) -> int | None:
        return self._saved.load()

    def save(self, ms: int) -> None:
        self._offered = ms

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            offered, self._offered = self._offered, None
            if offered is None:
                continue
            try:
                await self._merged()
                await asyncio.to_thread(self._saved.save, offered)
            except TemporaryError as error:
                log.warning("the watermark of %s stays: %s", self._region, error)

    async def _merged(self) -> None:
        """An observation may lead to hints, and those to observations: a removed domain to what was below it,
        level by level. So it is asked for as many generations as a tree of domains is deep, and more."""
        for _ in range(GENERATIONS):
            for region in self._regions:
                await self._passed(topics.region_group(region), topics.events(region))
            await self._passed(topics.HUB_GROUP, topics.OBSERVATIONS)

    async def _passed(self, group: str, topic: str) -> None:
        ends = await asyncio.to_thread(self._progress.ends, topic)
        while not await asyncio.to_thread(self._progress.passed, group, topic, ends):  # noqa: ASYNC110
            await asyncio.sleep(CHECK_EVERY_S)  # the broker has no event for it
