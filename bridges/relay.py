"""From a message to its record, and from the record's delivery back to what the source may acknowledge.

In: messages, by `Relay.take`, from the source's own thread. Out: records to a `Sink`; `settled` is called
once for each message, after Kafka has it (or it was worth nothing). Called by the sources; knows neither pika
nor Kafka.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from bridges.sieve import Dropped, judge
from pipeline.core import topics
from pipeline.core.events import Unreadable

HEADER_ORIGINAL_BYTES: Final = "original-bytes"
"""Set on a dead letter that had to be cut to fit into Kafka: the length it came with."""

HEADER_ROOM: Final = 4096
"""Bytes kept free under Kafka's message limit for the key, the headers and the framing."""

_REASON_MAX: Final = 1000
_SMALLEST_CUT: Final = 1024

Clock = Callable[[], int]
"""Milliseconds since the epoch, UTC."""

log = logging.getLogger(__name__)


class BrokenSink(Exception):
    """Kafka's client cannot go on (a fatal error); only a new bridge can. The text says why."""


Headers = list[tuple[str, str | bytes | None]]


class Record(NamedTuple):
    """One record on its way to Kafka."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


Outcome = Callable[[str | None], None]
"""Told once per record: None when Kafka has it, else why Kafka will never take it."""


class Sink(Protocol):
    """Where records go. Nothing is reported but from within `poll`, on the caller's thread."""

    max_bytes: int

    @property
    def waiting(self) -> int:
        """Records handed over and not reported yet."""

    def send(self, record: Record, outcome: Outcome) -> None: ...

    def poll(self) -> None:
        """Report what has been delivered; send again what failed. Raises `BrokenSink`."""

    def close(self) -> None:
        """Forget what was not delivered."""


@dataclass(slots=True)
class Counters:
    """What a bridge has done since its start, for others to show."""

    received: int = 0
    relayed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    lost: int = 0
    """Dead letters that Kafka would not take even cut short; each is logged as an error."""
    reconnects: int = 0
    connected: bool = False
    unacked: int = 0
    last_event_ms: int = 0
    """The newest event time seen, milliseconds; 0 before the first."""


class Deliveries:
    """Which messages are settled: counts contiguously from 1, as AMQP's delivery tags do.

    An acknowledgement with `multiple` covers all up to its tag, so only the contiguous prefix may be told.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._prefix = 0
        self._told = 0
        self._early: set[int] = set()

    @property
    def waiting(self) -> int:
        """Taken and not settled."""
        return self._taken - self._prefix - len(self._early)

    @property
    def untold(self) -> int:
        """Taken and not yet returned by `settled_up_to`."""
        return self._taken - self._told

    def taken(self, tag: int) -> None:
        """A message came in; tags must follow each other."""
        if tag != self._taken + 1:
            raise ValueError(f"delivery {tag} follows {self._taken}")
        self._taken = tag

    def settle(self, tag: int) -> None:
        """A message is done with."""
        if tag != self._prefix + 1:
            self._early.add(tag)
            return
        early = self._early
        while tag + 1 in early:
            tag += 1
            early.remove(tag)
        self._prefix = tag

    def settled_up_to(self) -> int | None:
        """The last tag of the contiguous settled prefix, when it has grown since it was last asked for."""
        if self._prefix == self._told:
            return None
        self._told = self._prefix
        return self._prefix


class Relay:
    """One region's messages into records. Not for more than one thread."""

    def __init__(self, region: str, source: str, sink: Sink, counters: Counters, clock: Clock) -> None:
        self._region = region
        self._topic = topics.events(region)
        self._origin: Headers = [(topics.HEADER_REGION, region), (topics.HEADER_SOURCE, source)]
        self._sink = sink
        self._counters = counters
        self._clock = clock

    def take(self, routing_key: str | bytes, body: bytes, settled: Callable[[], None]) -> None:
        """Decide and hand over; `settled` comes from within `sink.poll`, or at once when nothing is sent."""
        counters = self._counters
        counters.received += 1
        arrived = str(self._clock())
        try:
            verdict = judge(routing_key, body)
        except Unreadable as error:
            self._bury(routing_key, body, str(error), settled)
            return
        except Exception as error:  # one message must not end the stream of all others
            log.exception("bridge %s: a message could not be judged", self._region)
            self._bury(routing_key, body, f"unexpected {type(error).__name__}: {error}", settled)
            return
        if isinstance(verdict, Dropped):
            counters.dropped[verdict.reason] += 1
            settled()
            return
        counters.last_event_ms = max(counters.last_event_ms, verdict.time)
        headers: Headers = [
            *self._origin,
            (topics.HEADER_ROUTING_KEY, routing_key),
            (topics.HEADER_ARRIVED, arrived),
        ]

        def outcome(refusal: str | None) -> None:
            if refusal is None:
                counters.relayed += 1
                settled()
            else:
                self._bury(routing_key, body, f"Kafka refuses it: {refusal}", settled)

        self._sink.send(Record(self._topic, verdict.key, body, headers), outcome)

    def _bury(self, routing_key: str | bytes, body: bytes, reason: str, settled: Callable[[], None]) -> None:
        """Send the message, whole if it fits, to the dead letters; in order, by one key per region."""
        self._counters.dead_letters += 1
        log.warning("bridge %s: dead letter: %s", self._region, reason[:_REASON_MAX])
        headers: Headers = [
            *self._origin,
            (topics.HEADER_ROUTING_KEY, routing_key),
            (topics.HEADER_ARRIVED, str(self._clock())),
            (topics.HEADER_REASON, reason[:_REASON_MAX].encode(errors="replace")),
        ]
        self._send_dead(headers, body, self._sink.max_bytes - HEADER_ROOM, settled)

    def _send_dead(
        self,
        headers: Headers,
        body: bytes,
        limit: int,
        settled: Callable[[], None],
    ) -> None:
        cut: Headers = [(HEADER_ORIGINAL_BYTES, str(len(body)))] if len(body) > limit else []

        def outcome(refusal: str | None) -> None:
            if refusal is None:
                settled()
            elif limit > _SMALLEST_CUT:  # the topic's own limit is smaller than the client's
                self._send_dead(headers, body, min(limit, len(body)) // 2, settled)
            else:
                self._counters.lost += 1
                log.error("bridge %s: Kafka refuses a dead letter: %s", self._region, refusal)
                settled()

        record = Record(topics.DEAD_LETTERS, self._region.encode(), body[:limit], [*headers, *cut])
        self._sink.send(record, outcome)
