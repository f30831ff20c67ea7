"""What each number means, by real runs of a region's worker and of the hub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from pipeline import wire
from pipeline.agents.hub import Hub, Place
from pipeline.agents.intake import Taken
from pipeline.agents.merge import Merger
from pipeline.agents.publish import Publisher
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.events import hint
from pipeline.core.records import Topology
from pipeline.metrics.instruments import Instruments
from tests.component.agents.metering import Exposed, read
from tests.component.agents.rig import FAR, HERE, Rig, Topics, rigged
from tests.component.agents.test_apply import changed, family
from tests.unit.agents.regions import account, domain, gone, user


@pytest.fixture
def instruments() -> Instruments:
    return Instruments()


@pytest.fixture
async def rig(tmp_path: Path, instruments: Instruments) -> AsyncIterator[Rig]:
    async with rigged(tmp_path, instruments) as one:
        instruments.watch_lanes(HERE, one.worker.lanes)
        instruments.watch_guard(HERE, one.worker.guard)
        yield one


def exposed(instruments: Instruments) -> Exposed:
    return read(instruments.text())


async def said(rig: Rig, source: str | None, value: bytes, uuid: str = "dom") -> None:
    """A message of the region's events, taken and done with."""
    done = asyncio.Event()
    headers = {} if source is None else {topics.HEADER_SOURCE: source.encode()}
    await rig.worker.take_event(Taken((topics.events(HERE), 0), 0, uuid.encode(), value, headers, done.set))
    await asyncio.wait_for(done.wait(), 10)


async def test_events_by_source_and_outcome(rig: Rig, instruments: Instruments) -> None:
    await family(rig)
    of_others = json.loads(hint(Kind.DOMAIN, "dom", rig.clock()))
    ours = json.dumps({**of_others, "user": rig.desk.resources.own_user}).encode()
    started = json.dumps({**of_others, "status": "Started"}).encode()
    await said(rig, "amqp", json.dumps(of_others).encode())
    await said(rig, "amqp", ours)
    await said(rig, "eventlog", started)
    await said(rig, "gap-fill", json.dumps(of_others).encode())
    await said(rig, None, json.dumps(of_others).encode())
    await said(rig, "amqp", b"no event")
    await said(rig, "who knows", b"no event")
    now = exposed(instruments)
    counted = {
        (source, outcome): now.value("region_sync_events_total", region=HERE, source=source, outcome=outcome)
        for source, outcome in (
            ("amqp", "taken"),
            ("amqp", "echo"),
            ("eventlog", "ignored"),
            ("gap-fill", "taken"),
            ("hint", "taken"),
            ("amqp", "unreadable"),
            ("other", "unreadable"),
        )
    }
    assert set(counted.values()) == {1.0}
    assert now.total("region_sync_events_total") == 7


async def test_a_delivery_is_counted_timed_and_its_calls_too(rig: Rig, instruments: Instruments) -> None:
    now = rig.clock()
    (wanted,) = rig.merge(domain(FAR, "dom", time=now))
    rig.clock.now = now + 7_000
    await rig.give(wanted)
    await rig.give(wanted)  # told twice: delivered once
    seen = exposed(instruments)
    assert seen.value("region_sync_applied_total", region=HERE, outcome="delivered") == 2
    assert seen.value("region_sync_delivery_seconds_count", region=HERE) == 1
    assert seen.value("region_sync_delivery_seconds_sum", region=HERE) == 7
    calls = {"region": HERE, "outcome": "ok"}
    assert seen.value("region_sync_api_call_seconds_count", command="createDomain", **calls) == 1
    assert seen.value("region_sync_api_call_seconds_sum", command="createDomain", **calls) > 0
    assert seen.value("region_sync_database_batch_rows_sum", batch="contexts") == 2
    assert seen.value("region_sync_database_batch_rows_sum", batch="settlements") == 2
    assert seen.value("region_sync_database_batch_seconds_count", batch="settlements") == 2
    assert seen.value("region_sync_lanes", region=HERE) == 16
    assert seen.value("region_sync_lanes_busy", region=HERE) == 0


async def test_a_child_without_its_parent_is_pending_and_an_old_version_superseded(
    rig: Rig, instruments: Instruments
) -> None:
    rig.merge(domain(FAR, "dom"))
    (acc,) = rig.merge(account(FAR, "acc", parent="dom"))
    await rig.give(acc)
    (newer,) = rig.merge(changed(account(FAR, "acc", parent="dom"), networkdomain="x.org"))
    await rig.give(acc)
    assert newer.version > acc.version
    now = exposed(instruments)
    assert now.value("region_sync_applied_total", region=HERE, outcome="pending") == 1
    assert now.value("region_sync_applied_total", region=HERE, outcome="superseded") == 1


