"""A region's topic on a real Kafka, read beside its worker: from a time on, to its end, again and again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from pipeline.agents.publish import Message, Publisher
from pipeline.core.errors import TemporaryError
from pipeline.reach import Kafka
from pipeline.reconcile import bus
from pipeline.reconcile.bus import TopicReader
from pipeline.sandbox.launch import now_ms

PARTITIONS = 4

pytestmark = pytest.mark.services


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    Kafka(kafka_bootstrap, {}).ensure_topics([name], PARTITIONS)
    return name


@pytest.fixture
def publisher(kafka_bootstrap: str) -> Iterator[Publisher]:
    made = Publisher(kafka_bootstrap, {})
    yield made
    made.close()


@pytest.fixture
def reader(kafka_bootstrap: str, topic: str) -> Iterator[TopicReader]:
    made = TopicReader(kafka_bootstrap, {}, topic)
    yield made
    made.close()


async def publish(publisher: Publisher, topic: str, *names: str) -> None:
    await publisher.publish([Message(topic, one.encode(), one.encode(), {"source": "amqp"}) for one in names])


def rest(reader: TopicReader) -> set[str]:
    reader.mark_end()
    found: list[str] = []
    while batch := reader.batch():
        assert all(one.headers == {"source": b"amqp"} for one in batch)
        found += [one.value.decode() for one in batch]
    assert len(found) == len(set(found))
    return set(found)


async def test_from_a_time_on_to_the_end_and_on(
    publisher: Publisher, topic: str, reader: TopicReader, kafka_bootstrap: str
) -> None:
    early = {f"early-{number}" for number in range(20)}
    await publish(publisher, topic, *early)
    moment = now_ms() + 1
    while now_ms() <= moment:
        pass
    late = {f"late-{number}" for number in range(20)}
    await publish(publisher, topic, *late)
    reader.start(moment)
    assert rest(reader) == late
    assert rest(reader) == set()
    await publish(publisher, topic, "more")
    assert rest(reader) == {"more"}
    whole = TopicReader(kafka_bootstrap, {}, topic)
    whole.start(None)
    assert rest(whole) == {*early, *late, "more"}
    whole.close()


async def test_after_the_newest_message_there_is_nothing_yet(
    publisher: Publisher, topic: str, reader: TopicReader
) -> None:
    await publish(publisher, topic, "old")
    reader.start(now_ms() + 1000)
    assert rest(reader) == set()
    await publish(publisher, topic, "new")
    assert rest(reader) == {"new"}


def test_a_kafka_that_is_away_is_a_temporary_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "TIMEOUT_S", 0.2)
    reader = TopicReader("127.0.0.1:1", {}, "t")
    with pytest.raises(TemporaryError):
        reader.start(None)
    reader.close()
