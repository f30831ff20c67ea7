"""How far the consumers are: ends of topics, committed offsets, and the lag between them.

In: a broker's address. Out: offsets by partition, and what is left of whole topics. Called by the demo and by
the embedded mode, whose watermark may only move over events that were merged; `Lags` by whoever measures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final

from confluent_kafka import OFFSET_END, OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from pipeline.core.errors import TemporaryError
from pipeline.core.stall import Place

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
Ask = Callable[..., list[TopicPartition]]
Offsets = dict[int, int]
"""Partition → offset of the next message."""


class Progress:
    """Asks the broker; consumes nothing. Not for the event loop: every method waits for the network. Raises
    `TemporaryError`.

    Who waits for a method may be cancelled, and its thread goes on: `close` lets that end first, since
    librdkafka does not bear to be closed under a call.
    """

    def __init__(self, brokers: str, options: Mapping[str, str]) -> None:
        self._brokers = {**options, "bootstrap.servers": brokers, "log_level": "2"}
        self._consumers: dict[str, Consumer] = {}
        self._calling = Lock()
        self._closed = False

    def ends(self, topic: str) -> Offsets:
        """Where each partition ends now."""
        with self._call("region-sync.progress") as consumer:
            listed = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=TIMEOUT_S)[1]
                for number in listed.partitions
            }

    def committed(self, group: str, topic: str, partitions: Mapping[int, int]) -> Offsets:
        """How far the group has acknowledged; 0 where it has not begun."""
        wanted = [TopicPartition(topic, number) for number in partitions]
        with self._call(group) as consumer:
            found = consumer.committed(wanted, timeout=TIMEOUT_S)
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
        """Waits for the call under way."""
        with self._calling:
            self._closed = True
            for consumer in self._consumers.values():
                consumer.close()
            self._consumers.clear()

    @contextmanager
    def _call(self, group: str) -> Iterator[Consumer]:
        with self._calling:
            if self._closed:
                raise TemporaryError("Kafka: nobody asks any more")
            if group not in self._consumers:
                own = {"group.id": group, "enable.auto.commit": False}
                self._consumers[group] = Consumer({**self._brokers, **own})
            try:
                yield self._consumers[group]
            except KafkaException as error:
                raise TemporaryError(f"Kafka: {error.args[0].str()}") from error


@dataclass(frozen=True, slots=True)
class Lag:
    """Of one topic: messages that its consumers have acknowledged, and those that are left; when the oldest
    of these was written, in ms, as far as it could be read at once."""

    committed: int
    left: int
    since: int | None = None


class Lags:
    """Of many topics at once, by few requests. Every method waits for the network. A consumer a group tells
    how far that is: librdkafka's admin client, which could tell of all, ends the process when it is asked
    just as a broker goes away (2.16, `rd_kafka_enq_once_del_source_return`)."""

    def __init__(self, brokers: str, options: Mapping[str, str], partitions: int) -> None:
        self._reading = {**READING, **options, "bootstrap.servers": brokers}
        self._consumer = Consumer(self._reading)
        self._groups: dict[str, Consumer] = {}
        self._partitions = range(partitions)

    def read(self, consumed: Mapping[str, Sequence[str]]) -> dict[str, Lag]:
        """Topic → its lag, for each group's topics. Raises `TemporaryError`."""
        found: dict[str, Lag] = {}
        behind = []
        for group, names in consumed.items():
            ends = self._told(self._consumer.offsets_for_times, self._places(names, OFFSET_END))
            done = self._told(self._group(group).committed, self._places(names))
            for place, end in ends.items():
                committed = max(done.get(place, 0), 0)
                left = max(0, end - committed)
                so_far = found.get(place[0], Lag(0, 0))
                found[place[0]] = Lag(so_far.committed + committed, so_far.left + left)
                if left:
                    behind.append(TopicPartition(*place, committed))
        for topic, since in self._oldest(behind).items():
            found[topic] = replace(found[topic], since=since)
        return found

    def answers(self, topic: str) -> None:
        """Raises `TemporaryError` while Kafka does not answer."""
        try:
            self._consumer.list_topics(topic, timeout=SOON_S)
        except KafkaException as error:
            raise TemporaryError(f"Kafka: {error.args[0].str()}") from error

    def _group(self, name: str) -> Consumer:
        if name not in self._groups:
            self._groups[name] = Consumer({**self._reading, "group.id": name})
        return self._groups[name]

    def _told(self, ask: Ask, places: list[TopicPartition]) -> dict[tuple[str, int], int]:
        try:
            answer = ask(places, timeout=SOON_S)
        except KafkaException as error:
            raise TemporaryError(f"Kafka: {error.args[0].str()}") from error
        for one in answer:
            if one.error is not None:
                raise TemporaryError(f"Kafka does not tell of {one.topic}/{one.partition}: {one.error.str()}")
        return {(one.topic, one.partition): one.offset for one in answer}

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

    def _places(self, names: Sequence[str], offset: int = OFFSET_INVALID) -> list[TopicPartition]:
        return [TopicPartition(name, number, offset) for name in names for number in self._partitions]


class Places:
    """Where one group's partitions end, and how far they are acknowledged. Joins no group. By a consumer: the
    admin client of librdkafka 2.16 may abort the process when a broker dies that it asks for offsets."""

    def __init__(self, brokers: str, options: Mapping[str, str], group: str) -> None:
        own = {"bootstrap.servers": brokers, "log_level": "2", "group.id": group, "enable.auto.commit": False}
        self._consumer = Consumer({**options, **own})

    def read(self, places: Collection[tuple[str, int]]) -> dict[tuple[str, int], Place]:
        """(topic, partition) → its place. What Kafka itself has deleted by now is not left to do. Waits for
        the network; raises `TemporaryError`."""
        found = {}
        try:
            wanted = [TopicPartition(*place) for place in places]
            for one in self._consumer.committed(wanted, timeout=SOON_S):
                ends: Any = self._consumer.get_watermark_offsets(
                    TopicPartition(one.topic, one.partition), timeout=SOON_S
                )
                if one.error is not None or ends is None:  # None: no answer in time
                    raise TemporaryError(f"Kafka does not tell of {one.topic}/{one.partition}")
                found[one.topic, one.partition] = Place(max(one.offset, ends[0]), ends[1])
        except KafkaException as error:
            raise TemporaryError(f"Kafka: {error.args[0].str()}") from error
        return found
