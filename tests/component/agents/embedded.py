"""Faust workers of one simulated region on a broker, and what they have published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import faust
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Consumer, TopicPartition

from pipeline import wire
from pipeline.agents.publish import Message, Publisher
from pipeline.app import Wiring, now_ms, region_app
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.events import hint
from pipeline.core.records import Observation
from pipeline.embedded import EmbeddedBroker
from pipeline.outbox.engine import migrate, open_database
from pipeline.progress import Progress
from pipeline.reach import Kafka, topic_names
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.settings import Settings
from pipeline.staging import sandbox_settings

PARTITIONS = 4
LIMIT_S = 90.0
QUIET = {"log_level": "2"}


def partition(key: str) -> int:
    """Where Faust and librdkafka put this key."""
    numbers = list(range(PARTITIONS))
    return int(DefaultPartitioner()(key.encode(), numbers, numbers))


async def until(reached: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Looks now and then: a broker has no event for what it commits."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while True:
                answer = reached()
                if answer if isinstance(answer, bool) else await answer:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {LIMIT_S:.0f} s: {what}") from None


@dataclass
class Stage:
    """The broker, the region, and the way to speak to its workers."""

    settings: Settings
    wiring: Wiring
    region: SimulatedRegion
    publisher: Publisher
    progress: Progress

    @property
    def name(self) -> str:
        return self.region.name

    async def worker(self) -> faust.App:
        """A further worker of the region, started."""
        app = region_app(self.settings, self.settings.region(self.name), self.wiring)
        app.finalize()
        await app.start()
        return app

    async def hint(self, kind: Kind, *uuids: str) -> None:
        topic = topics.events(self.name)
        await self.publisher.publish([Message(topic, u.encode(), hint(kind, u, now_ms())) for u in uuids])

    def committed(self, topic: str) -> dict[int, int]:
        return self.progress.committed(topics.region_group(self.name), topic, self.progress.ends(topic))

    async def worked_off(self) -> bool:
        group = topics.region_group(self.name)
        lags = [
            await asyncio.to_thread(self.progress.lag, group, topic) for topic in topics.of_region(self.name)
        ]
        return not any(lags)

    def observations(self) -> list[Observation]:
        """All that the workers have published so far, each partition's in its order."""
        ends = self.progress.ends(topics.OBSERVATIONS)
        found: list[Observation] = []
        consumer = Consumer(
            {"bootstrap.servers": self.wiring.brokers, "group.id": f"reader-{self.name}", **QUIET}
        )
        try:
            for number, end in ends.items():
                consumer.assign([TopicPartition(topics.OBSERVATIONS, number, 0)])
                read = 0
                while read < end:
                    message = consumer.poll(10)
                    assert message is not None, "the broker has forgotten what it held"
                    assert message.error() is None, message.error()
                    one = wire.observation(message.value() or b"")
                    found += [one] if one.region == self.name else []
                    read = (message.offset() or 0) + 1
        finally:
            consumer.close()
        return found


def partitions(app: faust.App, topic: str) -> set[int]:
    """Which partitions of the topic this worker holds."""
    return {tp.partition for tp in app.consumer.assignment() if tp.topic == topic}


@asynccontextmanager
async def staged(folder: Path, kafka: str = "") -> AsyncIterator[Stage]:
    """On the Kafka at that address, else on an embedded one."""
    async with simulated_regions(1, names=(f"r-{uuid4().hex[:6]}",)) as (region,):
        settings = sandbox_settings([region], folder)
        migrate(settings.database.get_secret_value())
        engine = open_database(settings.database.get_secret_value())
        with EmbeddedBroker() if not kafka else nullcontext() as broker:
            address = kafka or broker.address
            if kafka:
                await asyncio.to_thread(Kafka(kafka, {}).ensure_topics, topic_names(settings), PARTITIONS)
            else:
                broker.ensure_topics(topic_names(settings))
            publisher = Publisher(address, QUIET)
            progress = Progress(address, {})
            wiring = Wiring(address, engine, "test", QUIET, embedded=not kafka)
            try:
                yield Stage(settings, wiring, region, publisher, progress)
            finally:
                progress.close()
                await asyncio.to_thread(publisher.close)
                engine.dispose()
