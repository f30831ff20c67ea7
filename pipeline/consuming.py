"""What a Faust app of ours is, and how it is told what to consume and what to run.

In: a consumer group, where Kafka is; what takes messages; what works beside it. Out: an app that acknowledges
only what its takers acknowledge, and that ends where anything unknown goes wrong. Called by `pipeline.app`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NoReturn, Protocol, cast

import faust
from faust.streams import Stream
from faust.types import StreamT
from mode.utils.queues import FlowControlQueue

from pipeline.agents.acknowledge import Partition
from pipeline.agents.credentials import credentials
from pipeline.agents.fetch import ask_soon
from pipeline.agents.intake import Taken, taken
from pipeline.agents.rewind import rewind
from pipeline.agents.tenure import SESSION_S

COMMIT_EVERY_S: Final = 0.5
"""What a worker that ends without a word leaves to be done twice: at most this much."""
HEARTBEAT_S: Final = 2.0
FULL_AT: Final = 1 / FlowControlQueue.pressure_high_ratio
"""Of a buffer: mode's own number."""

Take = Callable[[Taken], Awaitable[None]]

log = logging.getLogger(__name__)


class Reach(Protocol):
    """Where Kafka is. `embedded`: librdkafka's own, in this process."""

    @property
    def brokers(self) -> str: ...
    @property
    def kafka_options(self) -> Mapping[str, str]: ...
    @property
    def embedded(self) -> bool: ...


class _App(faust.App):
    """Without folders of its own: they would hold tables, and there are none. So a process writes nowhere,
    and a read-only file system is enough for it."""

    logger = logging.getLogger("faust.app")
    """What Faust says stays Faust's: it would take this module's, by the class."""

    def _create_directories(self) -> None:
        """Faust makes them whenever an app starts, with tables or without."""


def new_app(group: str, partitions: int, kafka: Reach) -> faust.App:
    """An app of that consumer group. `table_standby_replicas` stays at its default of 1, though there are no
    tables: at 0 Faust falls back to an assignor that puts equal partitions of two topics on different
    workers (engine.md)."""
    app = _App(
        group,
        broker=[f"kafka://{broker}" for broker in kafka.brokers.split(",")],
        broker_credentials=credentials(kafka.kafka_options),
        store="memory://",
        autodiscover=False,
        web_enabled=False,  # `pipeline.web` gives it a server
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=partitions,
        stream_wait_empty=False,
        broker_commit_interval=COMMIT_EVERY_S,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        consumer_auto_offset_reset="earliest",
    )
    if kafka.embedded:
        ask_soon(app)
    else:
        rewind(app)
    return app


def few_at_a_time(app: faust.App, partitions: int) -> None:
    """So that no topic stands in another one's way. Faust has one loop that hands out what was fetched, and a
    topic whose buffer is full stops it for all. A buffer that is filled to `FULL_AT` stops fetching from that
    partition alone, and only from then on: so what is left of it must hold one batch of each partition."""
    left = app.conf.stream_buffer_maxsize * (1 - FULL_AT)
    app.conf.broker_max_poll_records = max(1, int(left / partitions))


def consume(app: faust.App, topic: str, take: Take) -> None:
    """Every message of the topic to `take`, which acknowledges it when it is done with."""
    source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def agent(stream: StreamT[bytes]) -> None:
        try:
            async for event in cast(Stream[bytes], stream).noack().events():
                await take(taken(event))
        except Exception as error:  # noqa: BLE001 - unknown: end before anything is acknowledged
            await _end(app, error)

    app.agent(source, name=f"{app.conf.id}:{topic}")(agent)


def run(app: faust.App, work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work` from the app's start to its stop; whatever it raises ends the worker."""

    async def task() -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - as above
            await _end(app, error)

    app.task(task)


async def _end(app: faust.App, error: Exception) -> NoReturn:
    """Crashes the app and never returns: what is not acknowledged goes to the next worker."""
    log.error("%s ends: %s: %s", app.conf.id, type(error).__name__, error, exc_info=error)
    await app.crash(error)
    await asyncio.Event().wait()
    raise AssertionError


def let_go(app: faust.App, give_up: Callable[[set[Partition]], None]) -> None:
    """Tells `give_up` which partitions are another worker's from now on."""

    async def revoked(_app: Any, /, *args: Any, **_signal: Any) -> None:
        give_up({(tp.topic, tp.partition) for tp in args[0]})

    app.on_partitions_revoked.connect(cast(Any, revoked), weak=False)
