"""The broker of the embedded default: librdkafka's mock cluster, inside this process.

It is for a laptop, a demonstration, a small installation without a Kafka: it keeps about the newest 5 MiB
of a partition, says nothing when it drops the rest, and forgets all when the process ends (engine.md). So
what is unread is kept bounded where it is written, the outbox sends again what was not delivered, and the
regions' event logs are read again from the watermark.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Producer

TIMEOUT_S: Final = 10.0


class EmbeddedBroker:
    """A Kafka broker of one process's lifetime; `address` is where its clients find it."""

    def __init__(self) -> None:
        # The configured address is replaced by the mock cluster's own.
        self._host = Producer({"bootstrap.servers": "embedded", "test.mock.num.brokers": 1, "log_level": 3})
        broker = next(iter(self._host.list_topics(timeout=TIMEOUT_S).brokers.values()))
        self.address = f"{broker.host}:{broker.port}"

    def ensure_topics(self, names: Sequence[str]) -> None:
        """Topics appear with four partitions when they are first asked for."""
        client = Producer({"bootstrap.servers": self.address, "log_level": 3})
        for name in names:
            client.list_topics(name, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._host.close()
