"""A region without a bus: a simulated region's event log, by the real client, into real Kafka."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from bridges.bridge import Bridge, BridgeSettings
from bridges.eventlog import EventReader
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.eventlog import read_events
from pipeline.cloudstack.session import Credentials
from pipeline.core.events import parse_event
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.component.bridges.rig import Topics
from tests.component.bridges.test_delivery import until

pytestmark = pytest.mark.services


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Mark:
    value: int | None = None

    def load(self) -> int | None:
        return self.value

    def save(self, ms: int) -> None:
        self.value = ms


@asynccontextmanager
async def client(region: SimulatedRegion) -> AsyncIterator[CloudStack]:
    keys = Credentials(apikey=region.admin.apikey, secret=region.admin.secretkey)
    made = CloudStack(ClientSettings(region.endpoint, keys, timeout_s=5.0), clock=now_ms)
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def following(settings: BridgeSettings, region: SimulatedRegion, mark: Mark) -> AsyncIterator[Bridge]:
    @asynccontextmanager
    async def open_log() -> AsyncIterator[EventReader]:
        async with client(region) as reader:
            yield lambda since: read_events(reader, since)

    chosen = replace(settings, source="eventlog", poll_interval_s=0.1)
    bridge = Bridge(chosen, open_log, mark)
    await bridge.start()
    try:
        yield bridge
    finally:
        await bridge.stop()


async def make_domains(api: CloudStack, names: list[str]) -> set[bytes]:
    answers = [await api.call("createDomain", {"name": name}) for name in names]
    return {str(answer["domain"]["id"]).encode() for answer in answers}


async def test_changes_arrive_over_a_restart_and_an_outage_of_the_region(
    settings: BridgeSettings, kafka_topics: Topics
) -> None:
    mark = Mark()
    async with simulated_regions(1) as [region], client(region) as api:
        async with following(settings, region, mark) as bridge:
            made = await make_domains(api, [f"first-{number}" for number in range(30)])
            await until(lambda: made <= {record.key for record in kafka_topics.hints()})
            assert bridge.counters.connected
        assert mark.value is not None
        made |= await make_domains(api, ["while no bridge runs"])
        async with following(settings, region, mark) as bridge:
            await until(lambda: made <= {record.key for record in kafka_topics.hints()})
            await region.stop()
            await until(lambda: not bridge.counters.connected)
            await region.start()
            made |= await make_domains(api, ["after the outage"])
            await until(lambda: made <= {record.key for record in kafka_topics.hints()})
            assert bridge.counters.reconnects == 1
            assert bridge.counters.dead_letters == 0
    arrived = kafka_topics.hints()
    event = parse_event(next(record.value for record in arrived if record.key in made))
    assert (event.type, event.actor_name, event.completed) == ("DOMAIN.CREATE", "admin", True)
    assert {record.headers["source"] for record in arrived} == {b"eventlog"}
