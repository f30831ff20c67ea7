"""How far consumers are behind, on a real Kafka: in messages, and since when; and asking harms nobody."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.core.errors import TemporaryError
from pipeline.progress import Lag, Lags
from tests.services.kafka import Kafka

PARTITIONS = 3


def write(brokers: str, topic: str, written: dict[int, list[int]]) -> None:
    """Partition → times of its messages, in ms."""
    producer = Producer({"bootstrap.servers": brokers})
    for partition, times in written.items():
        for at in times:
            producer.produce(topic, b"x" * 1000, partition=partition, timestamp=at)
    assert producer.flush(30) == 0


def acknowledge(brokers: str, group: str, topic: str, offsets: dict[int, int]) -> None:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False})
    try:
        consumer.commit(
            offsets=[TopicPartition(topic, number, offset) for number, offset in offsets.items()],
            asynchronous=False,
        )
    finally:
        consumer.close()


def eventually(look: Callable[[], object], wanted: object, limit_s: float = 60) -> None:
    """A new topic's partitions have no leader at first, and what can't be read at once is not told."""
    limit, found = time.monotonic() + limit_s, None
    while found != wanted:
        assert time.monotonic() < limit, found
        try:
            found = look()
        except TemporaryError as error:
            found = error


def test_the_oldest_message_that_is_left(kafka_bootstrap: str) -> None:
    kafka = kafka_bootstrap
    topic, other, group = (f"{name}-{uuid.uuid4()}" for name in ("busy", "idle", "group"))
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (topic, other)]).values():
        future.result(30)
    now = time.time_ns() // 1_000_000
    write(kafka, topic, {0: [now - 9, now - 5, now - 4], 1: [now - 7, now - 6], 2: [now - 8]})
    acknowledge(kafka, group, topic, {0: 1, 2: 1})
    lags = Lags(kafka, {}, PARTITIONS)
    for _ in range(2):  # asked again, it says the same: nothing was consumed
        eventually(lambda: lags.read({group: [topic, other]}), {topic: Lag(2, 4, now - 7), other: Lag(0, 0)})
    acknowledge(kafka, group, topic, {0: 3, 1: 2})
    assert lags.read({group: [topic, other]}) == {topic: Lag(6, 0), other: Lag(0, 0)}


ASKING = """
import sys, time
from pipeline.core.errors import TemporaryError
from pipeline.progress import Lags

lags, last = Lags(sys.argv[1], {}, 3), None
while True:
    try:
        lags.read({"one": ["a", "b"], "two": ["c"]})
        now = "told"
    except TemporaryError:
        now = "away"
        time.sleep(0.05)
    if now != last:
        print(now, flush=True)
        last = now
"""


def test_a_broker_that_dies_while_it_is_asked_takes_nobody_along(
    tmp_path: Path, services_cache: Path
) -> None:
    """librdkafka's admin client ended the process, and with it the hub."""
    with Kafka(tmp_path / "kafka", services_cache) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.address})
        for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in "abc"]).values():
            future.result(30)
        asking = subprocess.Popen(
            [sys.executable, "-c", ASKING, kafka.address], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        try:
            assert asking.stdout is not None
            seen = (line.strip() for line in asking.stdout)  # ends with the process
            for _ in range(3):
                assert "told" in seen, "it has ended"
                kafka.kill()
                assert "away" in seen, "it has ended"
                kafka.start()
            assert "told" in seen, "it has ended"
            assert asking.poll() is None
        finally:
            asking.kill()
            asking.wait()
