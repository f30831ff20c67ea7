"""How many lanes, workers, hubs and partitions an installation needs, what its database has to hold, and what
is exhausted first.

In: changes a second, how many regions, how long a region's call takes. Out: what to set, and the load on the
database, Kafka and the regions. Called by the command `size`, and by the test that holds docs/scaling.md to
it. Pure; what a unit of work costs is measured: `core/capacity`.

One change is read once in the region where it was made; every other region reads it and writes it. The hub
merges one observation of the change and, from each other region, one of what came of it. For each region the
worst is taken: that all changes come from elsewhere. So it does not matter where they are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.core import capacity
from pipeline.core.capacity import Cost

BUSY: Final = 0.7
"""Of a process's one core, and of a server's cores: beyond that, what waits grows faster than the load."""
LANES_LEAST: Final = 16
"""The settings' default: fewer save nothing."""
LANES_MOST: Final = 64
"""Of one worker. More were not measured, and its one core is about used up by then."""
PARTITIONS_LEAST: Final = 12
"""The settings' default. It is doubled, so that each number of processes here divides it."""
PARTITIONS_MOST: Final = 1000
"""More the settings do not take."""
EACH: Final = 3
"""Partitions for each process at least: what one leaves behind when it ends is shared by several."""
DATABASE_CORES: Final = 8
"""Of one server, as people have them. More than one busy core was not measured."""
DATABASE_LOG_MIB_PER_S: Final = 100
"""That a server's disk writes in order, beside all else that it does. An assumption, too."""
DAY_S: Final = 86_400
PEAK: Final = 2.0
DAYS: Final = 30.0
"""As `retention` has it."""

CHANGES_LEAST: Final = 0.001
CHANGES_MOST: Final = 100_000
REGIONS_LEAST: Final = 2
REGIONS_MOST: Final = 1_000
LATENCY_LEAST_MS: Final = 1
LATENCY_MOST_MS: Final = 60_000
PEAK_MOST: Final = 1_000
DAYS_MOST: Final = 3_650


@dataclass(frozen=True, slots=True)
class Load:
    """`changes_per_s`: in all regions together, in a usual busy hour; `latency_ms`: of one call to a region;
    `peak`: how many times as many come in the busiest minutes; `days`: how long what is over is kept."""

    changes_per_s: float
    regions: int
    latency_ms: float
    peak: float = PEAK
    days: float = DAYS

    @property
    def busiest(self) -> float:
        """Changes a second that all is made for."""
        return self.changes_per_s * self.peak


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What is exhausted at so many changes a second (peaks come on top of them), and what helps."""

    what: str
    changes_per_s: float
    cure: str


@dataclass(frozen=True, slots=True)
class Size:
    """What to set: `lanes` of each worker, `workers` of each region, `hubs`, `partitions`. What follows, in
    the busiest minutes: API calls in each region, messages in Kafka, rows of the outbox, and the cores and
    the redo log that the database needs. `disk_gib`: what is over, and kept. `ceilings`: the lowest first."""

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
    ceilings: tuple[Ceiling, ...]

    def exhausted(self, load: Load) -> tuple[Ceiling, ...]:
        """What does not hold that load, as far as is known."""
        return tuple(one for one in self.ceilings if load.changes_per_s > one.changes_per_s)


def size(load: Load) -> Size:
    """What that load needs. Raises `ValueError`, with a sentence, for one that can't be."""
    _check(load)
    cost = capacity.hub(load.regions)
    others = load.regions - 1
    workers, lanes = _workers(load)
    hubs = _even(load.busiest * (cost.change_us + others * cost.result_us) / 1e6 / BUSY)
    cores = (
        cost.database_change_us + others * (cost.database_result_us + capacity.DATABASE_APPLIED_US)
    ) / 1e6
    log_mib = (cost.change_log + others * (cost.result_log + capacity.APPLIED_LOG)) / 2**20
    partitions = _partitions(max(workers, hubs))
    return Size(
        lanes=lanes,
        workers=workers,
        hubs=hubs,
        partitions=partitions,
        calls_per_s=load.busiest * capacity.CALLS,
        messages_per_s=load.busiest * (2 + 3 * others),
        rows_per_s=load.busiest * others,
        database_cores=load.busiest * cores,
        log_mib_per_s=load.busiest * log_mib,
        disk_gib=_disk_bytes(load, cost) / 2**30,
        ceilings=_ceilings(load, cores, log_mib, partitions),
    )


