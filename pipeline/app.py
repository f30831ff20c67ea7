"""Builds the Faust apps: the one place where the parts of the hub and of a region worker meet.

In: settings and a `Wiring` (the broker, the database, the clock). Out: Faust apps, ready to start, one for
the hub and one for each region worker. Called by `pipeline.worker` (one app a process) and `pipeline.run`
(all in one process).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import faust

from pipeline.agents.apply import Rules
from pipeline.agents.beside import beside
from pipeline.agents.desk import Desk, Watch
from pipeline.agents.hub import Hub, Place
from pipeline.agents.intake import Taken
from pipeline.agents.keys import Keys
from pipeline.agents.letters import Letters
from pipeline.agents.merge import Merger
from pipeline.agents.polling import poll_roles
from pipeline.agents.pruning import prune_periodically, purge_periodically
from pipeline.agents.publish import Publisher
from pipeline.agents.pulse import SIGN_OF_LIFE, Heart, Reached
from pipeline.agents.region import RegionWorker
from pipeline.agents.signs import Signs
from pipeline.agents.tenure import Tenure
from pipeline.bridging import room
from pipeline.carried import keyless, logins, ring
from pipeline.cloudstack.client import CallRecord, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.config.region import DAY_MS
from pipeline.consuming import Take, consume, few_at_a_time, let_go, new_app, run
from pipeline.core import topics
from pipeline.core.mode import Mode
from pipeline.filling import Filling, fill_gaps
from pipeline.metrics.health import Health
from pipeline.metrics.instruments import Instruments
from pipeline.outbox.decisions import DecisionStore
from pipeline.outbox.engine import Engine
from pipeline.outbox.hub import HubStore
from pipeline.outbox.pulses import PulseStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.retention import Ages, Retention
from pipeline.outbox.scans import ScanStore
from pipeline.outbox.sealed import SealedStore
from pipeline.outbox.terms import Terms
from pipeline.reach import client_settings
from pipeline.reconcile.asking import Asking
from pipeline.reconcile.periodic import scan_periodically
from pipeline.reconcile.scan import Scanner
from pipeline.settings import Region, Settings
from pipeline.watching import Dog, lag_watchdog, lane_watchdog, watch_letters, watch_partitions

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
    app = new_app(topics.HUB_GROUP, settings.partitions, wiring)
    store = HubStore(wiring.engine, wiring.clock)
    publisher = Publisher(wiring.brokers, wiring.kafka_options)
    rules = settings.rules()
    limit = settings.dead_letters_per_minute
    place = Place(wiring.epoch, wiring.clock, frozenset(rules.priority), wiring.instruments, limit)
    hub = Hub(store, Merger(store, rules), publisher, place)
    watch_letters(wiring, hub.letters)
    wiring.instruments.watch_guard("hub", hub.guard)
    known = watch_partitions(app, "hub", wiring)
    _guard(app, lag_watchdog(settings, wiring, ("hub", topics.HUB_GROUP), hub, known))
    consume(app, topics.OBSERVATIONS, hub.take)
    consume(app, topics.DEAD_LETTERS, hub.take_dead_letter)
    let_go(app, hub.give_up)

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

    run(app, work)
    return app


def _ages(settings: Settings) -> Ages:
    return Ages(settings.retention.outbox_days * DAY_MS, settings.retention.ledger_days * DAY_MS)


def region_app(settings: Settings, region: Region, wiring: Wiring) -> faust.App:
    """Consumes one region's events and desired states; holds that region's key and no other's."""
    app = new_app(topics.region_group(region.name), settings.partitions, wiring)
    few_at_a_time(app, settings.partitions)
    publisher = Publisher(wiring.brokers, wiring.kafka_options)
    answers = Reached(wiring.clock)
    desk = _desk(settings, region, publisher, wiring, _calls(region, wiring, answers))
    worker = _worker(settings, region, desk, wiring)
    watch_letters(wiring, *worker.letters)
    known = watch_partitions(app, region.name, wiring)
    group = region.name, topics.region_group(region.name)
    _guard(app, lag_watchdog(settings, wiring, group, worker, known))
    _guard(app, lane_watchdog(settings, wiring, region, desk.signs))
    reached, began = asyncio.Event(), wiring.clock()

    consume(app, topics.events(region.name), _once(reached, worker.take_event))
    consume(app, topics.desired(region.name), _once(reached, worker.take_desired))
    consume(app, topics.revoke(region.name), _once(reached, worker.take_revocation))
    let_go(app, worker.give_up)

    async def work() -> None:
        try:
            beating = Heart(region.name, answers, worker.lanes, worker.guard, worker.letters)
            async with (
                beside(beating.beat(PulseStore(wiring.engine), wiring.clock), "heartbeat"),
                beside(answers.listen(partial(desk.client.call, SIGN_OF_LIFE, {})), "signs of life"),
            ):
                await worker.guard.patiently(f"region {region.name}", desk.resources.start)
                reached.set()
                filling = Filling(desk.resources, publisher, began, wiring)
                await _work(worker, filling, settings, region, wiring)
        finally:
            await desk.client.aclose()
            publisher.close()

    run(app, work)
    return app


async def _work(
    worker: RegionWorker, filling: Filling, settings: Settings, region: Region, wiring: Wiring
) -> None:
    """The worker, and the nets below its stream, until one of them fails."""
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        if settings.roles and region.mode is not Mode.PAUSED:
            every_s, guard = settings.roles_every, worker.guard
            group.create_task(
                poll_roles(filling.publisher, region.name, every_s, wiring.clock, guard), name="roles"
            )
        if region.bus.source == "amqp":  # an event log as the source has no gaps
            group.create_task(fill_gaps(settings, region, filling))
        if region.full_scan_interval:
            group.create_task(_scan(filling.resources, filling.publisher, region, wiring))


def _desk(
    settings: Settings,
    region: Region,
    publisher: Publisher,
    wiring: Wiring,
    told: Callable[[CallRecord], None],
) -> Desk:
    """Everything outside of the worker, and what keeps it from all that is another worker's by now."""
    tenure, signs = Tenure(Terms(wiring.engine, region.name, wiring.clock).next), Signs()

    def called(call: CallRecord) -> None:
        signs.give()
        told(call)

    client = CloudStack(
        client_settings(region), clock=wiring.clock, on_call=called, before_change=tenure.before_change
    )
    store = RegionStore(wiring.engine, region.name, wiring.clock)
    watch = Watch(tenure, wiring.instruments, signs)
    policy, users = settings.key_policy(region), logins(settings, region)
    resources = Resources(client, policy, limits=region.limits, logins=users, roles=settings.roles)
    return Desk(resources, store, publisher, wiring.clock, watch)


def _worker(settings: Settings, region: Region, desk: Desk, wiring: Wiring) -> RegionWorker:
    rules = Rules(region.mode, region.removals.limits())
    store = SealedStore(wiring.engine, region.name, wiring.clock)
    keys = Keys(desk, ring(settings, region), store)
    for words in keyless(settings, region):
        log.warning(words)
    worker = RegionWorker(desk, region.lanes, rules, settings.dead_letters_per_minute, keys)
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


def _once(reached: asyncio.Event, take: Take) -> Take:
    """Not before the region was reached."""

    async def waits(one: Taken) -> None:
        await reached.wait()
        await take(one)

    return waits


def _guard(app: faust.App, dog: Dog | None) -> None:
    if dog is not None:
        run(app, dog)
