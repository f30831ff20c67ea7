"""Builds the Faust apps: the one place where the parts of the hub and of a region worker meet.

In: settings and a `Wiring` (the broker, the database, the clock). Out: Faust apps, ready to start, one for
the hub and one for each region worker. Called by `pipeline.worker` (one app a process) and `pipeline.run`
(all in one process).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NoReturn, cast

import faust
from faust.streams import Stream
from faust.types import StreamT

from pipeline.agents.acknowledge import Partition
from pipeline.agents.apply import Rules
from pipeline.agents.beside import beside
from pipeline.agents.desk import Desk
from pipeline.agents.fetch import ask_soon
from pipeline.agents.hub import Hub, Place
from pipeline.agents.intake import Taken, taken
from pipeline.agents.letters import Letters
from pipeline.agents.merge import Merger
from pipeline.agents.pruning import prune_periodically, purge_periodically
from pipeline.agents.publish import Publisher
from pipeline.agents.pulse import SIGN_OF_LIFE, Heart, Reached
from pipeline.agents.region import RegionWorker
from pipeline.bridging import room
from pipeline.cloudstack.client import CallRecord, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.config.region import DAY_MS
from pipeline.core import topics
from pipeline.filling import Filling, fill_gaps
from pipeline.metrics.health import Assigned, Health
from pipeline.metrics.instruments import Instruments
from pipeline.outbox.decisions import DecisionStore
from pipeline.outbox.engine import Engine
from pipeline.outbox.hub import HubStore
from pipeline.outbox.pulses import PulseStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.retention import Ages, Retention
from pipeline.outbox.scans import ScanStore
from pipeline.reach import client_settings
from pipeline.reconcile.asking import Asking
from pipeline.reconcile.periodic import scan_periodically
from pipeline.reconcile.scan import Scanner
from pipeline.settings import Region, Settings

COMMIT_EVERY_S: Final = 0.5
"""What a worker that ends without a word leaves to be done twice: at most this much."""
SESSION_S: Final = 10.0
HEARTBEAT_S: Final = 2.0

Take = Callable[[Taken], Awaitable[None]]

log = logging.getLogger(__name__)


def now_ms() -> int:
    """The clock of every process: milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the apps share with the outside. `epoch` names this log of observations (see `Position`);
    `letters`: of all consumers in this process, for whoever wants to know what is stopped."""

    brokers: str
    engine: Engine
    epoch: str
    kafka_options: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], int] = now_ms
    on_call: Callable[[CallRecord], None] | None = None
    embedded: bool = False
    instruments: Instruments = field(default_factory=Instruments)
    health: Health = field(default_factory=Health)
    letters: list[Letters] = field(default_factory=list)


def hub_app(settings: Settings, wiring: Wiring) -> faust.App:
    """Consumes observations and dead letters; holds no region's key."""
    app = _app(topics.HUB_GROUP, settings, wiring)
    store = HubStore(wiring.engine, wiring.clock)
    publisher = Publisher(wiring.brokers, wiring.kafka_options)
    rules = settings.rules()
    limit = settings.dead_letters_per_minute
    place = Place(wiring.epoch, wiring.clock, frozenset(rules.priority), wiring.instruments, limit)
    hub = Hub(store, Merger(store, rules), publisher, place)
    _watch_letters(wiring, hub.letters)
    wiring.instruments.watch_guard("hub", hub.guard)
    _watch_partitions(app, "hub", wiring)
    _consume(app, topics.OBSERVATIONS, hub.take)
    _consume(app, topics.DEAD_LETTERS, hub.take_dead_letter)
    _let_go(app, hub.give_up)

    async def work() -> None:
        try:
            ages = _ages(settings)
            decisions, told = DecisionStore(wiring.engine, ages.outbox_ms), wiring.instruments
            pruning = prune_periodically(decisions, wiring.clock, report=told)
            purging = purge_periodically(Retention(wiring.engine, ages), wiring.clock, told)
            async with (
                beside(pruning, "deleting old decisions"),
                beside(purging, "deleting what is old and over"),
            ):
                await hub.run(settings.hub.batch)
        finally:
            publisher.close()

    _run(app, work)
    return app


def _ages(settings: Settings) -> Ages:
    return Ages(settings.retention.outbox_days * DAY_MS, settings.retention.ledger_days * DAY_MS)


def region_app(settings: Settings, region: Region, wiring: Wiring) -> faust.App:
    """Consumes one region's events and desired states; holds that region's key and no other's."""
    app = _app(topics.region_group(region.name), settings, wiring)
    publisher = Publisher(wiring.brokers, wiring.kafka_options)
    answers = Reached(wiring.clock)
    client = CloudStack(client_settings(region), clock=wiring.clock, on_call=_calls(region, wiring, answers))
    resources = Resources(client)
    worker = _worker(settings, region, _desk(region, resources, publisher, wiring), wiring)
    _watch_letters(wiring, *worker.letters)
    _watch_partitions(app, region.name, wiring)
    reached, began = asyncio.Event(), wiring.clock()

    def once_reached(take: Take) -> Take:
        async def waits(one: Taken) -> None:
            await reached.wait()
            await take(one)

        return waits

    _consume(app, topics.events(region.name), once_reached(worker.take_event))
    _consume(app, topics.desired(region.name), once_reached(worker.take_desired))
    _let_go(app, worker.give_up)

    async def work() -> None:
        try:
            beating = Heart(region.name, answers, worker.lanes, worker.guard, worker.letters)
            async with (
                beside(beating.beat(PulseStore(wiring.engine), wiring.clock), "heartbeat"),
                beside(answers.listen(partial(client.call, SIGN_OF_LIFE, {})), "signs of life"),
            ):
                await worker.guard.patiently(f"region {region.name}", resources.start)
                reached.set()
                filling = Filling(resources, publisher, began, wiring)
                await _work(worker, filling, settings, region, wiring)
        finally:
            await client.aclose()
            publisher.close()

    _run(app, work)
    return app