def _check(load: Load) -> None:
    for name, (value, least, most) in {
        "changes": (load.changes_per_s, CHANGES_LEAST, CHANGES_MOST),
        "regions": (load.regions, REGIONS_LEAST, REGIONS_MOST),
        "latency": (load.latency_ms, LATENCY_LEAST_MS, LATENCY_MOST_MS),
        "peak": (load.peak, 1, PEAK_MOST),
        "days": (load.days, 1, DAYS_MOST),
    }.items():
        if not least <= value <= most:  # nor is what is no number at all
            raise ValueError(f"{name}: {value:g} is not from {least:g} to {most:,g}")


def _workers(load: Load) -> tuple[int, int]:
    """Workers of a region, and the lanes of each: as many lanes as one worker can use come before a second
    worker."""
    by_cpu = BUSY * 1e6 / (capacity.WORKER_APPLIED_US + capacity.WORKER_ECHO_US)
    by_lanes = _reached(LANES_MOST, load.latency_ms)
    workers = _even(load.busiest / min(by_cpu, by_lanes))
    wanted = min(load.busiest, by_cpu)
    for lanes in range(LANES_LEAST, LANES_MOST):
        if _reached(lanes, load.latency_ms) >= wanted:
            return workers, lanes
    return workers, LANES_MOST


def _reached(lanes: int, latency_ms: float) -> float:
    """Changes a second."""
    return lanes * capacity.used(lanes) * 1000 / latency_ms / capacity.CALLS


def _even(needed: float) -> int:
    """At least so many processes, of those numbers that share partitions evenly: 1, 2, 3, 4, 6, 8, 12, ..."""
    count = 1
    while count < needed:
        count = count * 2 if count < 2 else count * 3 // 2 if count & (count - 1) == 0 else count * 4 // 3
    return count


def _partitions(processes: int) -> int:
    partitions = PARTITIONS_LEAST
    while partitions < EACH * processes:
        partitions *= 2
    return partitions


def _disk_bytes(load: Load, cost: Cost) -> float:
    """Of rows that grow with changes; records grow with entities, and are small beside them."""
    changes = load.changes_per_s * load.days * DAY_S
    applied = changes * (load.regions - 1)
    decisions = min(capacity.DECISIONS_KEPT, changes * load.regions)
    rows = cost.row_bytes + capacity.ATTEMPTS * capacity.ATTEMPT_BYTES
    return applied * rows + decisions * capacity.DECISION_BYTES


def _ceilings(load: Load, cores: float, log_mib: float, partitions: int) -> tuple[Ceiling, ...]:
    """`cores`, `log_mib`: of the database, for one change."""
    found = [
        Ceiling(
            "a region with one management server of 2 cores",
            capacity.REGION_CHANGES_PER_S / load.peak,
            "give the regions more management servers; what is too much waits, and nothing is lost",
        ),
        Ceiling(
            f"one MariaDB with {DATABASE_CORES} cores",
            DATABASE_CORES * BUSY / cores / load.peak,
            "give it more cores, or put a distributed engine in its place (docs/database.md)",
        ),
        Ceiling(
            f"one MariaDB whose disk takes {DATABASE_LOG_MIB_PER_S} MiB of log a second",
            DATABASE_LOG_MIB_PER_S / log_mib / load.peak,
            "give it a faster disk, or put a distributed engine in its place (docs/database.md)",
        ),
    ]
    if partitions > PARTITIONS_MOST:
        found.append(
            Ceiling(
                f"the {PARTITIONS_MOST} partitions that the settings take",
                load.changes_per_s * PARTITIONS_MOST / partitions / 2,
                "make the regions' calls faster: no more processes can share the work",
            )
        )
    return tuple(sorted(found, key=lambda one: one.changes_per_s))
