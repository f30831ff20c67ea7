"""Shows what a bridge does, from the counters that it keeps anyway.

In: a bridge's counters. Out: numbers when Prometheus asks. Used by a bridge's own process (`beside`), and by
`run`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from bridges.relay import Counters
from pipeline.metrics import catalogue
from pipeline.metrics.families import family
from pipeline.metrics.health import Answer, Health
from pipeline.metrics.metric import Metric
from pipeline.metrics.routes import serving


class Relaying(Collector):
    """All bridges of one process, by their regions."""

    def __init__(self, bridges: Mapping[str, Counters]) -> None:
        self._bridges = bridges

    def describe(self) -> Iterator[Family]:
        return iter(())

    def collect(self) -> Iterator[Family]:
        for metric in catalogue.BRIDGES:
            samples = [((region,), _value(metric, one)) for region, one in self._bridges.items()]
            yield family(metric, samples)


def beside(host: str, port: int, region: str, counters: Counters) -> AbstractAsyncContextManager[None]:
    """Served as long as the bridge runs; it is ready while it has its source."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(Relaying({region: counters}))

    async def text() -> bytes:
        return generate_latest(registry)

    async def connected() -> Answer:
        return Answer(counters.connected, "connected" if counters.connected else "its source is away")

    return serving(host, port, text, Health(checks={"source": connected}))


def _value(metric: Metric, counters: Counters) -> float:
    values: dict[Metric, float] = {
        catalogue.BRIDGE_RECEIVED: counters.received,
        catalogue.BRIDGE_RELAYED: counters.relayed,
        catalogue.BRIDGE_DROPPED: sum(counters.dropped.copy().values()),
        catalogue.BRIDGE_DEAD: counters.dead_letters,
        catalogue.BRIDGE_RECONNECTS: counters.reconnects,
        catalogue.BRIDGE_CONNECTED: counters.connected,
        catalogue.BRIDGE_UNACKED: counters.unacked,
        catalogue.BRIDGE_LAST: counters.last_event_ms / 1000,
    }
    return values[metric]
