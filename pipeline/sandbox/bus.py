"""The way of a region's events to its bus: through the fault switches, then to RabbitMQ or to any
listener.

Comes in: routing keys and bodies from `eventlog`. Goes out: messages on a durable topic exchange,
published without confirms from a thread of its own. While the broker is away events are lost, and calls
answer as ever (recorded).
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from pipeline.sandbox.eventlog import Listener
from pipeline.sandbox.faults import Faults, strikes

QUEUE_LIMIT = 200_000
RETRY_S = 0.3
HOLD_S = 0.2
Message = tuple[str, str]


class FaultyBus:
    """Loses, doubles and reorders as the switches say, then hands on."""

    def __init__(self, faults: Faults, rng: random.Random, target: Listener) -> None:
        self._faults = faults
        self._rng = rng
        self._target = target
        self._held: Message | None = None

    def tell(self, key: str, text: str) -> None:
        """One event on its way."""
        if strikes(self._rng, self._faults.lost_ratio):
            return
        held = self._held
        if held is None and strikes(self._rng, self._faults.reordered_ratio):
            self._hold((key, text))
            return
        self._target(key, text)
        if strikes(self._rng, self._faults.doubled_ratio):
            self._target(key, text)
        if held is not None:
            self._release()

    def _hold(self, message: Message) -> None:
        """Until the next event, or a moment where none comes."""
        self._held = message
        asyncio.get_running_loop().call_later(HOLD_S, self._release)

    def _release(self) -> None:
        if self._held is not None:
            message, self._held = self._held, None
            self._target(*message)


class RabbitPublisher:
    """A thread that owns the connection to the broker. `lost` counts what could not be published."""

    def __init__(self, url: str, exchange: str) -> None:
        self.exchange = exchange
        self.lost = 0
        self._parameters = pika.URLParameters(url)
        self._parameters.connection_attempts = 1
        self._parameters.socket_timeout = 5
        self._queue: queue.Queue[Message | None] = queue.Queue(QUEUE_LIMIT)
        self._channel: BlockingChannel | None = None
        self._connection: pika.BlockingConnection | None = None
        self._next_try = 0.0
        self._first_try = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"publish {exchange}", daemon=True)

    def start(self, timeout_s: float = 10.0) -> None:
        """Returns once the first try to reach the broker is over, reached or not."""
        self._thread.start()
        self._first_try.wait(timeout_s)

    def tell(self, key: str, text: str) -> None:
        """Never blocks; a full queue loses the event."""
        try:
            self._queue.put_nowait((key, text))
        except queue.Full:
            self.lost += 1

    def stop(self, timeout_s: float = 5.0) -> None:
        """Publishes what is queued, then ends."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    @property
    def connected(self) -> bool:
        return self._channel is not None

    def _run(self) -> None:
        self._connect()
        self._first_try.set()
        while True:
            try:
                message = self._queue.get(timeout=RETRY_S)
            except queue.Empty:
                self._keep_up()
                continue
            if message is None:
                break
            self._publish(message)
        self._disconnect()

    def _connect(self) -> None:
        if time.monotonic() < self._next_try:
            return
        self._next_try = time.monotonic() + RETRY_S
        try:
            self._connection = pika.BlockingConnection(self._parameters)
            channel = self._connection.channel()
            channel.exchange_declare(self.exchange, exchange_type="topic", durable=True)
            self._channel = channel
        except (AMQPError, OSError):
            self._disconnect()

    def _keep_up(self) -> None:
        """Answers heartbeats, notices a dead connection, tries again."""
        if self._connection is None or self._channel is None:
            self._connect()
            return
        try:
            self._connection.process_data_events(0)
        except (AMQPError, OSError):
            self._disconnect()

    def _publish(self, message: Message) -> None:
        if self._channel is None:
            self._connect()
        if self._channel is None:
            self.lost += 1
            return
        properties = pika.BasicProperties("text/plain", delivery_mode=2, priority=0)  # type: ignore[no-untyped-call]
        try:
            self._channel.basic_publish(self.exchange, message[0], message[1].encode(), properties)
        except (AMQPError, OSError):
            self.lost += 1
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.is_open:
            try:
                connection.close()
            except (AMQPError, OSError):
                return
