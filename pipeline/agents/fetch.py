"""A Faust consumer that asks again soon, for a broker that does not answer a waiting fetch early.

librdkafka's mock cluster lets a fetch wait its full time although a message has come meanwhile; Faust asks
with 1.5 s, which every hop of a change would wait (engine.md, "Embedded broker"). Used by the embedded mode.
"""

from __future__ import annotations

from typing import Any, Final

import aiokafka
import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Transport

from pipeline.agents.rewind import RewindingConsumer, RewindingThread

FETCH_WAIT_MS: Final = 100


class _Thread(RewindingThread):
    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class _Consumer(RewindingConsumer):
    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


def ask_soon(app: faust.App) -> None:
    """To be called before the app starts."""
    transport: Any = app.transport
    transport.Consumer = _Consumer
