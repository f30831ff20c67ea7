"""What all processes have in common: the outbox, the ledgers and the scans in the database, the lag in Kafka.

In: two ways to look, each of which may wait for its service. Out: numbers when Prometheus asks, at most
`FRESH_S` old where the service answers. Built by the hub's process. A look runs in a thread and is waited for
only `WAIT_S`: a service that is away makes its own numbers missing, after `KEPT_S`, and no others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.metrics import catalogue
from pipeline.metrics.families import Sample, family
from pipeline.metrics.metric import Metric
from pipeline.outbox.measures import Looked, Measured
from pipeline.progress import Lag

FRESH_S: Final = 5.0
WAIT_S: Final = 3.0
KEPT_S: Final = 60.0

RESULTS: Final = ("running", "done", "suspended", "abandoned")

Found = TypeVar("Found")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stock:
    """What the database said. `intervals`: region → `full_scan_interval` in ms."""

    regions: Sequence[Measured]
    looked: Looked | None
    intervals: Mapping[str, int]


class _Look(Generic[Found]):
    """One source: its last answer, and the look that is under way."""

    def __init__(self, name: str, look: Callable[[], Found]) -> None:
        self.name = name
        self._look = look
        self._found: Found | None = None
        self._at = float("-inf")
        self._running: asyncio.Task[None] | None = None
        self.up = False

    def found(self) -> Found | None:
        return self._found if time.monotonic() - self._at <= KEPT_S else None

    async def refresh(self) -> None:
        if self.up and time.monotonic() - self._at < FRESH_S:
            return
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        _, late = await asyncio.wait({self._running}, timeout=WAIT_S)
        if late:
            self.up = False

    async def _run(self) -> None:
        try:
            self._found = await asyncio.to_thread(self._look)
            self._at, self.up = time.monotonic(), True
        except (TemporaryError, PermanentError) as error:
            self.up = False
            log.debug("no numbers from %s: %s", self.name, error)


class Shared(Collector):
    """Numbers of the whole installation. `refresh` before each scrape."""

    def __init__(
        self,
        stock: Callable[[], Stock],
        lags: Callable[[], Mapping[str, Lag]],
        clock: Callable[[], int],
    ) -> None:
        self._stock = _Look("database", stock)
        self._lags = _Look("kafka", lags)
        self._clock = clock

    async def refresh(self) -> None:
        """Looks again where the last answer is old; returns soon whatever happens."""
        await asyncio.gather(self._stock.refresh(), self._lags.refresh())

    def describe(self) -> Iterator[Family]:
        """No sample, so that registering asks nobody."""
        return iter(())

    def collect(self) -> Iterator[Family]:
        stock, lags = self._stock.found(), self._lags.found()
        if stock is not None:
            yield from _of_stock(stock, self._clock())
        if lags is not None:
            yield family(catalogue.LAG, [((topic,), lag.left) for topic, lag in lags.items()])
            yield family(catalogue.LAG_AGE, _ages(lags, self._clock()))
            yield family(catalogue.COMMITTED, [((topic,), lag.committed) for topic, lag in lags.items()])
        up = [((one.name,), float(one.up)) for one in (self._stock, self._lags)]
        yield family(catalogue.SOURCE_UP, up)


def _ages(lags: Mapping[str, Lag], now: int) -> list[Sample]:
    """Without those topics of which it could not be read at once."""
    return [
        ((topic,), 0.0 if lag.since is None else max(0, now - lag.since) / 1000)
        for topic, lag in lags.items()
        if not lag.left or lag.since is not None
    ]


def _of_stock(stock: Stock, now: int) -> Iterator[Family]:
    for metric, samples in _samples(stock, now).items():
        yield family(metric, samples)
    if stock.looked is not None:
        yield family(catalogue.DIFFERENCES, [((), stock.looked.differences)])
        yield family(catalogue.VERIFIED, [((), stock.looked.time / 1000)])


def _samples(stock: Stock, now: int) -> dict[Metric, list[Sample]]:
    def since(ms: int | None) -> float:
        return 0.0 if ms is None else max(0, now - ms) / 1000

    def each(value: Callable[[Measured], float]) -> list[Sample]:
        return [((one.region,), value(one)) for one in stock.regions]

    return {
        catalogue.OUTBOX_ROWS: [
            ((one.region, state), n) for one in stock.regions for state, n in one.rows.items()
        ],
        catalogue.OUTBOX_OLDEST: [
            ((one.region, state), since(one.oldest.get(state))) for one in stock.regions for state in one.rows
        ],
        catalogue.HOLDS: each(lambda one: one.holds),
        catalogue.NO_PROGRESS: each(lambda one: one.no_progress),
        catalogue.LOST: each(lambda one: one.gap.lost),
        catalogue.FILLED: each(lambda one: one.gap.filled),
        catalogue.BUS_SILENT: each(lambda one: since(one.gap.silent_since)),
        catalogue.SCAN_NEEDED: each(lambda one: since(one.gap.scan_needed_since)),
        catalogue.SCAN_INTERVAL: each(lambda one: stock.intervals.get(one.region, 0) / 1000),
        catalogue.SCAN_DONE: [
            ((one.region,), one.scan_done / 1000) for one in stock.regions if one.scan_done is not None
        ],
        catalogue.SCAN_RESULT: [
            ((one.region, result), float(one.scan == result)) for one in stock.regions for result in RESULTS
        ],
        catalogue.SCAN_FOUND: [
            ((one.region, outcome.replace(" ", "_")), n)
            for one in stock.regions
            for outcome, n in one.found.items()
        ],
    }
