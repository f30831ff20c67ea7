"""How many lanes, workers, hubs and partitions an installation needs, and what its database has to hold.

In: changes a second, how many regions, how long a region's call takes. Out: what to set, the load on the
database and on Kafka, and what is exhausted first. Called by the command `size` and the page docs/scaling.md,
whose table comes from here. Pure; the figures are measured (`make bench ARGS=capacity`, `apply`).

One change is read once in the region where it was made; every other region is read and written once. The hub
merges one observation of the change and, from each other region, one of what came of it. It is taken for the
worst that all changes come from elsewhere for each region, so it does not matter where they are made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.core import capacity
from pipeline.core.capacity import CALLS, HUB, Point

BUSY: Final = 0.7
"""Of a process's one core, and of a server's cores: beyond that what waits grows faster than the load."""
LANES_MAX: Final = 64
"""Of one worker: more were not measured, and one worker's core is about used up by then."""
PARTITIONS_LEAST: Final = 12
"""What is made unless the settings say otherwise; twice as many, and so on, have the most divisors."""
PARTITIONS_MOST: Final = 1000
"""More the settings do not take."""
EACH: Final = 3
"""Partitions for each process at least: so one that ends leaves its share to several."""
DATABASE_CORES: Final = 8
"""One server as people have them. How far MariaDB goes beyond one core was not measured here."""
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Load:
    """`changes_per_s`: in all regions together, in an ordinary busy hour; `latency_ms`: one call to a region;
    `peak`: how many times that the busiest minutes are; `days`: how long what is over is kept."""

    changes_per_s: float
    regions: int
    latency_ms: float = 50.0
    peak: float = 2.0
    days: float = 30.0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """`what` is exhausted at so many changes a second, peaks being thought of."""

    what: str
    changes_per_s: float
    cure: str


@dataclass(frozen=True, slots=True)
class Size:
    """What to set: `lanes` of each worker, `workers` of each region, `hubs`, `partitions`. And what follows:
    of each region `calls_per_s`, of Kafka `messages_per_s`, of the database rows and transactions written
    (`rows_per_s`), the cores that it needs and `log_mib_per_s` of its log, all in the busiest minutes;
    `disk_gib` of what is over and kept. `first`: what is exhausted before all else."""

    lanes: int
    workers: int
    hubs: int
    partitions: int
    calls_per_s: float
    messages_per_s: float
    rows_per_s: float
    database_cores: float
    log_mib_per_s: float
    disk_gib: float
    first: Ceiling

    def holds(self, load: Load) -> bool:
        """Whether nothing is exhausted, as far as is known."""
        return load.changes_per_s <= self.first.changes_per_s


def size(load: Load) -> Size:
    """What that load needs. Raises `ValueError`, with a sentence, for a load that can't be."""
    _check(load)
    cost = capacity.at(load.regions)
    others = load.regions - 1
    busiest = load.changes_per_s * load.peak
    calls = busiest * CALLS
    workers, lanes = _workers(calls, load.latency_ms)
    hub_us = cost.change_us + others * cost.result_us
    hubs = _rounded(math.ceil(busiest * hub_us / 1e6 / BUSY))
    database_us = _database_us(cost, others)
    return Size(
        lanes=lanes,
        workers=workers,
        hubs=hubs,
        partitions=_partitions(max(workers, hubs)),
        calls_per_s=calls,
        messages_per_s=busiest * (2 + 3 * others),
        rows_per_s=busiest * (2 + 5 * others),
        database_cores=busiest * database_us / 1e6,
        log_mib_per_s=busiest * (cost.change_log + others * (cost.result_log + capacity.APPLIED_LOG)) / 2**20,
        disk_gib=_disk_bytes(load, cost, others) / 2**30,
        first=min(_ceilings(load, database_us), key=lambda one: one.changes_per_s),
    )


def _check(load: Load) -> None:
    for name, value, least in (
        ("changes a second", load.changes_per_s, 0.0),
        ("latency", load.latency_ms, 0.0),
        ("days", load.days, 0.0),
    ):
        if not (value > least and math.isfinite(value)):
            raise ValueError(f"{name}: {value:g} is no number above {least:g}")
    if not (load.peak >= 1 and math.isfinite(load.peak)):
        raise ValueError(f"peak: {load.peak:g} is less than 1: the busiest minutes are no quieter than others")
    if load.regions < 2:
        raise ValueError(f"regions: {load.regions} is too few: between two at least something is to be synced")


def _workers(calls_per_s: float, latency_ms: float) -> tuple[int, int]:
    """Workers of a region, and the lanes of each."""
    by_cpu = BUSY * 1e6 / capacity.WORKER_CALL_US
    by_lanes = _reached(LANES_MAX, latency_ms)
    workers = _rounded(math.ceil(calls_per_s / min(by_cpu, by_lanes)))
    share = calls_per_s / workers
    return workers, next(n for n in _LANES if _reached(n, latency_ms) >= share)


def _reached(lanes: int, latency_ms: float) -> float:
    """Calls a second."""
    return lanes * capacity.used(lanes) * 1000 / latency_ms
