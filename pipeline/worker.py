"""One process, one Faust app: the hub, or a region's worker.

In: settings. Out: an exit code; 0 after a signal, 1 when something unknown went wrong (its supervisor starts
it again). Called by `region-sync worker …`; `faust -A pipeline.worker worker` takes `app`, which the
environment chooses (REGION_SYNC_CONFIG, REGION_SYNC_REGION).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import faust

from pipeline.app import Wiring, hub_app, region_app
from pipeline.config.region import DAY_MS
from pipeline.core import topics
from pipeline.core.errors import PermanentError
from pipeline.outbox.audit import AuditStore, RegionRow
from pipeline.outbox.engine import migrate, open_database
from pipeline.reach import Kafka, too_short, topic_names
from pipeline.settings import Environment, Region, Settings
from pipeline.web import serve

STOP_LIMIT_S: Final = 10.0
"""Longer than that no worker takes to stop: what it had not acknowledged is read again."""
LOOK_EVERY_S: Final = 0.2

log = logging.getLogger(__name__)


def hub(settings: Settings) -> int:
    """Runs the hub until a signal comes."""
    return asyncio.run(serve_apps(lambda: [_hub(settings)]))


def region(settings: Settings, name: str) -> int:
    """Runs one region's worker until a signal comes."""
    chosen = settings.region(name)
    return asyncio.run(serve_apps(lambda: [_region(settings, chosen)]))


def _hub(settings: Settings) -> faust.App:
    """With its pages."""
    wiring = wire(settings)
    app = hub_app(settings, wiring)
    serve(app, settings, wiring)
    return app


def _region(settings: Settings, chosen: Region) -> faust.App:
    """With its pages."""
    wiring = wire(settings)
    app = region_app(settings, chosen, wiring)
    serve(app, settings, wiring, chosen.name)
    return app


def wire(settings: Settings) -> Wiring:
    """Kafka with its topics and the database with its tables, made ready. Raises `TemporaryError` when one of
    them can't be reached, `PermanentError` when the settings don't fit them."""
    if settings.embedded:
        raise PermanentError("kafka: embedded lives in the process of `region-sync run` and serves no worker")
    migrate(settings.database)
    engine = open_database(settings.database)
    AuditStore(engine).save_regions(region_rows(settings))
    kafka = Kafka(settings.kafka, settings.kafka_options)
    days, names = settings.retention.outage_days, topic_names(settings)
    kafka.ensure_topics(names, settings.partitions, days * DAY_MS)
    for name, words in too_short(kafka.kept(names), days).items():
        log.warning("topic %s keeps only %s, and retention.outage_days is %d", name, words, days)
    epoch = kafka.identity(topics.OBSERVATIONS)
    return Wiring(settings.kafka, engine, epoch, settings.kafka_options)


def region_rows(settings: Settings) -> list[RegionRow]:
    """The regions as the database shows them: the secret itself is never there."""
    return [
        RegionRow(
            name=region.name,
            host=region.host,
            root_url=region.root_url,
            user_name=region.user_name or "",
            password="",
            is_master=region.is_master,
            mode=region.mode.value,
        )
        for region in settings.active
    ]


async def serve_apps(build: Callable[[], Sequence[faust.App]]) -> int:
    """Starts the apps and stops them at a signal, or when one of them crashed."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    apps = build()
    for app in apps:
        app.finalize()
        await app.start()
    while not stop.is_set() and not any(app.crashed for app in apps):
        await _signalled(stop)
    failed = any(app.crashed for app in apps)
    await within_limit([app.stop() for app in apps])
    return 1 if failed else 0


async def within_limit(stopping: Sequence[Awaitable[Any]]) -> None:
    """Ends the process when a stop hangs: with events that were never acknowledged Faust may wait for ever
    (engine.md)."""
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await asyncio.gather(*stopping)
    except TimeoutError:
        log.warning("not stopped after %.0f s: ending", STOP_LIMIT_S)
        logging.shutdown()
        os._exit(1)


async def _signalled(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)
    except TimeoutError:
        return


def __getattr__(name: str) -> faust.App:
    """`app`, made when Faust's own command line asks for it."""
    if name != "app":
        raise AttributeError(name)
    environment = Environment()
    settings = environment.settings()
    if environment.region is None:
        return _hub(settings)
    return _region(settings, settings.region(environment.region))
