"""How fast the relay is beside what pika alone consumes: `python -m tests.benchmarks.relay`, `make bench`.

In: the addresses of RabbitMQ and Kafka from the environment. Out: messages a second of both, their ratio, and
the CPU time of the relay per message; medians of three rounds, taken in turns. Both read 150,000 persistent
messages of 300 bytes from a quorum queue that is full before they start, with the same prefetch and the same
way to acknowledge; the relay also judges each message, and has it in Kafka before it acknowledges.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
import uuid
from dataclasses import dataclass
from statistics import median

import pika
from confluent_kafka.admin import AdminClient, NewTopic
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.select_connection import SelectConnection

from bridges.bridge import GC_THRESHOLD, Bridge, BridgeSettings
from bridges.topology import BINDINGS
from pipeline.core import topics

ROUNDS = 3
MESSAGES = 150_000
BODY_BYTES = 300
PREFETCH = 5000
ACK_EVERY_S = 0.02
LIMIT_S = 120.0
GOAL = 0.5


@dataclass(frozen=True)
class Rates:
    """Of one consumer: messages a second, and microseconds of its process's CPU for one message."""

    per_s: float
    cpu_us: float

    def __str__(self) -> str:
        return f"{self.per_s:10,.0f} /s {self.cpu_us:8.0f} us of CPU each"


def main() -> None:
    alone, relayed = measure(os.environ["REGION_SYNC_TEST_AMQP_URL"], os.environ["REGION_SYNC_TEST_KAFKA"])
    print(
        f"relay, {MESSAGES:,} persistent messages of {BODY_BYTES} bytes, quorum queue, prefetch {PREFETCH:,}"
    )
    print(f"  pika alone, consume only   {alone}")
    print(f"  relay, RabbitMQ to Kafka   {relayed}")
    print(f"  ratio of the rates         {relayed.per_s / alone.per_s:10.2f}      goal: {GOAL} or more")


def measure(amqp_url: str, kafka: str) -> tuple[Rates, Rates]:
    """pika alone and the relay, on a region of their own."""
    region = f"bench-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka})
    for made in admin.create_topics([NewTopic(topics.events(region), 12, 1)]).values():
        made.result()
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    settings = BridgeSettings(
        region=region, kafka=kafka, amqp_url=amqp_url, exchange=region, prefetch=PREFETCH
    )
    try:
        channel.exchange_declare(region, "topic", durable=True)
        return _rounds(channel, settings)
    finally:
        channel.queue_delete(settings.bus().queue)
        channel.exchange_delete(region)
        connection.close()
        for gone in admin.delete_topics([topics.events(region)]).values():
            gone.result()


def _rounds(channel: BlockingChannel, settings: BridgeSettings) -> tuple[Rates, Rates]:
    alone, relayed = [], []
    usual = gc.get_threshold()
    for _ in range(ROUNDS):
        fill(channel, settings)
        alone.append(pika_alone(settings.amqp_url, settings.bus().queue))
        fill(channel, settings)
        gc.set_threshold(GC_THRESHOLD)  # as a bridge's own process sets it; pika alone runs as Python comes
        relayed.append(asyncio.run(relay(settings)))
        gc.set_threshold(*usual)
    return _medians(alone), _medians(relayed)


def _medians(rounds: list[tuple[float, float]]) -> Rates:
    """Of rounds, each as seconds and CPU seconds."""
    return Rates(MESSAGES / median(s for s, _ in rounds), median(cpu for _, cpu in rounds) / MESSAGES * 1e6)


def fill(channel: BlockingChannel, settings: BridgeSettings) -> None:
    """Publish all, and wait until the queue holds them."""
    bus = settings.bus()
    channel.queue_declare(bus.queue, durable=True, arguments=bus.queue_arguments())
    for binding in BINDINGS:
        channel.queue_bind(bus.queue, bus.exchange, binding)
    persistent = pika.BasicProperties(content_type="text/plain", delivery_mode=2)
    for _ in range(MESSAGES):
        entity = str(uuid.uuid4())
        key = f"management-server.ActionEvent.USER-UPDATE.User.{entity}"
        channel.basic_publish(bus.exchange, key, event_body(entity), persistent)
    deadline = time.monotonic() + LIMIT_S
    while channel.queue_declare(bus.queue, passive=True).method.message_count < MESSAGES:
        if time.monotonic() > deadline:
            raise TimeoutError("the queue does not fill")
        channel.connection.sleep(0.1)


def event_body(entity: str) -> bytes:
    """A USER.UPDATE of exactly BODY_BYTES bytes."""
    fields = {
        "eventDateTime": "2026-11-23 08:18:10 +0000",
        "entityuuid": entity,
        "description": "",
        "event": "USER.UPDATE",
        "user": "1ce560d2-e714-11f1-b5ac-02fc00000001",
        "entity": "User",
        "status": "Completed",
    }
    fields["description"] = "x" * (BODY_BYTES - len(json.dumps(fields)))
    return json.dumps(fields).encode()


def pika_alone(amqp_url: str, queue: str) -> tuple[float, float]:
    """Seconds from the first message to the last acknowledgement, and CPU seconds; does nothing with them."""
    consumer = _Consumer(amqp_url, queue)
    consumer.connection.ioloop.start()
    return consumer.ended - consumer.began, consumer.cpu_ended - consumer.cpu_began


class _Consumer:
    def __init__(self, amqp_url: str, queue: str) -> None:
        self.began = self.ended = self.cpu_began = self.cpu_ended = 0.0
        self.seen = self.told = 0
        self.queue = queue
        self.connection = SelectConnection(pika.URLParameters(amqp_url), on_open_callback=self._opened)

    def _opened(self, connection: SelectConnection) -> None:
        connection.channel(on_open_callback=self._consume)

    def _consume(self, channel: pika.channel.Channel) -> None:
        self.channel = channel
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(self.queue, self._receive)
        self._tick()

    def _receive(
        self, _channel: object, method: pika.spec.Basic.Deliver, _properties: object, _body: bytes
    ) -> None:
        if not self.seen:
            self.began, self.cpu_began = time.perf_counter(), time.process_time()
        self.seen = method.delivery_tag

    def _tick(self) -> None:
        if self.seen > self.told:
            self.told = self.seen
            self.channel.basic_ack(self.told, multiple=True)
        if self.told >= MESSAGES:
            self.ended, self.cpu_ended = time.perf_counter(), time.process_time()
            self.connection.add_on_close_callback(lambda *_: self.connection.ioloop.stop())
            self.connection.close()
            return
        self.connection.ioloop.call_later(ACK_EVERY_S, self._tick)


async def relay(settings: BridgeSettings) -> tuple[float, float]:
    """Seconds from the first message to the last acknowledgement, and CPU seconds meanwhile."""
    bridge = Bridge(settings)
    await bridge.start()
    counters = bridge.counters
    async with asyncio.timeout(LIMIT_S):
        while not counters.received:
            await asyncio.sleep(0.001)
        began, cpu = time.perf_counter(), time.process_time()
        while counters.relayed < MESSAGES or counters.unacked:
            await asyncio.sleep(0.1)  # each look takes the interpreter away from the bridge's thread
        ended, cpu_end = time.perf_counter(), time.process_time()
    await bridge.stop()
    return ended - began, cpu_end - cpu


if __name__ == "__main__":
    main()
