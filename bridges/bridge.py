"""One region's bridge, put together: its source, the relay, and Kafka.

In: `BridgeSettings`, and for a region without a bus its event log and watermark. Out: `run_bridge`, a process
of its own with an exit code (`region-sync bridge`); or `Bridge`, to be started and stopped inside somebody's
event loop (`region-sync run` and `demo`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Literal

from bridges.address import Trust
from bridges.eventlog import EventLogSource, LogSettings, OpenLog, Watermark
from bridges.kafka import KafkaSink, Unread
from bridges.rabbitmq import RabbitSource
from bridges.relay import BrokenSink, Counters, Relay
from bridges.topology import BusSettings
from pipeline.core import topics

CLEAN: Final = 0
BROKEN: Final = 1
WRONG_SETTINGS: Final = 2

GC_THRESHOLD: Final = 50_000
"""A process that only relays makes thousands of short-lived objects and no cycles: looking for them at the
default's pace costs it a twentieth of its rate."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """All that one bridge needs to know. Times in seconds, sizes in bytes.

    `source` is `amqp` (the region's bus at `amqp_url`) or `eventlog` (its own event log). `queue` defaults to
    `region-sync.<region>`. `max_unread` bounds, for the event log, what a partition of a Kafka that forgets
    (the embedded one) holds unread by the region's worker; 0 for a Kafka that does not forget.
    """

    region: str
    kafka: str
    kafka_options: Mapping[str, str] = field(default_factory=dict, repr=False)
    source: Literal["amqp", "eventlog"] = "amqp"
    amqp_url: str = field(default="", repr=False)
    trust: Trust = field(default_factory=Trust)
    exchange: str = "cloudstack-events"
    queue: str = ""
    prefetch: int = 5000
    quorum: bool = True
    queue_max_bytes: int = 1024**3
    poll_interval_s: float = 1.0
    overlap_s: float = 30.0
    drain_limit_s: float = 10.0
    max_unread: int = 0

    def bus(self) -> BusSettings:
        """The part that concerns RabbitMQ."""
        return BusSettings(
            url=self.amqp_url,
            exchange=self.exchange,
            queue=self.queue or topics.region_group(self.region),
            prefetch=self.prefetch,
            quorum=self.quorum,
            max_bytes=self.queue_max_bytes,
            drain_limit_s=self.drain_limit_s,
            trust=self.trust,
        )

    def event_log(self) -> LogSettings:
        """The part that concerns the event log."""
        return LogSettings(
            region=self.region,
            poll_interval_s=self.poll_interval_s,
            overlap_s=self.overlap_s,
            in_flight=self.prefetch,
            drain_limit_s=self.drain_limit_s,
        )


class Bridge:
    """A bridge inside a running event loop; `counters` tell what it does. One use only."""

    def __init__(
        self, settings: BridgeSettings, open_log: OpenLog | None = None, watermark: Watermark | None = None
    ) -> None:
        """`open_log` is needed for `eventlog`; without a `watermark` each start looks back anew."""
        self.counters = Counters()
        self._settings = settings
        self._open_log = open_log
        self._watermark = watermark
        self._source: RabbitSource | EventLogSource | None = None
        self._ended: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Returns at once: Kafka and the region need not be up. Raises `ValueError` on wrong settings."""
        settings = self._settings
        if settings.source == "eventlog" and self._open_log is None:
            raise ValueError("the source eventlog needs the region's event log")
        sink = KafkaSink(settings.kafka, settings.kafka_options, settings.prefetch)
        relay = Relay(settings.region, settings.source, sink, self.counters, _now)
        if settings.source == "amqp":
            bus_source = RabbitSource(settings.bus(), relay, sink, self.counters)
            self._source = bus_source
            self._ended = self._start_thread(bus_source, sink)
        elif self._open_log is not None:
            log_source = EventLogSource(settings.event_log(), relay, sink, self.counters)
            self._source = log_source
            self._ended = asyncio.ensure_future(self._follow(log_source, sink, self._open_log))

    async def wait(self) -> None:
        """Until the bridge has ended. Raises `BrokenSink` when Kafka's client cannot go on."""
        if self._ended is not None:
            await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Take nothing new, let what is under way arrive (`drain_limit_s` at most), end. Never raises."""
        if self._source is None or self._ended is None:
            return
        self._source.stop()
        _, running = await asyncio.wait({self._ended}, timeout=self._settings.drain_limit_s + 5.0)
        for late in running:  # a region's answer that does not come; what it held is read again
            late.cancel()
            await asyncio.wait({late})

    def _start_thread(self, source: RabbitSource, sink: KafkaSink) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def finish(error: BaseException | None) -> None:
            if ended.done():
                return
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def body() -> None:
            failure: BaseException | None = None
            try:
                source.run()
            except Exception as error:  # noqa: BLE001 - told to whoever waits
                failure = error
            finally:
                sink.close()
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, failure)

        threading.Thread(target=body, name=f"bridge-{self._settings.region}", daemon=True).start()
        return ended

    async def _follow(self, source: EventLogSource, sink: KafkaSink, open_log: OpenLog) -> None:
        settings = self._settings
        unread: Unread | None = None
        if settings.max_unread:
            unread = Unread(settings.kafka, settings.kafka_options, settings.region, settings.max_unread)
        try:
            await source.run(open_log, self._watermark, unread, _now)
        finally:
            sink.close()
            if unread is not None:
                unread.close()


Beside = Callable[[Counters], AbstractAsyncContextManager[None]]
"""What goes on as long as the bridge does, and may look at its counters."""


def run_bridge(
    settings: BridgeSettings,
    open_log: OpenLog | None = None,
    watermark: Watermark | None = None,
    beside: Beside | None = None,
) -> int:
    """Run one bridge until SIGTERM or SIGINT; the exit code: 0 stopped, 1 broken, 2 wrong settings."""
    gc.set_threshold(GC_THRESHOLD)
    return asyncio.run(_run_beside(Bridge(settings, open_log, watermark), settings.region, beside))


async def _run_beside(bridge: Bridge, region: str, beside: Beside | None) -> int:
    if beside is None:
        return await _run(bridge, region)
    async with beside(bridge.counters):
        return await _run(bridge, region)


async def _run(bridge: Bridge, region: str) -> int:
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    try:
        await bridge.start()
    except ValueError as error:
        log.error("bridge %s: %s", region, error)
        return WRONG_SETTINGS
    ended = asyncio.ensure_future(bridge.wait())
    signal_came = asyncio.ensure_future(signalled.wait())
    await asyncio.wait({ended, signal_came}, return_when=asyncio.FIRST_COMPLETED)
    signal_came.cancel()
    await bridge.stop()
    try:
        await ended
    except BrokenSink as error:
        log.error("bridge %s: %s", region, error)
        return BROKEN
    except Exception:
        log.exception("bridge %s ended by an unknown error", region)
        return BROKEN
    log.info("bridge %s stopped: %s", region, bridge.counters)
    return CLEAN


def _now() -> int:
    return time.time_ns() // 1_000_000
