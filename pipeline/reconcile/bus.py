"""What came over a region's bus, as it lies in Kafka: the region's topic, read beside its worker.

In: a broker's address, and a time or offsets. Out: the topic's messages, up to where it ended. Called by the
gap fill, and for a replay.
Its consumer belongs to no group and commits nothing, so it takes nothing away from the worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pipeline.core.errors import PermanentError, TemporaryError

TIMEOUT_S: Final = 10.0
BATCH: Final = 5_000
BATCH_WAIT_S: Final = 0.2
QUEUED_KB: Final = 8_192
"""What librdkafka fetches ahead."""
STALLED_AFTER: Final = 100
"""So many reads without a message, though the topic is said to hold more: Kafka is in trouble."""
_OURS: Final = "region-sync.gap-fill"
"""A consumer must name a group, even one that never joins it."""


@dataclass(frozen=True, slots=True)
class Told:
    """One message of the topic. `time`: when Kafka got it (ms)."""

    value: bytes
    headers: Mapping[str, bytes]
    time: int = 0


class TopicReader:
    """Reads one topic. Not for the event loop: every method waits for the network. Raises
    `TemporaryError`.

    Who waits for a method may be cancelled, and its thread goes on: `close` lets that end first, since
    librdkafka does not bear to be closed under a call.
    """

    def __init__(self, brokers: str, options: Mapping[str, str], topic: str) -> None:
        self._topic = topic
        self._next: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._stalled = 0
        self._calling = Lock()
        self._closed = False
        chosen = {
            **options,
            "bootstrap.servers": brokers,
            "group.id": _OURS,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": QUEUED_KB,
            "log_level": "2",
        }
        self._consumer = Consumer(chosen)
        # One connection answers in turn: a question would wait until the broker's wait for messages is over.
        self._asking = Consumer(chosen)

    def start(self, since: int | None) -> None:
        """From the first message that Kafka got at `since` (milliseconds) or later; None: from the first it
        has."""
        with self._call():
            listed = self._asking.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic]
            for number in listed.partitions:
                low, end = self._bounds(number)
                self._next[number] = low if since is None else self._offset(number, since, end)
            self._consumer.assign([TopicPartition(self._topic, *place) for place in self._next.items()])

    def start_at(self, offsets: Mapping[int, int]) -> None:
        """From these places (partition → offset), and nothing of other partitions. Raises `PermanentError`
        where Kafka does not have what was there any more."""
        with self._call():
            listed = self._asking.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic]
            for number, offset in offsets.items():
                if number not in listed.partitions:
                    raise PermanentError(f"{self._topic} has no partition {number}")
                low, _ = self._bounds(number)
                if offset < low:
                    where = f"partition {number} of {self._topic}"
                    raise PermanentError(f"{where} begins at {low}: Kafka has dropped what was before")
            self._next, self._ends = dict(offsets), {}
            self._consumer.assign([TopicPartition(self._topic, *place) for place in self._next.items()])

    def partitions(self) -> list[int]:
        """Their numbers."""
        with self._call():
            return sorted(
                self._asking.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic].partitions
            )

    def mark_end(self) -> None:
        """`batch` reads up to here."""
        with self._call():
            for number, here in self._next.items():
                low, self._ends[number] = self._bounds(number)
                self._next[number] = max(here, low)  # what Kafka has dropped does not come any more

    def batch(self) -> list[Told]:
        """Some of the messages before the marked end, and perhaps after it; empty: all of them were given."""
        found: list[Told] = []
        while not found and any(self._next[number] < end for number, end in self._ends.items()):
            with self._call():
                messages = self._consumer.consume(BATCH, timeout=BATCH_WAIT_S)
            found = [self._told(one) for one in messages if one.error() is None]
            self._stalled = 0 if found else self._stalled + 1
            if self._stalled >= STALLED_AFTER:
                self._stalled = 0
                raise TemporaryError(f"Kafka: {self._topic} cannot be read to its end")
        return found

    def close(self) -> None:
        with self._calling:
            self._closed = True
            self._consumer.close()
            self._asking.close()

    @contextmanager
    def _call(self) -> Iterator[None]:
        with self._calling:
            if self._closed:
                raise TemporaryError(f"Kafka: {self._topic} is read no more")
            try:
                yield
            except KafkaException as error:
                raise TemporaryError(f"Kafka: {error.args[0].str()}") from error

    def _told(self, message: Message) -> Told:
        self._next[message.partition() or 0] = (message.offset() or 0) + 1
        pairs = dict(message.headers() or [])
        headers = {name: value for name, value in pairs.items() if isinstance(value, bytes)}
        return Told(message.value() or b"", headers, message.timestamp()[1])

    def _bounds(self, number: int) -> tuple[int, int]:
        low, end = self._asking.get_watermark_offsets(TopicPartition(self._topic, number), timeout=TIMEOUT_S)
        return int(low), int(end)

    def _offset(self, number: int, since: int, end: int) -> int:
        wanted = [TopicPartition(self._topic, number, max(since, 0))]
        found = self._asking.offsets_for_times(wanted, timeout=TIMEOUT_S)[0].offset
        return end if found < 0 else int(found)
