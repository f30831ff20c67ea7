"""How far the consumers are: ends of topics, committed offsets, and the lag between them.

In: a broker's address. Out: offsets by partition, and what is left of whole topics. Called by the demo and by
the embedded mode, whose watermark may only move over events that were merged; `Lags` by whoever measures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Condition
from typing import Any, Final

from confluent_kafka import OFFSET_END, OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from pipeline.core.errors import TemporaryError
from pipeline.core.stall import Place

TIMEOUT_S: Final = 10.0
SOON_S: Final = 2.5
"""For who only wants to know how it stands: whoever asks waits for 3 s."""
OLDEST_S: Final = 1.0
"""How long a look at the oldest messages may take: what is not read by then is not told this time."""
OWN_GROUP: Final = "region-sync.progress"
"""A consumer must name a group, even one that never joins it."""
READING: Final = {
    "auto.offset.reset": "earliest",  # what was deleted meanwhile is older still
    "fetch.message.max.bytes": "65536",
    "fetch.wait.max.ms": "50",  # an older fetch that found nothing is waited for
    "queued.max.messages.kbytes": "64",
}
Ask = Callable[..., list[TopicPartition]]
Offsets = dict[int, int]
"""Partition → offset of the next message."""


class Askers:
    """Consumers that only ask: one a group, none joins; connected when first asked. All are to be closed: one
    that lives while the process ends may take it down by SIGSEGV, since librdkafka's threads go on connecting
    when OpenSSL has cleaned up.

    Who waits for a thread that asks may be cancelled, and the thread goes on: `close` lets it end first,
    since librdkafka does not bear to be closed under a call.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = {"enable.auto.commit": False, "log_level": "2", **config}
        self._consumers: dict[str, Consumer] = {}
        self._changed = Condition()
        self._under_way = 0
        self._closed = False

    @contextmanager
    def asking(self, group: str = OWN_GROUP) -> Iterator[Consumer]:
        """Raises `TemporaryError` for what Kafka says, and after the end."""
        with self._changed:
            if self._closed:
                raise TemporaryError("Kafka: nobody asks any more")
            if group not in self._consumers:
                self._consumers[group] = Consumer({**self._config, "group.id": group})
            self._under_way += 1
        try:
            yield self._consumers[group]
        except KafkaException as error:
            raise TemporaryError(f"Kafka: {error.args[0].str()}") from error
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Again is no harm."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._under_way)
            while self._consumers:
                self._consumers.popitem()[1].close()


class Progress:
    """Asks the broker; consumes nothing. Not for the event loop: every method waits for the network. Raises
    `TemporaryError`."""

    def __init__(self, brokers: str, options: Mapping[str, str]) -> None:
        self._askers = Askers({**options, "bootstrap.servers": brokers})

    def close(self) -> None:
        """After the calls under way."""
        self._askers.close()

    def ends(self, topic: str) -> Offsets:
        """Where each partition ends now."""
        with self._askers.asking() as consumer:
            listed = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=TIMEOUT_S)[1]
                for number in listed.partitions
            }

    def committed(self, group: str, topic: str, partitions: Mapping[int, int]) -> Offsets:
        """How far the group has acknowledged; 0 where it has not begun."""
        wanted = [TopicPartition(topic, number) for number in partitions]
        with self._askers.asking(group) as consumer:
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
        self._askers = Askers({**READING, **options, "bootstrap.servers": brokers})
        self._partitions = range(partitions)

    def close(self) -> None:
        """After the calls under way."""
        self._askers.close()

    def read(self, consumed: Mapping[str, Sequence[str]]) -> dict[str, Lag]:
        """Topic → its lag, for each group's topics. Raises `TemporaryError`."""
        found: dict[str, Lag] = {}
        behind = []
        for group, names in consumed.items():
            with self._askers.asking() as consumer:
                ends = _told(consumer.offsets_for_times, self._places(names, OFFSET_END))
            with self._askers.asking(group) as consumer:
                done = _told(consumer.committed, self._places(names))
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
        with self._askers.asking() as consumer:
            consumer.list_topics(topic, timeout=SOON_S)

    def _oldest(self, behind: list[TopicPartition]) -> dict[str, int]:
        """Topic → when the first of its messages in these places was written, in ms."""
        found: dict[str, int] = {}
        waited_for = {(place.topic, place.partition) for place in behind}
        limit = time.monotonic() + OLDEST_S
        with self._askers.asking() as consumer:
            consumer.assign(behind)
            try:
                while waited_for and (left := limit - time.monotonic()) > 0:
                    message = consumer.poll(left)
                    if message is None or message.error() is not None:
                        continue
                    topic, partition = str(message.topic()), message.partition() or 0
                    if (topic, partition) in waited_for:
                        waited_for.discard((topic, partition))
                        written = message.timestamp()[1]
                        found[topic] = min(written, found.get(topic, written))
            finally:
                consumer.unassign()
        return found

    def _places(self, names: Sequence[str], offset: int = OFFSET_INVALID) -> list[TopicPartition]:
        return [TopicPartition(name, number, offset) for name in names for number in self._partitions]


class Places:
    """Where one group's partitions end, and how far they are acknowledged. Joins no group. By a consumer: the
    admin client of librdkafka 2.16 may abort the process when a broker dies that it asks for offsets."""

    def __init__(self, brokers: str, options: Mapping[str, str], group: str) -> None:
        self._askers = Askers({**options, "bootstrap.servers": brokers})
        self._group = group

    def close(self) -> None:
        """After the call under way."""
        self._askers.close()

    def read(self, places: Collection[tuple[str, int]]) -> dict[tuple[str, int], Place]:
        """(topic, partition) → its place. What Kafka itself has deleted by now is not left to do. Waits for
        the network; raises `TemporaryError`."""
        with self._askers.asking(self._group) as consumer:
            committed = consumer.committed([TopicPartition(*place) for place in places], timeout=SOON_S)
        return {(one.topic, one.partition): self._place(one) for one in committed}

    def _place(self, committed: TopicPartition) -> Place:
        where = TopicPartition(committed.topic, committed.partition)
        with self._askers.asking(self._group) as consumer:
            ends: Any = consumer.get_watermark_offsets(where, timeout=SOON_S)
        if committed.error is not None or ends is None:  # None: no answer in time
            raise TemporaryError(f"Kafka does not tell of {where.topic}/{where.partition}")
        return Place(max(committed.offset, ends[0]), ends[1])


def _told(ask: Ask, places: list[TopicPartition]) -> dict[tuple[str, int], int]:
    answer = ask(places, timeout=SOON_S)
    for one in answer:
        if one.error is not None:
            raise TemporaryError(f"Kafka does not tell of {one.topic}/{one.partition}: {one.error.str()}")
    return {(one.topic, one.partition): one.offset for one in answer}
