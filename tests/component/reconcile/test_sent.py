"""From an offset of a real topic: what Kafka still has is read, what it has dropped is said."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline import wire
from pipeline.core.entities import Kind
from pipeline.core.errors import PermanentError
from pipeline.reach import Kafka
from pipeline.reconcile.bus import TopicReader
from pipeline.reconcile.sent import sent_since
from tests.unit.outbox.builders import desired, record

LIMIT_S = 20.0
QUIET = {"log_level": "2"}

pytestmark = pytest.mark.services


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    """Two partitions with three messages each, u0 to u5 in turn."""
    name = f"sent-{uuid.uuid4().hex}"
    Kafka(kafka_bootstrap, {}).ensure_topics([name], 2)
    producer = Producer({**QUIET, "bootstrap.servers": kafka_bootstrap})
    for number in range(6):
        value = wire.encode(desired(record(Kind.USER, f"u{number}"), "r2"))
        producer.produce(name, value, b"key", partition=number % 2)
    assert producer.flush(LIMIT_S) == 0
    return name


@pytest.fixture
def reader(kafka_bootstrap: str, topic: str) -> Iterator[TopicReader]:
    opened = TopicReader(kafka_bootstrap, {}, topic)
    yield opened
    opened.close()


def test_what_kafka_has_is_read(reader: TopicReader) -> None:
    assert sent_since(reader, {0: 1, 1: 2}) == {"u2", "u4", "u5"}


def test_what_kafka_has_dropped_is_said(reader: TopicReader, kafka_bootstrap: str, topic: str) -> None:
    admin = AdminClient({**QUIET, "bootstrap.servers": kafka_bootstrap})
    for future in admin.delete_records([TopicPartition(topic, 1, 2)]).values():
        future.result(LIMIT_S)
    with pytest.raises(PermanentError, match=f"partition 1 of {topic} begins at 2: Kafka has dropped"):
        sent_since(reader, 1)
    assert sent_since(reader, {0: 0}) == {"u0", "u2", "u4"}
    assert sent_since(reader, {1: 2}) == {"u5"}
