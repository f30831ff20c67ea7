"""Records into Kafka by an idempotent producer; the only place in the bridges that knows confluent-kafka.

In: `Record`s from the relay. Out: Kafka's delivery reports, handed on from within `poll` on the caller's
thread. What failed for a while is sent again for ever; what Kafka will never take is reported as refused; a
fatal error raises `BrokenSink`. Which settings and why: engine.md, "Kafka clients".
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from bridges.relay import BrokenSink, Outcome, Record
from pipeline.core import topics
from pipeline.core.retry import Backoff

PROMISES: Final[Mapping[str, str]] = {
    "acks": "all",  # a report means that all in-sync replicas have it
    "enable.idempotence": "true",  # its own retries neither double nor reorder
    "partitioner": "murmur2_random",  # the same key meets the same partition as Faust's
}
"""What the relay's promises rest on; no option may say otherwise."""

DEFAULTS: Final[Mapping[str, str]] = {
    "topic.metadata.refresh.interval.ms": "10000",  # so soon it hears that its topic has more partitions
    "message.timeout.ms": "600000",  # Kafka down for longer: given back, and sent again by us
    "queue.buffering.max.ms": "20",  # as often as the bus hears of it; at 5 a backlog takes a fifth longer
    "socket.keepalive.enable": "true",
    "reconnect.backoff.max.ms": "5000",
    "log.connection.close": "false",
    "log_level": "2",  # what matters comes as an error; its own log tells each failed connect at once
}

SLOT_ROOM: Final = 1000
"""Places in the producer's queue beyond the source's bound: dead letters cut short and sent anew."""

_REFUSALS: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
_ONE_BROKER: Final = frozenset({KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT})
"""A connection failed; when it was the last one, _ALL_BROKERS_DOWN follows."""

_DEFAULT_MAX_BYTES: Final = 1_000_000
_FULL_WAIT_S: Final = 0.1
_LAST_WORDS_S: Final = 1.0
_ANSWER_LIMIT_S: Final = 5.0
_ACCESS: Final = ("security.", "sasl.", "ssl.")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Again:
    """A record that failed: how often, and when it is due to be sent again (monotonic seconds)."""

    record: Record
    outcome: Outcome
    failures: int
    due: float


