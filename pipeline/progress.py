"""How far the consumers are: ends of topics, committed offsets, and the lag between them.

In: a broker's address. Out: offsets by partition, and what is left of whole topics. Called by the demo and by
the embedded mode, whose watermark may only move over events that were merged; `Lags` by whoever measures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka import admin as kafka

from pipeline.core.errors import TemporaryError

TIMEOUT_S: Final = 10.0
SOON_S: Final = 2.5
"""For who only wants to know how it stands: whoever asks waits for 3 s."""
OLDEST_S: Final = 1.0
"""How long a look at the oldest messages may take: what is not read by then is not told this time."""
READING: Final = {
    "group.id": "region-sync.progress",
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",  # what was deleted meanwhile is older still
    "fetch.message.max.bytes": "65536",
    "fetch.wait.max.ms": "50",  # an older fetch that found nothing is waited for
    "queued.max.messages.kbytes": "64",
    "log_level": "2",
}
Offsets = dict[int, int]
"""Partition → offset of the next message."""


class Progress:
    """Asks the broker; consumes nothing. Not for the event loop: every method waits for the network."""

    def __init__(self, brokers: str, options: Mapping[str, str]) -> None:
        self._brokers = {**options, "bootstrap.servers": brokers, "log_level": "2"}
        self._consumers: dict[str, Consumer] = {}

    def ends(self, topic: str) -> Offsets:
        """Where each partition ends now. Raises `TemporaryError`."""
        consumer = self._consumer("region-sync.progress")
        try:
            listed = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=TIMEOUT_S)[1]
                for number in listed.partitions
            }
        except KafkaException as error:
            raise TemporaryError(f"Kafka: {error.args[0].str()}") from error

    def committed(self, group: str, topic: str, partitions: Mapping[int, int]) -> Offsets:
        """How far the group has acknowledged; 0 where it has not begun. Raises `TemporaryError`."""
        wanted = [TopicPartition(topic, number) for number in partitions]
        try:
            found = self._consumer(group).committed(wanted, timeout=TIMEOUT_S)
        except KafkaException as error:
            raise TemporaryError(f"Kafka: {error.args[0].str()}") from error
        return {one.partition: max(one.offset, 0) for one in found}

    def lag(self, group: str, topic: str) -> int:
        """Messages that the group has not acknowledged."""
        ends = self.ends(topic)
        done = self.committed(group, topic, ends)
        return sum(max(0, end - done.get(number, 0)) for number, end in ends.items())

    def passed(self, group: str, topic: str, ends: Offsets) -> bool:
        """Whether the group has acknowledged everything before `ends`."""
        done = self.committed(group, topic, ends)
        return all(done.get(number, 0) >= end for number, end in ends.items())

    def close(self) -> None:
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()

    def _consumer(self, group: str) -> Consumer:
        if group not in self._consumers:
            self._consumers[group] = Consumer(
                {**self._brokers, "group.id": group, "enable.auto.commit": False}
            )
        return self._consumers[group]


@dataclass(frozen=True, slots=True)
class Lag:
    """Of one topic: messages that its consumers have acknowledged, and those that are left; when the oldest
    of these was written, in ms, as far as it could be read at once."""

    committed: int
    left: int
    since: int | None = None


class Lags:
    """Of many topics at once, by few requests and one connection. Every method waits for the network."""

    def __init__(self, brokers: str, options: Mapping[str, str], partitions: int) -> None:
        self._admin = kafka.AdminClient({**options, "bootstrap.servers": brokers, "log_level": "2"})
        self._partitions = range(partitions)
        self._consumer = Consumer({**READING, **options, "bootstrap.servers": brokers})

    def read(self, consumed: Mapping[str, Sequence[str]]) -> dict[str, Lag]:
        """Topic → its lag, for each group's topics. Raises `TemporaryError`."""
        names = [name for group in consumed.values() for name in group]
        latest: Any = kafka.OffsetSpec.latest()  # type: ignore[attr-defined,no-untyped-call]
        ends = self._admin.list_offsets(dict.fromkeys(self._places(names), latest), request_timeout=SOON_S)
        asked = {group: self._committed(group, names) for group, names in consumed.items()}
        done = dict(pair for future in asked.values() for pair in _committed(_result(future)))
        found = dict.fromkeys(names, Lag(0, 0))
        behind = []
        for place, end in ends.items():
            committed = done.get((place.topic, place.partition), 0)
            so_far = found[place.topic]
            left = max(0, _result(end).offset - committed)
            found[place.topic] = Lag(so_far.committed + committed, so_far.left + left)
            if left:
                behind.append(TopicPartition(place.topic, place.partition, committed))
        for topic, since in self._oldest(behind).items():
            found[topic] = replace(found[topic], since=since)
        return found

    def answers(self, topic: str) -> None:
        """Raises `TemporaryError` while Kafka does not answer."""
        try:
            self._admin.list_topics(topic, timeout=SOON_S)
        except KafkaException as error:
            raise TemporaryError(f"Kafka: {error.args[0].str()}") from error

    def _oldest(self, behind: list[TopicPartition]) -> dict[str, int]:
        """Topic → when the first of its messages in these places was written, in ms."""
        found: dict[str, int] = {}
        waited_for = {(place.topic, place.partition) for place in behind}
        limit = time.monotonic() + OLDEST_S
        self._consumer.assign(behind)
        try:
            while waited_for and (left := limit - time.monotonic()) > 0:
                message = self._consumer.poll(left)
                if message is None or message.error() is not None:
                    continue
                topic, partition = str(message.topic()), message.partition() or 0
                if (topic, partition) in waited_for:
                    waited_for.discard((topic, partition))
                    written = message.timestamp()[1]
                    found[topic] = min(written, found.get(topic, written))
        finally:
            self._consumer.unassign()
        return found

    def _places(self, names: Sequence[str]) -> list[TopicPartition]:
        return [TopicPartition(name, number) for name in names for number in self._partitions]

    def _committed(self, group: str, names: Sequence[str]) -> Future[Any]:
        wanted = [ConsumerGroupTopicPartitions(group, self._places(names))]
        asked: Future[Any] = self._admin.list_consumer_group_offsets(wanted, request_timeout=SOON_S)[group]
        return asked


def _committed(found: ConsumerGroupTopicPartitions) -> Iterator[tuple[tuple[str, int], int]]:
    for one in found.topic_partitions or ():
        yield (one.topic, one.partition), max(one.offset, 0)


def _result(future: Future[Any]) -> Any:
    try:
        return future.result(TIMEOUT_S)
    except KafkaException as error:
        raise TemporaryError(f"Kafka: {error.args[0].str()}") from error
    except TimeoutError as error:
        raise TemporaryError("Kafka does not answer") from error
