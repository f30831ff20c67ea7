"""A region's bus and its topics on real services, and bridges between them.

`Bus` publishes as CloudStack does and looks at the bridge's queue; `Topics` reads what arrived in Kafka;
`BridgeProcess` is a bridge that can be killed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import pika
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pika.adapters.blocking_connection import BlockingChannel

from bridges.bridge import BridgeSettings
from pipeline.core import topics

LIMIT_S = 60.0
PARTITIONS = 4
PERSISTENT = pika.BasicProperties(content_type="text/plain", delivery_mode=2, priority=0)


def until(reached: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait for a condition; fails by name when it does not come."""
    deadline = time.monotonic() + limit_s
    while not reached():
        assert time.monotonic() < deadline, f"waited {limit_s:.0f} s in vain for {what}"
        time.sleep(0.02)


def event(entity: str, number: int = 0) -> tuple[str, bytes]:
    """A USER.UPDATE; `number` makes its body unlike any other's."""
    body = {
        "eventDateTime": "2026-11-23 08:18:10 +0000",
        "entityuuid": entity,
        "description": f"Successfully completed Updating User. UserId: {number}",
        "event": "USER.UPDATE",
        "user": "1ce560d2-e714-11f1-b5ac-02fc00000001",
        "entity": "User",
        "status": "Completed",
    }
    word = entity.replace(".", "-")  # as CloudStack writes it
    return f"management-server.ActionEvent.USER-UPDATE.User.{word}", json.dumps(body).encode()


def entities(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


class Bus:
    """One region's exchange, as CloudStack uses it: persistent, not mandatory, without confirms."""

    def __init__(self, url: str, settings: BridgeSettings) -> None:
        self.url = url
        self.exchange = settings.bus().exchange
        self.queue = settings.bus().queue
        self._settings = settings.bus()
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel: BlockingChannel = self._connection.channel()

    def declare(self) -> None:
        """The exchange and, so that nothing vanishes before the first bridge comes, its queue."""
        self.channel.exchange_declare(self.exchange, "topic", durable=True)
        self.channel.queue_declare(self.queue, durable=True, arguments=self._settings.queue_arguments())
        for kind in ("Domain", "Account", "User"):
            self.channel.queue_bind(self.queue, self.exchange, f"*.ActionEvent.*.{kind}.*")

    def publish(self, messages: Iterable[tuple[str | bytes, bytes]]) -> None:
        for routing_key, body in messages:
            self.channel.basic_publish(self.exchange, routing_key, body, PERSISTENT)  # type: ignore[arg-type]
        self._connection.process_data_events(0)

    def ready(self) -> int:
        """Messages in the queue that nobody holds."""
        return int(self.channel.queue_declare(self.queue, passive=True).method.message_count)

    def consumers(self) -> int:
        return int(self.channel.queue_declare(self.queue, passive=True).method.consumer_count)

    def close(self) -> None:
        with suppress(pika.exceptions.AMQPError):
            self.channel.queue_delete(self.queue)
            self.channel.exchange_delete(self.exchange)
        with suppress(pika.exceptions.AMQPError):
            self._connection.close()


@dataclass(frozen=True)
class Arrived:
    """One record in Kafka."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]


class Topics:
    """A region's topics in Kafka, read from their beginning."""

    def __init__(self, bootstrap: str, region: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._bootstrap = bootstrap
        self._region = region
        self.events = topics.events(region)

    def create(self) -> None:
        wanted = [NewTopic(self.events, PARTITIONS, 1), NewTopic(topics.DEAD_LETTERS, PARTITIONS, 1)]
        for name, made in self._admin.create_topics(wanted).items():
            try:
                made.result()
            except KafkaException as error:
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS" or name != topics.DEAD_LETTERS:
                    raise
        until(lambda: self._led(self.events) and self._led(topics.DEAD_LETTERS), "leaders of all partitions")

    def _led(self, topic: str) -> bool:
        found = self._admin.list_topics(topic, timeout=LIMIT_S).topics[topic]
        led = len(found.partitions) > 0 and all(part.leader >= 0 for part in found.partitions.values())
        return led and self._answers(topic)

    def _answers(self, topic: str) -> bool:
        """A broker hears a moment after everybody else that it leads a new partition."""
        with self._reader() as reader:
            try:
                return all(map(reader.get_watermark_offsets, _parts(topic)))
            except KafkaException:
                return False

    def delete(self) -> None:
        for gone in self._admin.delete_topics([self.events]).values():
            gone.result()

    def hints(self) -> list[Arrived]:
        return self._read(self.events)

    def dead_letters(self) -> list[Arrived]:
        """This region's, which lie in one partition, in order."""
        return [letter for letter in self._read(topics.DEAD_LETTERS) if letter.key == self._region.encode()]

    def count(self) -> int:
        """How many hints have arrived."""
        with self._reader() as reader:
            return sum(high - low for low, high in map(reader.get_watermark_offsets, _parts(self.events)))

    def _reader(self) -> Consumer:
        return Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": uuid.uuid4().hex, "enable.auto.commit": False}
        )

    def _read(self, topic: str) -> list[Arrived]:
        found: list[Arrived] = []
        with self._reader() as reader:
            ends = {part.partition: reader.get_watermark_offsets(part) for part in _parts(topic)}
            left = sum(high - low for low, high in ends.values())
            reader.assign([TopicPartition(topic, number, low) for number, (low, _) in ends.items()])
            deadline = time.monotonic() + LIMIT_S
            while left > 0:
                assert time.monotonic() < deadline, f"{left} records of {topic} cannot be read"
                for message in reader.consume(5000, timeout=0.5):
                    assert message.error() is None, message.error()
                    left -= 1
                    headers = dict(message.headers() or [])
                    found.append(
                        Arrived(topic, message.partition(), message.key(), message.value(), headers)  # type: ignore[arg-type]
                    )
        return found


def _parts(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(PARTITIONS)]


class BridgeProcess:
    """A bridge that can be killed; its log is in `log`."""

    def __init__(self, settings: BridgeSettings, folder: Path) -> None:
        self.log = folder / f"bridge-{uuid.uuid4().hex[:8]}.log"
        argument = json.dumps(asdict(settings))
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.component.bridges.bridge_process", argument],
                stdout=output,
                stderr=output,
            )

    def told(self, words: str) -> bool:
        return words in self.log.read_text()

    def consuming(self) -> Self:
        until(lambda: self.told("consuming "), f"a bridge that consumes: {self.log.read_text()}")
        return self

    def exit_code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        """kill -9"""
        self._process.kill()
        self._process.wait(LIMIT_S)

    def terminate(self) -> int:
        """SIGTERM; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()


def bodies(arrived: Sequence[Arrived]) -> list[bytes]:
    return [record.value for record in arrived]
