"""How busy one region worker keeps its lanes against calls of 50 ms: calls a second beside lanes / latency.

In: MariaDB's address from the environment. Out: a table for 16 and 64 lanes on both databases. The worker,
the region and the broker are processes of their own; users' changes wait in Kafka and in the outbox when the
worker starts. Each takes one read and one write; the rate is that of the middle of the run.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.core.entities import Snapshot
from tests.benchmarks import facts, simulated, stage

LATENCY_MS: Final = 50
GOALS: Final = {16: 0.85, 64: 0.75}
SECONDS: Final = 12
"""About how long each run takes, at full use of the lanes."""
ORIGIN: Final = "origin"
TARGET: Final = "target"
LIMIT_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class Use:
    """One run. `worker_us` and `region_us`: CPU a call, of the worker and of the simulated region."""

    lanes: int
    backend: str
    per_s: float
    worker_us: float
    region_us: float

    @property
    def share(self) -> float:
        return self.per_s / (self.lanes * 1000 / LATENCY_MS)


def main(seconds: int = SECONDS) -> None:
    uses = [_use(lanes, backend, seconds) for lanes in GOALS for backend in stage.BACKENDS]
    stage.show(
        f"apply: calls of {LATENCY_MS} ms, one worker; of lanes/latency",
        ("lanes", "calls/s", "of ideal", "goal", "worker CPU us/call", "region CPU us/call"),
        [
            (
                f"{one.lanes}, {one.backend}",
                f"{one.per_s:,.0f}",
                f"{one.share:.2f}",
                f"{GOALS[one.lanes]}",
                f"{one.worker_us:.0f}",
                f"{one.region_us:.0f}",
            )
            for one in uses
        ],
    )


def _use(lanes: int, backend: str, seconds: int) -> Use:
    users = lanes * 1000 // LATENCY_MS // 2 * seconds
    with waiting(users, lanes, backend) as work, working(work) as worker:
        return _middle(Use(lanes, backend, 0, 0, 0), users, work.region, worker)


@dataclass(frozen=True, slots=True)
class Work:
    """Users' changes that wait for a worker, in Kafka and in the outbox; each is in the region already, with
    the value before."""

    brokers: str
    url: str
    region: simulated.Simulated
    users: list[Snapshot]
    file: Path


@contextmanager
def waiting(users: int, lanes: int, backend: str) -> Iterator[Work]:
    """One change for each of so many users."""
    with (
        stage.kafka() as brokers,
        stage.database(backend) as url,
        simulated.region(TARGET, users, LATENCY_MS, lanes) as region,
        tempfile.TemporaryDirectory() as folder,
    ):
        made = stage.settings(brokers, url, [stage.Place(ORIGIN), region.place])
        stage.make_topics(made)
        place = region.place
        held = asyncio.run(facts.held(place.endpoint, place.apikey, place.secretkey))
        with stage.engine_of(url) as engine:
            known = facts.Facts(engine, (ORIGIN, TARGET))
            known.agree(held)
            facts.send(brokers, known.observe(facts.changed(ORIGIN, facts.users_of(held), 1)))
        yield Work(brokers, url, region, facts.users_of(held), stage.written(made, Path(folder)))


@contextmanager
def working(work: Work) -> Iterator[stage.Process]:
    """The region's worker."""
    arguments = ["-m", "pipeline", "worker", "region", "--region", TARGET, "-c", str(work.file)]
    with stage.process(work.file.parent, arguments) as worker:
        yield worker


def _middle(use: Use, users: int, region: simulated.Simulated, worker: stage.Process) -> Use:
    """From a fifth of the changes to four fifths."""

    def look() -> tuple[float, int, float, float]:
        return time.perf_counter(), sum(region.calls().values()), worker.cpu_s, region.running.cpu_s

    stage.until(lambda: region.writes() >= users / 5, LIMIT_S, worker)
    began, calls, cpu, region_cpu = look()
    stage.until(lambda: region.writes() >= users * 4 / 5, LIMIT_S, worker, 0.2)
    ended, calls_end, cpu_end, region_cpu_end = look()
    done = calls_end - calls
    return Use(
        use.lanes,
        use.backend,
        done / (ended - began),
        (cpu_end - cpu) / done * 1e6,
        (region_cpu_end - region_cpu) / done * 1e6,
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
