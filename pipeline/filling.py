"""A region's gap fill from its settings: where it reads, what it remembers, and that only one process does
it.

In: settings, the region's API, a broker, the database. Out: nothing; it runs until it is cancelled. Called by
the region's worker (`pipeline.app`): it needs the region's API key, which no bridge on a bus holds, and the
database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import uuid4

from pipeline.agents.publish import Publisher
from pipeline.bridging import MergedWatermark
from pipeline.cloudstack.eventlog import read_events, read_horizon
from pipeline.cloudstack.resources import Resources
from pipeline.core import topics
from pipeline.core.gap import Own
from pipeline.outbox.engine import Engine
from pipeline.outbox.gaps import MARK, GapStore
from pipeline.outbox.lease import Lease
from pipeline.progress import Progress
from pipeline.reconcile.alone import alone
from pipeline.reconcile.bus import TopicReader
from pipeline.reconcile.gapfill import FillSettings, GapFill, Mark, Means
from pipeline.settings import Region, Settings


class Wires(Protocol):
    """What it shares with the outside (`pipeline.app.Wiring`)."""

    @property
    def brokers(self) -> str: ...
    @property
    def kafka_options(self) -> Mapping[str, str]: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def clock(self) -> Callable[[], int]: ...
    @property
    def embedded(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Filling:
    """The region's API, started; a publisher; when the process began (milliseconds)."""

    resources: Resources
    publisher: Publisher
    began: int
    wires: Wires


async def fill_gaps(settings: Settings, region: Region, parts: Filling) -> None:
    """Until cancelled, while no other process does it. Raises what is unknown."""
    wires = parts.wires
    lease = Lease(wires.engine, MARK.format(region=region.name), uuid4().hex, wires.clock)
    await alone(lease, partial(_fill, settings, region, parts))


async def _fill(settings: Settings, region: Region, parts: Filling) -> None:
    wires, client, known = parts.wires, parts.resources.client, parts.resources
    store = GapStore(wires.engine, region.name, wires.clock)
    topic = topics.events(region.name)
    bus = await asyncio.to_thread(TopicReader, wires.brokers, wires.kafka_options, topic)
    try:
        async with _mark(settings, region, wires, store) as mark:
            means = Means(
                read_log=partial(read_events, client),
                horizon=partial(read_horizon, client),
                bus=bus,
                publish=parts.publisher.publish,
                mark=mark,
                ledger=store,
                own=Own(known.own_user, known.own_user_name, known.own_account_name),
                skew=lambda: client.skew_ms or 0,
                clock=wires.clock,
            )
            chosen = FillSettings(
                region=region.name,
                interval_s=region.bus.gap_fill_interval_s,
                grace_s=region.bus.gap_fill_grace_s,
                began=parts.began,
                forgets=wires.embedded,
            )
            await GapFill(chosen, means).run()
    finally:
        await asyncio.to_thread(bus.close)


@asynccontextmanager
async def _mark(settings: Settings, region: Region, wires: Wires, store: GapStore) -> AsyncIterator[Mark]:
    """With a Kafka that forgets, the mark is kept only once all before it was merged: what the broker forgets
    when the process ends, events that came over the bus too, is then found in the log at the next start."""
    if not wires.embedded:
        yield store
        return
    progress = Progress(wires.brokers, wires.kafka_options)
    merged = MergedWatermark(store, region.name, progress, [one.name for one in settings.active])
    following = asyncio.create_task(merged.follow())
    try:
        yield merged
    finally:
        following.cancel()
        await asyncio.wait({following})
        await asyncio.to_thread(progress.close)
