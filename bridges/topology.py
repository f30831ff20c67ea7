"""Declares what a bridge needs on the region's broker: the exchange, its own queue, and the bindings.

In: an open connection and a `BusSettings`. Out: `ready(channel)`, or `failed(reason)` when the broker says no
or closes the channel at any time later. Called by `rabbitmq` at every connect, and again now and then: when
the exchange is deleted the bindings vanish with it, and nobody is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.exceptions import ChannelClosedByClient

from bridges.address import Trust
from pipeline.core.entities import Kind

BINDINGS: Final = tuple(f"*.ActionEvent.*.{kind}.*" for kind in Kind)
"""Never AsyncJobEvent: its bodies carry the caller's key and signature (cloudstack.md)."""

NEVER: Final = 2_000_000_000
"""As x-delivery-limit. RabbitMQ 4 drops a message after 20 deliveries by default: with Kafka away, 20
restarts of a bridge would lose it."""

_NOT_FOUND: Final = 404
_REFUSED: Final = 406

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BusSettings:
    """One region's bus. `url` may carry a password: it is never logged.

    `max_bytes` bounds our queue on the broker. Beyond it the oldest go (drop-head): a broker that runs full
    blocks every call of the region's API for 10 s, and what is lost here the gap fill finds in the event log.
    Times in seconds; `drain_limit_s` is how long a stop waits for what is under way.
    """

    url: str = field(repr=False)
    exchange: str
    queue: str
    prefetch: int = 5000
    quorum: bool = True
    max_bytes: int = 1024**3
    ack_every_s: float = 0.02
    recheck_every_s: float = 30.0
    drain_limit_s: float = 10.0
    trust: Trust = field(default_factory=Trust)

    def queue_arguments(self) -> dict[str, object]:
        """A quorum queue survives a broker; a single active consumer keeps the order while spares wait."""
        arguments: dict[str, object] = {
            "x-single-active-consumer": True,
            "x-max-length-bytes": self.max_bytes,
            "x-overflow": "drop-head",
        }
        if self.quorum:
            arguments |= {"x-queue-type": "quorum", "x-delivery-limit": NEVER}
        return arguments


class _Stage(IntEnum):
    EXCHANGE = 1
    QUEUE = 2
    BINDINGS = 3
    DONE = 4


class Topology:
    """One run of declarations. A refusal closes AMQP's channel, so the other way is tried on a new one."""

    def __init__(
        self,
        connection: SelectConnection,
        bus: BusSettings,
        ready: Callable[[Channel], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._connection = connection
        self._bus = bus
        self._ready = ready
        self._failed = failed
        self._stage = _Stage.EXCHANGE
        self._exchange_exists = True
        self._queue_as_it_is = False

    def declare(self) -> None:
        """Begin; the outcome comes by callback."""
        self._connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._closed)
        self._stage = _Stage.EXCHANGE
        channel.exchange_declare(
            self._bus.exchange,
            exchange_type="topic",
            passive=self._exchange_exists,  # the region's own; we may not be allowed to make one
            durable=True,
            callback=lambda _frame: self._declare_queue(channel),
        )

    def _declare_queue(self, channel: Channel) -> None:
        self._stage = _Stage.QUEUE
        channel.queue_declare(
            self._bus.queue,
            passive=self._queue_as_it_is,
            durable=True,
            arguments=None if self._queue_as_it_is else self._bus.queue_arguments(),
            callback=lambda _frame: self._bind(channel, 0),
        )

    def _bind(self, channel: Channel, index: int) -> None:
        self._stage = _Stage.BINDINGS
        if index == len(BINDINGS):
            self._stage = _Stage.DONE
            self._ready(channel)
            return
        channel.queue_bind(
            self._bus.queue,
            self._bus.exchange,
            BINDINGS[index],
            callback=lambda _frame: self._bind(channel, index + 1),
        )

    def _closed(self, _channel: Channel, reason: Any) -> None:
        code = getattr(reason, "reply_code", 0)
        if isinstance(reason, ChannelClosedByClient):
            return
        if self._stage is _Stage.EXCHANGE and code == _NOT_FOUND and self._exchange_exists:
            self._exchange_exists = False
            log.warning("exchange %s does not exist yet: declaring it, durable, topic", self._bus.exchange)
        elif self._stage is _Stage.QUEUE and code == _REFUSED and not self._queue_as_it_is:
            self._queue_as_it_is = True
            log.warning(
                "queue %s exists with other settings, used as it is: %s", self._bus.queue, reason.reply_text
            )
        else:
            self._failed(reason)
            return
        self.declare()