class KafkaSink:
    """A `Sink`: send from one thread, and call `poll` there often."""

    def __init__(
        self,
        bootstrap: str,
        options: Mapping[str, str],
        bound: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`bound`: how many records the source may have under way. Raises `ValueError` on a wrong option."""
        self.max_bytes = int(options.get("message.max.bytes", _DEFAULT_MAX_BYTES))
        self._monotonic = monotonic
        self._backoff = Backoff(first_s=0.5, cap_s=15.0)
        self._again: list[_Again] = []
        self._refused: list[tuple[Outcome, str]] = []
        self._waiting = 0
        self._broken: str | None = None
        self._failing = False
        self._closed = False
        self._producer = _producer(bootstrap, options, bound, self._on_error)

    @property
    def waiting(self) -> int:
        """Records handed over and not reported yet."""
        return self._waiting

    def send(self, record: Record, outcome: Outcome) -> None:
        """Hand a record over; `outcome` is told once, from within `poll`. Raises `BrokenSink`."""
        self._waiting += 1
        self._produce(record, outcome, 0)

    def poll(self) -> None:
        """Report what Kafka has, send again what is due. Raises `BrokenSink` after a fatal error."""
        if self._closed:
            return
        self._producer.poll(0)
        if self._broken is not None:
            raise BrokenSink(self._broken)
        if self._refused:
            refused, self._refused = self._refused, []
            for outcome, reason in refused:
                self._waiting -= 1
                outcome(reason)
        if self._again:
            self._send_due()

    def close(self) -> None:
        """Forget what was not delivered, without a report: its source has it still. librdkafka's threads
        end here: one that connects while the process ends may take it down by SIGSEGV, when OpenSSL has
        cleaned up."""
        self._closed = True
        self._producer.purge(blocking=False)
        self._producer.flush(_LAST_WORDS_S)
        self._producer.close()

    def _produce(self, record: Record, outcome: Outcome, failures: int) -> None:
        topic, key, value, headers = record
        try:
            self._producer.produce(
                topic,
                value,
                key,
                on_delivery=partial(self._delivered, record, outcome, failures),
                headers=headers,
            )
        except BufferError:
            self._again.append(_Again(record, outcome, failures, self._monotonic() + _FULL_WAIT_S))
        except KafkaException as error:
            self._failed(record, outcome, failures + 1, error.args[0])

    def _delivered(
        self, record: Record, outcome: Outcome, failures: int, error: KafkaError | None, _message: Message
    ) -> None:
        if error is None:
            if self._failing:
                self._failing = False
                log.info("Kafka takes events again")
            self._waiting -= 1
            outcome(None)
        elif not self._closed:
            self._failed(record, outcome, failures + 1, error)

    def _failed(self, record: Record, outcome: Outcome, failures: int, error: KafkaError) -> None:
        if error.fatal():
            self._broken = self._broken or _fatal_words(error)
        elif error.code() in _REFUSALS:
            self._refused.append((outcome, error.str()))
        else:
            self._warn(f"{record.topic}: {error.str()}")
            due = self._monotonic() + self._backoff.delay(failures, random.random())
            self._again.append(_Again(record, outcome, failures, due))

    def _send_due(self) -> None:
        now = self._monotonic()
        due = [late for late in self._again if late.due <= now]
        if due:
            self._again = [late for late in self._again if late.due > now]
            for late in due:
                self._produce(late.record, late.outcome, late.failures)

    def _on_error(self, error: KafkaError) -> None:
        """librdkafka's own troubles, told from within `poll`; all but a fatal one it mends by itself."""
        if error.fatal():
            self._broken = self._broken or _fatal_words(error)
        elif error.code() not in _ONE_BROKER:
            self._warn(error.str())

    def _warn(self, words: str) -> None:
        """Loud once per outage."""
        level = logging.DEBUG if self._failing else logging.WARNING
        self._failing = True
        log.log(level, "Kafka does not take events, they wait where they are: %s", words)


class Unread:
    """Whether a region's events leave room: no partition holds `bound` or more that its worker has not read.

    For a Kafka that forgets (the embedded one keeps about 5 MiB of a partition). Who waits for `has_room` may
    be cancelled, and its thread goes on: `close` lets that end first, since librdkafka does not bear to be
    closed under a call.
    """

    def __init__(self, bootstrap: str, options: Mapping[str, str], region: str, bound: int) -> None:
        self._topic = topics.events(region)
        self._bound = bound
        access = {key: value for key, value in options.items() if key.startswith(_ACCESS)}
        self._consumer = Consumer(
            {
                **access,
                "bootstrap.servers": bootstrap,
                "group.id": topics.region_group(region),
                "enable.auto.commit": False,
                "logger": log.getChild("librdkafka"),
            }
        )
        self._calling = Lock()
        self._closed = False

    def has_room(self) -> bool:
        """Blocks for some milliseconds; False as well while Kafka does not answer."""
        with self._calling:
            return not self._closed and self._has_room()

    def _has_room(self) -> bool:
        try:
            found = self._consumer.list_topics(self._topic, timeout=_ANSWER_LIMIT_S).topics[self._topic]
            wanted = [TopicPartition(self._topic, number) for number in found.partitions]
            if not wanted:
                return True
            committed = self._consumer.committed(wanted, timeout=_ANSWER_LIMIT_S)
            return all(self._unread(partition) < self._bound for partition in committed)
        except KafkaException:
            return False

    def close(self) -> None:
        """Let go of Kafka, after the call under way."""
        with self._calling:
            self._closed = True
            self._consumer.close()

    def _unread(self, partition: TopicPartition) -> int:
        low, high = self._consumer.get_watermark_offsets(partition, timeout=_ANSWER_LIMIT_S)
        read = partition.offset if partition.offset >= 0 else low
        return int(high - read)


def _producer(
    bootstrap: str, options: Mapping[str, str], bound: int, on_error: Callable[[KafkaError], None]
) -> Producer:
    for option, value in PROMISES.items():
        if str(options.get(option, value)).lower() not in (value, "1" if value == "true" else value):
            raise ValueError(f"kafka option {option} must stay {value!r}: the relay's promises rest on it")
    config: dict[str, object] = {
        **DEFAULTS,
        "queue.buffering.max.messages": str(bound + SLOT_ROOM),
        **options,
        **PROMISES,
        "bootstrap.servers": bootstrap,
        "error_cb": on_error,
        "logger": log.getChild("librdkafka"),
    }
    try:
        return Producer(config)
    except KafkaException as error:
        raise ValueError(f"kafka options are wrong: {error.args[0].str()}") from error


def _fatal_words(error: KafkaError) -> str:
    return f"Kafka's producer cannot go on and must be started anew: {error.name()}: {error.str()}"
