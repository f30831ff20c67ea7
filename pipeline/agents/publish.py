"""Publishes to Kafka and says when Kafka has it.

In: messages. Out: nothing, after every delivery report has come. Called by observe, merge and apply before
they acknowledge what they consumed. Faust consumes, confluent-kafka produces: six times the rate (engine.md).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Report

from pipeline.core.errors import TemporaryError

PRODUCER: Final[Mapping[str, str | int | bool]] = {
    "acks": "all",
    "enable.idempotence": True,
    # librdkafka's own default is CRC32; Faust's assignor and aiokafka speak murmur2 (engine.md).
    "partitioner": "murmur2_random",
    "message.timeout.ms": 600_000,
    "linger.ms": 2,
    "queue.buffering.max.messages": 100_000,
    "log.connection.close": False,
    "socket.keepalive.enable": True,
    "log_level": "2",  # what matters comes as an error; its own log tells each failed connect at once
}
_POLL_S: Final = 0.1
_FULL_WAIT_S: Final = 0.05
_ONE_BROKER: Final = frozenset({KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT})
"""A connection failed; when it was the last one, _ALL_BROKERS_DOWN follows."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One record for one topic. The key decides the partition, and so the order."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class BrokenProducer(RuntimeError):
    """The producer met a fatal error and can't go on: the process must end and start anew."""


class _Batch:
    """Counts the reports of one `publish` down, on the producer's thread."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._left = count
        self._loop = loop
        self._error: KafkaError | None = None
        self.done: asyncio.Future[None] = loop.create_future()

    def reported(self, error: KafkaError | None, _report: Report) -> None:
        self._left -= 1
        self._error = self._error or error
        if self._left == 0:
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if self.done.done():
            return
        if self._error is None:
            self.done.set_result(None)
        elif self._error.fatal():
            self.done.set_exception(BrokenProducer(self._error.str()))
        else:
            self.done.set_exception(TemporaryError(f"Kafka did not take it: {self._error.str()}"))


class Publisher:
    """An idempotent producer with a thread that polls for its reports."""

    def __init__(self, brokers: str, options: Mapping[str, str]) -> None:
        told = {"error_cb": self._troubled, "logger": log.getChild("librdkafka")}
        self._failing = False
        self._producer = Producer({**PRODUCER, **options, **told, "bootstrap.servers": brokers})
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="publisher", daemon=True)
        self._poller.start()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns when Kafka has all of them. Raises `TemporaryError` when one was not taken in ten minutes
        (some of the others may have been), `BrokenProducer` after a fatal error."""
        if not messages:
            return
        batch = _Batch(len(messages), asyncio.get_running_loop())
        for message in messages:
            await self._produce(message, batch)
        await batch.done

    async def _produce(self, message: Message, batch: _Batch) -> None:
        while True:
            try:
                self._producer.produce(
                    message.topic,
                    message.value,
                    message.key,
                    on_delivery=partial(self._reported, batch),
                    headers=dict(message.headers),
                )
                return
            except BufferError:
                await asyncio.sleep(_FULL_WAIT_S)
            except KafkaException as error:
                cause = error.args[0]
                if cause.fatal():
                    raise BrokenProducer(cause.str()) from error
                raise TemporaryError(f"Kafka did not take it: {cause.str()}") from error

    def _reported(self, batch: _Batch, error: KafkaError | None, report: Report) -> None:
        if error is None and self._failing:
            self._failing = False
            log.info("Kafka takes messages again")
        batch.reported(error, report)

    def _troubled(self, error: KafkaError) -> None:
        """librdkafka's own troubles, which it mends by itself; loud once per outage."""
        if error.code() not in _ONE_BROKER:
            level = logging.DEBUG if self._failing else logging.WARNING
            self._failing = True
            log.log(level, "Kafka does not take messages, they wait here: %s", error.str())

    def close(self, timeout_s: float = 10.0) -> None:
        """Waits for what is under way, up to the limit. librdkafka's threads end here: one that connects
        while the process ends may take it down by SIGSEGV, when OpenSSL has cleaned up."""
        self._stopping.set()
        self._poller.join(timeout_s)
        self._producer.flush(timeout_s)
        self._producer.purge()  # or closing would wait for what Kafka does not take
        self._producer.close()

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(_POLL_S)