async def _work(
    worker: RegionWorker, filling: Filling, settings: Settings, region: Region, wiring: Wiring
) -> None:
    """The worker, and the nets below its stream, until one of them fails."""
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        if region.bus.source == "amqp":  # an event log as the source has no gaps
            group.create_task(fill_gaps(settings, region, filling))
        if region.full_scan_interval:
            group.create_task(_scan(filling.resources, filling.publisher, region, wiring))


def _desk(region: Region, resources: Resources, publisher: Publisher, wiring: Wiring) -> Desk:
    store = RegionStore(wiring.engine, region.name, wiring.clock)
    return Desk(resources, store, publisher, wiring.clock, wiring.instruments)


def _worker(settings: Settings, region: Region, desk: Desk, wiring: Wiring) -> RegionWorker:
    rules = Rules(region.mode, region.removals.limits())
    worker = RegionWorker(desk, region.lanes, rules, settings.dead_letters_per_minute)
    wiring.instruments.watch_lanes(region.name, worker.lanes)
    wiring.instruments.watch_guard(region.name, worker.guard)
    return worker


async def _scan(resources: Resources, publisher: Publisher, region: Region, wiring: Wiring) -> None:
    """Full scans now and then, until cancelled."""
    store = ScanStore(wiring.engine, region.name, wiring.clock)
    with room(wiring.brokers, wiring.kafka_options, region.name, forgets=wiring.embedded) as has_room:
        asking = Asking(publisher, region.name, wiring.clock, has_room)
        scanner = Scanner(resources, store, asking)
        await scan_periodically(scanner, store, region.full_scan_interval or 0, wiring.clock)


def _calls(region: Region, wiring: Wiring, reached: Reached) -> Callable[[CallRecord], None]:
    counted, told = wiring.instruments.calls_of(region.name), wiring.on_call

    def called(call: CallRecord) -> None:
        counted(call)
        reached.called(call)
        if told is not None:
            told(call)

    return called


def _watch_letters(wiring: Wiring, *letters: Letters) -> None:
    for one in letters:
        wiring.letters.append(one)
        wiring.instruments.watch_letters(one)


def _watch_partitions(app: faust.App, part: str, wiring: Wiring) -> None:
    """So that the process is ready only once it has its partitions."""
    known = Assigned()
    wiring.health.checks[f"partitions of {part}"] = known.answer

    async def assigned(_app: Any, /, *args: Any, **_signal: Any) -> None:
        known.partitions = len(args[0])

    async def revoked(_app: Any, /, *_args: Any, **_signal: Any) -> None:
        known.partitions = None

    app.on_partitions_assigned.connect(cast(Any, assigned), weak=False)
    app.on_partitions_revoked.connect(cast(Any, revoked), weak=False)


def _app(group: str, settings: Settings, wiring: Wiring) -> faust.App:
    """`table_standby_replicas` stays at its default of 1, though there are no tables: at 0 Faust falls back
    to an assignor that puts equal partitions of two topics on different workers (engine.md)."""
    app = faust.App(
        group,
        broker=[f"kafka://{broker}" for broker in wiring.brokers.split(",")],
        store="memory://",
        autodiscover=False,
        web_enabled=False,  # `pipeline.web` gives it a server
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        stream_wait_empty=False,
        broker_commit_interval=COMMIT_EVERY_S,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        consumer_auto_offset_reset="earliest",
    )
    if wiring.embedded:
        ask_soon(app)
    return app


def _consume(app: faust.App, topic: str, take: Take) -> None:
    """Every message of the topic to `take`, which acknowledges it when it is done with."""
    source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def agent(stream: StreamT[bytes]) -> None:
        try:
            async for event in cast(Stream[bytes], stream).noack().events():
                await take(taken(event))
        except Exception as error:  # noqa: BLE001 - unknown: end before anything is acknowledged
            await _end(app, error)

    app.agent(source, name=f"{app.conf.id}:{topic}")(agent)


def _run(app: faust.App, work: Callable[[], Awaitable[None]]) -> None:
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


def _let_go(app: faust.App, give_up: Callable[[set[Partition]], None]) -> None:
    async def revoked(_app: Any, /, *args: Any, **_signal: Any) -> None:
        give_up({(tp.topic, tp.partition) for tp in args[0]})

    app.on_partitions_revoked.connect(cast(Any, revoked), weak=False)