async def test_a_held_removal(rig: Rig, instruments: Instruments) -> None:
    await family(rig)
    (removal,) = rig.merge(gone(FAR, Kind.ACCOUNT, "acc"))
    rig.merge(gone(FAR, Kind.USER, "usr"))
    rig.region.give("acc", vms=1)
    await rig.give(removal)
    now = exposed(instruments)
    assert now.value("region_sync_removals_total", region=HERE, decision="hold") == 1
    assert now.value("region_sync_applied_total", region=HERE, outcome="held") == 1
    assert now.value("region_sync_database_batch_rows_sum", batch="removals") == 1


async def test_a_region_that_is_away_shows_as_retrying_and_unreachable(
    rig: Rig, instruments: Instruments
) -> None:
    (wanted,) = rig.merge(domain(FAR, "dom"))
    rig.region.faults.drop_before_ratio = 1.0
    work = asyncio.create_task(rig.give(wanted))
    async with asyncio.timeout(10):
        while exposed(instruments).total("region_sync_retrying", part=HERE) == 0:
            await asyncio.sleep(0)
    during = exposed(instruments)
    assert during.value("region_sync_lanes_busy", region=HERE) == 1
    rig.region.faults.drop_before_ratio = 0.0
    await work
    after = exposed(instruments)
    assert after.value("region_sync_retrying", part=HERE) == 0
    failed = {"region": HERE, "command": "createDomain", "outcome": "unreachable"}
    assert after.value("region_sync_api_call_seconds_count", **failed) >= 1


async def test_a_refused_call(rig: Rig, instruments: Instruments) -> None:
    (wanted,) = rig.merge(changed(domain(FAR, "dom"), networkdomain="not a domain!"))
    await rig.give(wanted)
    assert rig.outbox(wanted)["state"] == "dead"
    now = exposed(instruments)
    assert now.value("region_sync_applied_total", region=HERE, outcome="dead") == 1


async def test_what_the_hub_decides(rig: Rig, instruments: Instruments) -> None:
    kafka = Topics()
    place = Place("log", rig.clock, frozenset((FAR, HERE, "r3")), instruments)
    merger = Merger(rig.hub, Topology((FAR, HERE, "r3"), sources={"r3": ()}))
    hub = Hub(rig.hub, merger, cast(Publisher, kafka), place)
    instruments.watch_guard("hub", hub.guard)
    running = asyncio.create_task(hub.run(10))
    observations = [
        domain(FAR, "dom"),
        changed(user(FAR, "usr", time=1_000), firstname="A"),
        changed(user(HERE, "usr", time=2_000), firstname="B"),  # neither knew of the other
        changed(user(HERE, "usr", time=2_000), firstname="B"),
        gone(FAR, Kind.USER, "usr"),
        domain("r3", "theirs"),
        changed(domain("r3", "dom"), networkdomain="theirs.example"),
    ]
    for offset, one in enumerate(observations):
        await _merged(hub, offset, wire.encode(one))
    await _merged(hub, 1, wire.encode(observations[1]))  # once more
    await hub.take_dead_letter(_letter(HERE))
    await hub.take_dead_letter(_letter("nowhere"))
    running.cancel()
    now = exposed(instruments)
    assert now.value("region_sync_observations_total", region=FAR, outcome="created") == 2
    assert now.value("region_sync_observations_total", region=HERE, outcome="nothing_new") == 1
    assert now.value("region_sync_observations_total", region=FAR, outcome="removed") == 1
    assert now.value("region_sync_observations_total", region=FAR, outcome="redelivered") == 1
    assert now.value("region_sync_conflicts_total", region=FAR) == 1
    assert now.value("region_sync_observations_total", region="r3", outcome="violation") == 2
    assert now.value("region_sync_violations_total", region="r3") == 2
    assert now.total("region_sync_conflicts_total") == 1
    assert now.value("region_sync_dead_letters_total", region=HERE) == 1
    assert now.value("region_sync_dead_letters_total", region="") == 1
    assert now.total("region_sync_dead_letters_total") == 2
    assert now.value("region_sync_database_batch_rows_sum", batch="merge") == len(observations) + 1
    assert now.value("region_sync_retrying", part="hub") == 0


async def _merged(hub: Hub, offset: int, value: bytes) -> None:
    done = asyncio.Event()
    await hub.take(Taken((topics.OBSERVATIONS, 0), offset, b"k", value, {}, done.set))
    await asyncio.wait_for(done.wait(), 10)


def _letter(region: str) -> Taken:
    headers = {topics.HEADER_REGION: region.encode(), topics.HEADER_REASON: b"why"}
    return Taken((topics.DEAD_LETTERS, 0), hash(region) % 1000, b"k", b"?", headers, lambda: None)
