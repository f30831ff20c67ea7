"""A Faust consumer that goes back to the beginning of what nobody has ever acknowledged.

After a rebalance Faust throws away what it had fetched and seeks to the committed offsets. Of a partition
that has none yet aiokafka 0.14.0 seeks nowhere (`seek_to_committed`: "if offset and offset > 0"): what was
thrown away would never be read, and the next commit would pass over it. Used by every app.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import faust
from aiokafka import TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP


class RewindingThread(AIOKafkaConsumerThread):
    """The thread in which aiokafka lives."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        committed = await super().seek_to_committed()
        never = [tp for tp, offset in committed.items() if not offset]
        if never:
            await self.call_thread(self._seek_to_first, never)
        return committed

    async def _seek_to_first(self, partitions: Sequence[TopicPartition]) -> None:
        """By offset: `seek_to_beginning` leaves them without a position for a while, and Faust's own watch
        over its partitions ends the worker when it meets that."""
        consumer = self._ensure_consumer()
        first = await consumer.beginning_offsets(partitions)
        for partition in consumer.assignment().intersection(first):
            consumer.seek(partition, first[partition])


class RewindingConsumer(Consumer):
    """Faust's own, but for its thread."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return RewindingThread(self, loop=self.loop, beacon=self.beacon)


# Their words are Faust's, and as quiet: mode gives each class the logger of its module.
RewindingThread.logger = AIOKafkaConsumerThread.logger
RewindingConsumer.logger = Consumer.logger


def rewind(app: faust.App) -> None:
    """To be called before the app starts."""
    transport: Any = app.transport
    transport.Consumer = RewindingConsumer
