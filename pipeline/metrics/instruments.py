"""Counts what one process does.

In: what the agents and the client report, and objects to be looked at when somebody asks. Out: a registry in
Prometheus's own terms, and its text. One for a process, built where the process is; nothing is global.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from pipeline.agents.guard import Guard
from pipeline.agents.lanes import AnyLanes
from pipeline.agents.letters import Letters
from pipeline.agents.report import Report
from pipeline.agents.signs import Signs
from pipeline.agents.watchdog import LagWatch
from pipeline.cloudstack.client import CallRecord
from pipeline.metrics import catalogue
from pipeline.metrics.metric import Metric

UNAUTHORISED: Final = 401
THROTTLED: Final = 429
OK: Final = 200


class Instruments(Report):
    """All of one process. Counting is safe for threads; `text` is for the event loop."""

    def __init__(self) -> None:
        # Else twice the series, and nobody asks when a counter began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._events = self._counter(catalogue.EVENTS)
        self._observations = self._counter(catalogue.OBSERVATIONS)
        self._conflicts = self._counter(catalogue.CONFLICTS)
        self._violations = self._counter(catalogue.VIOLATIONS)
        self._letters = self._counter(catalogue.DEAD_LETTERS)
        self._applied = self._counter(catalogue.APPLIED)
        self._delivery = self._histogram(catalogue.DELIVERY)
        self._revocation = self._histogram(catalogue.REVOCATION)
        self._removals = self._counter(catalogue.REMOVALS)
        self._calls = self._histogram(catalogue.CALLS)
        self._batch_seconds = self._histogram(catalogue.BATCH_SECONDS)
        self._batch_rows = self._histogram(catalogue.BATCH_ROWS)
        self._purged = self._counter(catalogue.PURGED)
        self._lanes = self._gauge(catalogue.LANES)
        self._busy = self._gauge(catalogue.LANES_BUSY)
        self._waiting = self._gauge(catalogue.LANES_WAITING)
        self._silent = self._gauge(catalogue.LANE_SILENT)
        self._stalled = self._gauge(catalogue.STALLED)
        self._retrying = self._gauge(catalogue.RETRYING)
        self._gauge(catalogue.TASKS).set_function(_tasks)
        self._stopped = self._gauge(catalogue.STOPPED)

    def text(self) -> bytes:
        """All numbers as they are now, in Prometheus's text format."""
        return generate_latest(self.registry)

    def add(self, collector: Collector) -> None:
        """Numbers that are looked up when somebody asks."""
        self.registry.register(collector)

    # --- what the agents report

    def event(self, region: str, source: str, outcome: str) -> None:
        self._events.labels(region, source, outcome).inc()

    def merged(self, region: str, outcome: str) -> None:
        self._observations.labels(region, outcome.replace(" ", "_")).inc()

    def conflict(self, region: str) -> None:
        self._conflicts.labels(region).inc()

    def violation(self, region: str) -> None:
        self._violations.labels(region).inc()

    def dead_letter(self, region: str) -> None:
        self._letters.labels(region).inc()

    def applied(self, region: str, outcome: str) -> None:
        self._applied.labels(region, outcome).inc()

    def delivered(self, region: str, seconds: float) -> None:
        self._delivery.labels(region).observe(seconds)

    def revoked(self, region: str, seconds: float) -> None:
        self._revocation.labels(region).observe(seconds)

    def removal(self, region: str, decision: str) -> None:
        self._removals.labels(region, decision).inc()

    def batch(self, name: str, rows: int, seconds: float) -> None:
        self._batch_seconds.labels(name).observe(seconds)
        self._batch_rows.labels(name).observe(rows)

    def purged(self, table: str, rows: int) -> None:
        self._purged.labels(table).inc(rows)

    # --- what is looked at

    def calls_of(self, region: str) -> Callable[[CallRecord], None]:
        """For the client of that region: told of every HTTP call."""

        def called(call: CallRecord) -> None:
            self._calls.labels(region, call.command, outcome(call)).observe(call.ms / 1000)

        return called

    def watch_lanes(self, region: str, lanes: AnyLanes) -> None:
        self._lanes.labels(region).set_function(lambda: lanes.count)
        self._busy.labels(region).set_function(lambda: lanes.busy)
        self._waiting.labels(region).set_function(lambda: lanes.waiting)

    def watch_signs(self, region: str, signs: Signs) -> None:
        self._silent.labels(region).set_function(lambda: signs.silent()[1])

    def watch_stall(self, part: str, watch: LagWatch) -> None:
        """`part`: hub, or the region's name."""
        self._stalled.labels(part).set_function(lambda: watch.stalled_s)

    def watch_guard(self, part: str, guard: Guard) -> None:
        """`part`: hub, or the region's name."""
        self._retrying.labels(part).set_function(lambda: guard.waiting)

    def watch_letters(self, letters: Letters) -> None:
        self._stopped.labels(letters.topic).set_function(lambda: letters.stopped is not None)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(
            metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=self.registry
        )


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # asked where no loop runs
        return 0


def outcome(call: CallRecord) -> str:
    """What became of a call, in one of few words."""
    if call.status is None:
        return "unreachable"
    if call.error is None:
        return "ok"
    words = {UNAUTHORISED: "unauthorised", THROTTLED: "throttled", OK: "failed_job"}
    return words.get(call.status, "refused")
