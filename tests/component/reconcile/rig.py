"""A simulated region whose bus may lose events, the embedded broker, and gap fills that compare when they are
told to.

A test sets the clock, so no grace is waited for; a gap fill that is made anew over the same store and topic
is a process that was started again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from pipeline.agents.publish import Message, Publisher
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.eventlog import read_events, read_horizon
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core import topics
from pipeline.core.gap import Own
from pipeline.embedded import EmbeddedBroker
from pipeline.lossy import LossyBridge
from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.gaps import GapStore
from pipeline.reconcile.bus import Told, TopicReader
from pipeline.reconcile.gapfill import SOURCE, FillSettings, GapFill, Means
from pipeline.sandbox.launch import SimulatedRegion, now_ms, simulated_regions
from tests.contract.sandbox.api import Api

REGION = "r1"
GRACE_S = 60.0
LIMIT_S = 90.0
QUIET = {"log_level": "2"}


class Killed(RuntimeError):
    """The process ended at this point."""


@dataclass
class Clock:
    """The real time, and what a test adds to it."""

    ahead: int = 0

    def __call__(self) -> int:
        return now_ms() + self.ahead


@dataclass
class Rig:
    region: SimulatedRegion
    api: Api
    engine: Engine
    store: GapStore
    brokers: str
    publisher: Publisher
    bridge: LossyBridge
    resources: Resources
    clock: Clock
    dies: str = ""
    """`before` or `after`: the next publishing kills the process before, or after Kafka has it."""
    _readers: list[TopicReader] = field(default_factory=list)

    @property
    def client(self) -> CloudStack:
        return self.resources.client

    def gap_fill(self, **settings: Any) -> GapFill:
        """A process of its own. The embedded broker finds nothing by time: its topics are read whole."""
        known, reader = self.resources, self._reader()
        means = Means(
            read_log=partial(read_events, self.client),
            horizon=partial(read_horizon, self.client),
            bus=reader,
            publish=self._publish,
            mark=self.store,
            ledger=self.store,
            own=Own(known.own_user, known.own_user_name, known.own_account_name),
            skew=lambda: self.client.skew_ms or 0,
            clock=self.clock,
        )
        return GapFill(FillSettings(REGION, 1.0, GRACE_S, self.clock(), forgets=True, **settings), means)

    async def after_the_grace(self, gap_fill: GapFill) -> None:
        """What is in the log by now is seen, and judged."""
        await self.relayed()
        await gap_fill.cycle()
        self.clock.ahead += int(GRACE_S * 1000) + 1
        await gap_fill.cycle()

    async def relayed(self) -> None:
        """Kafka has all that the bus told."""
        deadline = time.monotonic() + LIMIT_S
        while self.bridge.waiting:
            assert time.monotonic() < deadline, "Kafka did not take what the bus told"
            await asyncio.sleep(0.01)

    async def told(self, source: str = SOURCE) -> list[Told]:
        """The messages of that source in the region's topic, in each partition's order."""
        return await asyncio.to_thread(self._told, source)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    def _told(self, source: str) -> list[Told]:
        reader = self._reader()
        reader.start(None)
        reader.mark_end()
        found: list[Told] = []
        while batch := reader.batch():
            found += batch
        return [one for one in found if one.headers["source"] == source.encode()]

    def _reader(self) -> TopicReader:
        reader = TopicReader(self.brokers, {}, topics.events(REGION))
        self._readers.append(reader)
        return reader

    async def _publish(self, messages: Sequence[Message]) -> None:
        dies, self.dies = self.dies, "" if messages else self.dies
        if messages and dies == "before":
            raise Killed
        await self.publisher.publish(messages)
        if messages and dies == "after":
            raise Killed


@asynccontextmanager
async def rigged(folder: Path) -> AsyncIterator[Rig]:
    url = f"sqlite:///{folder / 'rig.db'}"
    migrate(url)
    engine = open_database(url)
    clock = Clock()
    async with simulated_regions(1, names=(REGION,)) as (region,):
        keys = Credentials(region.service.apikey, region.service.secretkey)
        client = CloudStack(ClientSettings(region.endpoint, keys, timeout_s=5), clock=now_ms)
        resources = Resources(client)
        await resources.start()
        bridge = LossyBridge(region)
        with EmbeddedBroker() as broker:
            broker.ensure_topics([topics.events(REGION), topics.DEAD_LETTERS])
            publisher = Publisher(broker.address, QUIET)
            bridge.connect(broker.address, QUIET)
            store = GapStore(engine, REGION, clock)
            api = Api(region)
            relaying = asyncio.create_task(bridge.wait())
            rig = Rig(region, api, engine, store, broker.address, publisher, bridge, resources, clock)
            try:
                yield rig
            finally:
                rig.close()
                await bridge.stop()
                await relaying
                await client.aclose()
                await asyncio.to_thread(publisher.close)
                engine.dispose()
