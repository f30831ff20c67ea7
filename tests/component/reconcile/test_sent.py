"""What a region was sent since an offset of its topic, on a real Kafka: what was revoked meanwhile is named
too, though its own topic counts otherwise."""

from __future__ import annotations

import time
from contextlib import closing
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from pipeline import wire
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.reach import Kafka
from pipeline.reconcile.bus import TopicReader
from pipeline.reconcile.sent import sent_since
from tests.unit.outbox.builders import desired, record


@pytest.mark.services
def test_what_was_revoked_since_an_offset_is_named(kafka_bootstrap: str) -> None:
    name = f"r-{uuid4().hex[:6]}"
    ordinary, revoke = topics.desired(name), topics.revoke(name)
    Kafka(kafka_bootstrap, {}).ensure_topics([ordinary, revoke], 1)
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "log_level": "2"})
    began = int(time.time() * 1000)
    for number, (topic, uuid) in enumerate(
        [(ordinary, "a"), (revoke, "b"), (ordinary, "c"), (revoke, "d"), (ordinary, "e")]
    ):
        value = wire.encode(desired(record(Kind.USER, uuid), name))
        producer.produce(topic, value, b"key", timestamp=began + number)
    assert producer.flush(60) == 0

    def named(offsets: int) -> set[str]:
        with (
            closing(TopicReader(kafka_bootstrap, {}, ordinary)) as sent,
            closing(TopicReader(kafka_bootstrap, {}, revoke)) as revoked,
        ):
            return sent_since(sent, revoked, offsets)

    assert named(0) == {"a", "b", "c", "d", "e"}
    assert named(1) == {"c", "d", "e"}
    assert named(2) == {"e"}
    assert named(3) == set()
