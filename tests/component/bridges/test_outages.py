"""Services that are away, come back, or change under a bridge: it goes on, and nothing is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pika
import pytest

from bridges.bridge import Bridge, BridgeSettings
from bridges.kafka import KafkaSink
from bridges.rabbitmq import RabbitSource
from bridges.relay import Counters, Relay
from bridges.topology import BusSettings
from tests.component.bridges.rig import Bus, Topics, bodies, entities, event
from tests.component.bridges.test_delivery import running, until
from tests.services.kafka import Kafka
from tests.services.rabbitmq import RabbitMQ

pytestmark = pytest.mark.services


def some(count: int) -> list[tuple[str, bytes]]:
    return [event(entity, number) for number, entity in enumerate(entities(count))]


@pytest.fixture
def own_rabbitmq(tmp_path: Path) -> Iterator[RabbitMQ]:
    """One to be stopped, with ports chosen."""
    with RabbitMQ(tmp_path / "rabbitmq") as server:
        yield server


@pytest.fixture
def own_kafka(tmp_path: Path, services_cache: Path) -> Iterator[Kafka]:
    with Kafka(tmp_path / "kafka", services_cache) as server:
        yield server


async def test_a_broker_that_restarts_is_found_again(
    settings: BridgeSettings, kafka_topics: Topics, own_rabbitmq: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="bridges")
    settings = replace(settings, amqp_url=own_rabbitmq.address)
    first, second = some(300), some(300)
    bus = Bus(own_rabbitmq.address, settings)
    bus.declare()
    bus.publish(first)
    async with running(settings) as bridge:
        await until(lambda: bridge.counters.relayed == 300)
        await asyncio.to_thread(own_rabbitmq.stop)  # kill -9 can end a quorum queue that is seconds old
        await until(lambda: not bridge.counters.connected)
        await asyncio.to_thread(own_rabbitmq.start)
        again = Bus(own_rabbitmq.address, settings)
        again.publish(second)
        await until(lambda: {body for _, body in second} <= set(bodies(kafka_topics.hints())))
        assert bridge.counters.reconnects == 1
    assert {body for _, body in first} <= set(bodies(kafka_topics.hints()))
    told = [entry.getMessage() for entry in caplog.records if entry.name == "bridges.rabbitmq"]
    assert sum("trying for ever" in words for words in told) == 1, told
    assert sum("consuming" in words for words in told) == 2, told
    again.close()


async def test_a_bridge_may_start_before_its_broker(
    settings: BridgeSettings, kafka_topics: Topics, own_rabbitmq: RabbitMQ
) -> None:
    settings = replace(settings, amqp_url=own_rabbitmq.address)
    await asyncio.to_thread(own_rabbitmq.stop)
    async with running(settings) as bridge:
        await asyncio.to_thread(own_rabbitmq.start)
        await until(lambda: bridge.counters.connected)
        bus = Bus(own_rabbitmq.address, settings)
        bus.publish(some(10))  # the bridge declared the exchange, since nobody had
        await until(lambda: bridge.counters.relayed == 10)
        bus.close()


async def test_while_kafka_is_away_messages_wait_unacknowledged(
    settings: BridgeSettings, bus: Bus, own_kafka: Kafka
) -> None:
    """More than the prefetch: the rest must stay on the bus, whose queue is bounded, not in our memory."""
    settings = replace(
        settings, kafka=own_kafka.address, prefetch=200, kafka_options={"message.timeout.ms": "1000"}
    )
    own_topics = Topics(own_kafka.address, settings.region)
    await asyncio.to_thread(own_topics.create)
    await asyncio.to_thread(own_kafka.stop)
    sent = some(1000)
    bus.publish(sent)
    async with running(settings) as bridge:
        await until(lambda: bridge.counters.unacked == 200)
        await until(lambda: bus.ready() == 800)
        assert bridge.counters.relayed == 0
        await asyncio.to_thread(own_kafka.start)
        await until(lambda: bridge.counters.relayed >= 1000 and bridge.counters.unacked == 0)
    assert bus.ready() == 0
    assert {body for _, body in sent} == set(bodies(own_topics.hints()))


async def test_a_stop_while_kafka_is_away_gives_all_back_to_the_bus(
    settings: BridgeSettings, bus: Bus
) -> None:
    settings = replace(settings, kafka="127.0.0.1:9", drain_limit_s=0.3)
    bus.publish(some(50))
    async with running(settings) as bridge:
        await until(lambda: bridge.counters.unacked == 50)
    await until(lambda: bus.ready() == 50)


async def test_sessions_that_end_while_kafka_is_away_pile_nothing_up(
    settings: BridgeSettings, bus: Bus
) -> None:
    """The broker delivers again in each session; what an earlier one left with the producer goes first."""
    bus.publish(some(50))
    bus_settings = replace(settings.bus(), drain_limit_s=0.2)
    async with source_running(bus_settings, settings.region, "127.0.0.1:9") as (counters, sink):
        await until(lambda: counters.unacked == 50)
        bus.channel.queue_delete(bus.queue)
        await until(lambda: not counters.connected)
        bus.declare()
        bus.publish(some(50))
        await until(lambda: bus.ready() == 50)
        assert sink.waiting == 50


@asynccontextmanager
async def source_running(
    bus_settings: BusSettings, region: str, kafka: str
) -> AsyncIterator[tuple[Counters, KafkaSink]]:
    counters = Counters()
    sink = KafkaSink(kafka, {}, 1000)
    source = RabbitSource(bus_settings, Relay(region, "amqp", sink, counters, lambda: 1), sink, counters)
    task = asyncio.create_task(asyncio.to_thread(source.run))
    try:
        yield counters, sink
    finally:
        source.stop()
        await task
        sink.close()


async def test_a_deleted_queue_is_made_again(
    settings: BridgeSettings, bus: Bus, kafka_topics: Topics
) -> None:
    async with running(settings) as bridge:
        await until(lambda: bridge.counters.connected)
        bus.channel.queue_delete(bus.queue)
        await until(lambda: bridge.counters.reconnects == 1 and bridge.counters.connected)
        bus.publish(some(20))
        await until(lambda: bridge.counters.relayed == 20)
    assert kafka_topics.count() == 20


async def test_bindings_that_vanished_with_the_exchange_are_made_again(
    settings: BridgeSettings, bus: Bus, kafka_topics: Topics
) -> None:
    """The broker tells nobody: without the recheck the bridge would be connected and deaf for ever."""
    bus_settings = replace(settings.bus(), recheck_every_s=0.2)
    async with source_running(bus_settings, settings.region, settings.kafka) as (counters, _):
        await until(lambda: counters.connected)
        bus.channel.exchange_delete(bus.exchange)

        def hears() -> bool:
            bus.channel.exchange_declare(bus.exchange, "topic", durable=True)
            bus.publish(some(1))
            return counters.relayed > 0

        await until(hears)
    assert kafka_topics.count() > 0


async def test_a_queue_that_exists_with_other_settings_is_used_as_it_is(
    settings: BridgeSettings, bus: Bus, kafka_topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="bridges")
    bus.publish(some(5))
    async with running(replace(settings, queue_max_bytes=10**8)) as bridge:
        await until(lambda: bridge.counters.relayed == 5)
    assert "exists with other settings, used as it is" in caplog.text
    assert kafka_topics.count() == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace("guest:guest@", "guest:s3cr3t-word@"), "refuses the user name or password"),
        (lambda url: url.replace("%2F", "nowhere"), "refuses this user the virtual host|NOT_ALLOWED"),
    ],
    ids=["password", "virtual host"],
)
async def test_a_refused_log_in_is_told_once_in_clear_words_without_the_password(
    settings: BridgeSettings,
    change: Callable[[str], str],
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    refused = replace(settings, amqp_url=change(settings.amqp_url))
    source = None
    async with running(refused) as bridge:
        source = bridge._source
        assert isinstance(source, RabbitSource)
        await until(lambda: source._failures >= 3)
    errors = [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert len(errors) == 1, errors
    assert any(word in errors[0] for word in words.split("|"))
    assert "s3cr3t-word" not in caplog.text


async def test_a_url_that_is_none_is_refused_without_being_quoted(settings: BridgeSettings) -> None:
    bridge = Bridge(replace(settings, amqp_url="amqp://user:s3cr3t-word@host:port/x"))
    with pytest.raises(ValueError, match="the bus's URL cannot be read") as refusal:
        await bridge.start()
    assert "s3cr3t" not in str(refusal.value)


def test_the_queue_is_what_the_design_asks_for(settings: BridgeSettings, bus: Bus) -> None:
    """A second declaration with the same arguments is only accepted when they are in force."""
    arguments = settings.bus().queue_arguments()
    assert arguments["x-queue-type"] == "quorum"
    assert arguments["x-single-active-consumer"] is True
    bus.channel.queue_declare(bus.queue, durable=True, arguments=arguments)
    connection = pika.BlockingConnection(pika.URLParameters(bus.url))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="PRECONDITION_FAILED"):
        connection.channel().queue_declare(
            bus.queue, durable=True, arguments={**arguments, "x-queue-type": "classic"}
        )
    connection.close()
