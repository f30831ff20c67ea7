"""Everything in one process: bridges, hub and region workers under one command, one event loop.

In: settings. Out: an exit code; 0 after a signal, 1 when a part of it ended by itself. With `kafka: embedded`
the broker is in here too, and what it had forgotten at the last stop is sent again from the outbox and read
again from the regions' event logs. Called by `region-sync run` and `demo`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

import faust

from bridges.bridge import Bridge
from bridges.relay import Counters
from pipeline import unprotected
from pipeline.agents.publish import Message, Publisher
from pipeline.app import Wiring, hub_app, now_ms, region_app
from pipeline.bridging import MergedWatermark, SavedWatermark, bridge_settings, open_log
from pipeline.broker import announced
from pipeline.cloudstack.client import CallRecord
from pipeline.core import topics
from pipeline.embedded import EmbeddedBroker
from pipeline.metrics.relaying import Relaying
from pipeline.outbox.audit import AuditStore
from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.region import RegionStore
from pipeline.outbox.untold import untold
from pipeline.progress import Progress
from pipeline.reach import topic_names
from pipeline.settings import Region, Settings
from pipeline.turning import watched_loop
from pipeline.web import Server, serve
from pipeline.wire import encode
from pipeline.worker import exit_code, region_rows, wire, within_limit

LOOK_EVERY_S: Final = 0.2
QUIET: Final = {"log_level": "2"}
"""The embedded broker goes with the process: nobody needs to hear of connections that end then."""

log = logging.getLogger(__name__)


class AnyBridge(Protocol):
    """What `bridges.bridge.Bridge` is to us; the demonstration has one of its own."""

    async def start(self) -> None: ...

    async def wait(self) -> None: ...

    async def stop(self) -> None: ...


MakeBridge = Callable[[Region, Wiring], AnyBridge]


@dataclass(frozen=True, slots=True)
class Running:
    """The pipeline while it runs. One server shows all of it: the hub's."""

    settings: Settings
    wiring: Wiring
    apps: tuple[faust.App, ...]
    bridges: tuple[AnyBridge, ...]
    bridging: tuple[asyncio.Task[None], ...]
    server: Server | None = None

    @property
    def exit_code(self) -> int:
        return exit_code(self.apps) or int(self.broken)

    @property
    def broken(self) -> bool:
        """A part of it ended by itself."""
        return any(app.crashed for app in self.apps) or any(task.done() for task in self.bridging)


def run(settings: Settings) -> int:
    """Runs the whole pipeline until a signal comes."""
    return asyncio.run(_until_signal(settings))


@asynccontextmanager
async def pipeline(
    settings: Settings,
    on_call: Callable[[CallRecord], None] | None = None,
    make_bridge: MakeBridge | None = None,
) -> AsyncIterator[Running]:
    """The whole pipeline, running, with bridges as the settings say or as `make_bridge` makes them. Raises
    `TemporaryError` when Kafka or the database can't be reached."""
    with _wired(settings) as wired:
        wiring = replace(wired, on_call=on_call)
        apps = [hub_app(settings, wiring)]
        server = serve(apps[0], settings, wiring)
        apps += [region_app(settings, region, wiring) for region in settings.active]
        progress = Progress(wiring.brokers, wiring.kafka_options)
        marks = {region.name: _watermark(settings, region, wiring, progress) for region in settings.active}
        make = make_bridge or (lambda region, wiring: _bridge(settings, region, wiring, marks[region.name]))
        bridges = [make(region, wiring) for region in settings.active]
        wiring.instruments.add(Relaying(_counted(settings, bridges)))
        following = [
            asyncio.create_task(mark.follow()) for mark in marks.values() if isinstance(mark, MergedWatermark)
        ]
        try:
            if settings.embedded:
                await _tell_again(settings, wiring)
            for app in apps:
                app.finalize()
            await asyncio.gather(*(app.start() for app in apps))
            await asyncio.gather(*(bridge.start() for bridge in bridges))
            bridging = [asyncio.create_task(bridge.wait()) for bridge in bridges]
            yield Running(settings, wiring, tuple(apps), tuple(bridges), tuple(bridging), server)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*(bridge.stop() for bridge in bridges))
            await within_limit([app.stop() for app in apps], exit_code(apps) or 1)
            await asyncio.to_thread(progress.close)


@contextmanager
def _wired(settings: Settings) -> Iterator[Wiring]:
    if not settings.embedded:
        yield wire(settings)
        return
    migrate(settings.database.get_secret_value())
    engine = open_database(settings.database.get_secret_value())
    AuditStore(engine).save_regions(region_rows(settings))
    for region in settings.active:
        woken = RegionStore(engine, region.name, now_ms).wake_all(now_ms())
        if woken:
            log.info("%s: %d desired states of the last run are sent again", region.name, woken)
    with EmbeddedBroker() as broker:
        broker.ensure_topics(topic_names(settings))
        with announced(settings, broker.address):
            yield Wiring(broker.address, engine, f"embedded-{now_ms()}", QUIET, embedded=True)


async def _tell_again(settings: Settings, wiring: Wiring) -> None:
    """What the last run applied, and its broker forgot before the hub had merged it."""
    found = [
        one
        for region in settings.active
        for one in await asyncio.to_thread(untold, wiring.engine, region.name, wiring.clock())
    ]
    if not found:
        return
    log.info("%d results of the last run are told again", len(found))
    publisher = Publisher(wiring.brokers, wiring.kafka_options)
    try:
        await publisher.publish(
            [Message(topics.OBSERVATIONS, key.encode(), encode(one)) for key, one in found]
        )
    finally:
        publisher.close()


def _watermark(
    settings: Settings, region: Region, wiring: Wiring, progress: Progress
) -> SavedWatermark | MergedWatermark:
    saved = SavedWatermark(wiring.engine, region.name, wiring.clock)
    if not settings.embedded:
        return saved
    return MergedWatermark(saved, region.name, progress, [one.name for one in settings.active])


def _counted(settings: Settings, bridges: Sequence[AnyBridge]) -> dict[str, Counters]:
    return {
        region.name: one.counters
        for region, one in zip(settings.active, bridges, strict=True)
        if isinstance(one, Bridge)
    }


def _bridge(
    settings: Settings, region: Region, wiring: Wiring, mark: SavedWatermark | MergedWatermark
) -> Bridge:
    chosen = bridge_settings(settings, region, wiring.brokers)
    if chosen.source == "amqp":
        return Bridge(chosen)
    return Bridge(chosen, open_log(region, wiring.clock), mark)


async def _until_signal(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    unprotected.tell(settings, *settings.active)
    with watched_loop():
        return await _until(settings, stop)


async def _until(settings: Settings, stop: asyncio.Event) -> int:
    async with pipeline(settings) as running:
        log.info("running: %s", ", ".join(region.name for region in settings.active))
        while not stop.is_set() and not running.broken:
            await asyncio.wait({asyncio.ensure_future(stop.wait())}, timeout=LOOK_EVERY_S)
        return running.exit_code
