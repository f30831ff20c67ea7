"""A bridge of a simulated region whose bus loses events, without a RabbitMQ: for the demonstration.

In: a simulated region, whose fault switches say what its bus loses. Out: what is left, into Kafka by the same
relay as of every bridge; and how much of what mattered was lost. Called by `pipeline.demo`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from bridges.kafka import KafkaSink
from bridges.relay import Counters, Relay
from bridges.sieve import Hint, judge
from pipeline.app import Wiring
from pipeline.core.entities import Kind
from pipeline.core.events import Unreadable, parse_event
from pipeline.run import AnyBridge, MakeBridge
from pipeline.sandbox.launch import SimulatedRegion
from pipeline.settings import Region

POLL_EVERY_S: Final = 0.02
UNDER_WAY: Final = 5_000
DRAIN_POLLS: Final = 500
SOURCE: Final = "amqp"
BUS: Final[Mapping[str, object]] = {
    "source": "amqp",
    "url": "amqp://simulated",  # never called: `LossyBridge` hears the region inside this process
    "gap_fill_interval_s": 0.5,
    "gap_fill_grace_s": 2,  # nothing is between that bus and Kafka
}
"""What the settings say of such a bus."""
_KINDS: Final = frozenset(Kind)


class LossyBridge:
    """Hears the region from `connect` on. One use only."""

    def __init__(self, region: SimulatedRegion) -> None:
        self._region = region
        self._stop = asyncio.Event()
        self._sink: KafkaSink | None = None
        self._unheard: Counter[tuple[str, str]] = Counter()

    @property
    def lost(self) -> int:
        """Events that somebody's change raised, and that the bus did not tell (yet)."""
        return self._unheard.total()

    @property
    def waiting(self) -> int:
        """Messages that Kafka has not reported yet."""
        return self._sink.waiting if self._sink is not None else 0

    def connect(self, brokers: str, options: Mapping[str, str]) -> None:
        """Where Kafka is."""
        sink = KafkaSink(brokers, options, UNDER_WAY)
        relay = Relay(self._region.name, SOURCE, sink, Counters(), lambda: time.time_ns() // 1_000_000)

        def raised(key: str, text: str) -> None:
            if _is_bound(key) and self._matters(key, text):
                self._unheard[key, text] += 1

        def heard(key: str, text: str) -> None:
            if _is_bound(key) and not self._stop.is_set():
                if self._unheard[key, text] > 1:
                    self._unheard[key, text] -= 1
                else:  # it may be told twice
                    del self._unheard[key, text]
                relay.take(key, text.encode(), _nothing)

        self._sink = sink
        self._region.region.log.listeners.append(raised)
        self._region.region.publish_to(heard)

    async def start(self) -> None:
        """Nothing is left to be done: a bus without a broker is there at once."""

    async def wait(self) -> None:
        """Until stopped. Raises `BrokenSink`."""
        while not self._stop.is_set():
            self._poll()
            await asyncio.sleep(POLL_EVERY_S)

    async def stop(self) -> None:
        """Hear nothing new, let what is under way arrive, end."""
        self._stop.set()
        for _ in range(DRAIN_POLLS):
            self._poll()
            if not self.waiting:
                break
            await asyncio.sleep(POLL_EVERY_S)
        if self._sink is not None:
            self._sink.close()

    def _poll(self) -> None:
        if self._sink is not None:
            self._sink.poll()

    def _matters(self, key: str, text: str) -> bool:
        """As the relay sees it, and not the sync's own doing."""
        body = text.encode()
        try:
            return (
                isinstance(judge(key, body), Hint) and parse_event(body).actor != self._region.service.userid
            )
        except Unreadable:
            return False


def connected(buses: Mapping[str, LossyBridge]) -> MakeBridge:
    """What connects each region's bridge to the running pipeline, by the region's name."""

    def connect(region: Region, wiring: Wiring) -> AnyBridge:
        bus = buses[region.name]
        bus.connect(wiring.brokers, wiring.kafka_options)
        return bus

    return connect


def _is_bound(key: str) -> bool:
    """What the bindings of a bridge's queue let through (`bridges.topology`)."""
    words = key.split(".")
    return len(words) == 5 and words[1] == "ActionEvent" and words[3] in _KINDS


def _nothing() -> None:
    """This bus keeps nothing, and so needs no acknowledgement."""
