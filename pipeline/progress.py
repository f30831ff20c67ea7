"""How far the consumers are: ends of topics, committed offsets, and the lag between them.

In: a broker's address. Out: offsets by partition. Called by the demo and by the embedded mode, whose
watermark may only move over events that were merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.core.errors import TemporaryError

TIMEOUT_S: Final = 10.0
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
