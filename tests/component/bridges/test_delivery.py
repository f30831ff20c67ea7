"""From RabbitMQ to Kafka: everything arrives, where Faust will look for it, and poison harms nothing."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka.partitioner import DefaultPartitioner

from bridges.bridge import Bridge, BridgeSettings
from bridges.relay import HEADER_ROOM
from bridges.sieve import NO_CHANGE, NO_ENTITY
from tests.component.bridges import recording
from tests.component.bridges.rig import LIMIT_S, PARTITIONS, Bus, Topics, bodies, entities, event

pytestmark = pytest.mark.services


@asynccontextmanager
async def running(settings: BridgeSettings) -> AsyncIterator[Bridge]:
    bridge = Bridge(settings)
    await bridge.start()
    try:
        yield bridge
    finally:
        await bridge.stop()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not reached():
            await asyncio.sleep(0.02)


async def test_the_recorded_bus_arrives_whole_and_in_order(
    settings: BridgeSettings, bus: Bus, kafka_topics: Topics
) -> None:
    sent = list(recording.messages())
    assert len(sent) == 3407
    bus.publish(sent)
    async with running(settings) as bridge:
        counters = bridge.counters
        await until(lambda: counters.received == 3391 and counters.unacked == 0 and counters.relayed == 3307)
    assert bus.ready() == 0
    assert counters.dropped == {NO_CHANGE: 74, NO_ENTITY: 10}
    assert counters.dead_letters == 0
    arrived = kafka_topics.hints()
    expected, found = defaultdict(list), defaultdict(list)
    for message in sent:
        body = json.loads(message.body)
        if message in CHANGES and body.get("entityuuid"):
            expected[body["entityuuid"].encode()].append(message.body)
    for record in arrived:
        found[record.key].append(record.value)
    assert found == expected, "each entity's events, as they were, in their order"
    assert {record.headers["region"] for record in arrived} == {settings.region.encode()}
    assert {record.headers["source"] for record in arrived} == {b"amqp"}
    assert all(record.headers["routing-key"].split(b".")[1] == b"ActionEvent" for record in arrived)


CHANGES = {
    message
    for message in recording.for_a_bridge()
    if json.loads(message.body)["status"] == "Completed"
    and json.loads(message.body)["event"]
    not in {
        "USER.LOGIN",
        "USER.LOGOUT",
        "API.KEY.ACCESS.UPDATE",
    }
}


async def test_a_key_lands_in_the_partition_where_faust_puts_it(
    settings: BridgeSettings, bus: Bus, kafka_topics: Topics
) -> None:
    """Else the hint and the desired state of one entity would meet different workers."""
    known = [*entities(300), "x", "my.dömain", "y" * 64]
    bus.publish(event(entity) for entity in known)
    async with running(settings) as bridge:
        await until(lambda: bridge.counters.relayed == len(known))
    partitioner = DefaultPartitioner()
    numbers = list(range(PARTITIONS))
    arrived = kafka_topics.hints()
    assert len(arrived) == len(known)
    assert {record.partition for record in arrived} == set(numbers)
    for record in arrived:
        assert record.partition == partitioner(record.key, numbers, numbers)


POISON: list[tuple[str | bytes, bytes, str]] = [
    (event("a")[0], b"\xff\xfe{}", "body is not UTF-8"),
    (event("a")[0], b'{"event": "USER.UPDATE", ', "body is not JSON"),
    (event("a")[0], b"", "body is not JSON"),
    (event("a")[0], b'["a", "list"]', "body is not a JSON object"),
    (event("a")[0], b'{"event": "USER.UPDATE", "entity": "User"}', "key 'status' is missing"),
    (event("a")[0], event("a")[1].replace(b'"User"', b'"Robot"'), "entity 'Robot' is not synced"),
    (event("a")[0], event("a")[1].replace(b"USER.UPDATE", b"USER.TELEPORT"), "contradicts the body"),
    (
        "m.ActionEvent.USER-TELEPORT.User.a",
        event("a")[1].replace(b"USER.UPDATE", b"USER.TELEPORT"),
        "is not known",
    ),
    ("m.ActionEvent.USER-UPDATE.Account.a", event("a")[1], "contradicts the body"),
    (b"m.ActionEvent.\xff\xfe.User.a", event("a")[1], "routing key is not UTF-8"),
    (event("a")[0], event("a")[1].replace(b"2026-11-23", b"2026-99-99"), "is not one"),
    (event("a")[0], b"z" * 1024**2, "body of 1048576 bytes is over the limit"),
]


async def test_poison_goes_to_the_dead_letters_in_order_and_all_else_arrives(
    settings: BridgeSettings, bus: Bus, kafka_topics: Topics
) -> None:
    good = [event(entity, number) for number, entity in enumerate(entities(600))]
    stream: list[tuple[str | bytes, bytes]] = list(good)
    for place, (routing_key, body, _) in enumerate(POISON):
        stream.insert(place * 50 + 25, (routing_key, body))
    bus.publish(stream)
    bus.channel.basic_publish("", bus.queue, good[0][1])  # straight into the queue: no ActionEvent's key
    async with running(settings) as bridge:
        counters = bridge.counters
        await until(lambda: counters.relayed == 600 and counters.dead_letters == len(POISON) + 1)
        await until(lambda: counters.unacked == 0)
    assert bus.ready() == 0
    assert sorted(bodies(kafka_topics.hints())) == sorted(body for _, body in good)
    letters = kafka_topics.dead_letters()
    assert len(letters) == len(POISON) + 1
    for letter, (routing_key, body, reason) in zip(letters, POISON, strict=False):
        assert reason in letter.headers["reason"].decode()
        assert letter.headers["routing-key"] == (
            routing_key if isinstance(routing_key, bytes) else routing_key.encode()
        )
        assert letter.value == body[: 1_000_000 - HEADER_ROOM]
        assert int(letter.headers["arrived-ms"]) > 1_600_000_000_000
    assert letters[-2].headers["original-bytes"] == b"1048576"
    assert "is not an ActionEvent's" in letters[-1].headers["reason"].decode()


async def test_events_of_one_entity_keep_their_order(
    settings: BridgeSettings, bus: Bus, kafka_topics: Topics
) -> None:
    chance = random.Random(7)
    known = entities(20)
    sent = [event(chance.choice(known), number) for number in range(3000)]
    bus.publish(sent)
    async with running(settings) as bridge:
        await until(lambda: bridge.counters.relayed == 3000)
    expected, found = defaultdict(list), defaultdict(list)
    for _, body in sent:
        expected[json.loads(body)["entityuuid"].encode()].append(body)
    for record in kafka_topics.hints():
        found[record.key].append(record.value)
    assert found == expected
