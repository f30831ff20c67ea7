"""What processes hold, sample after sample, and whether it grows.

In: processes by name, and how to ask for what only they know. Out: series, and verdicts by the Theil-Sen
slope (the median of the slopes between all pairs: a few odd samples move nothing). What a measure may grow by
over the whole time is stated with it.
"""

from __future__ import annotations

import itertools
import statistics
import urllib.request
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.stage import memory_kib

PAIRS_MAX: Final = 400
"""Samples that slopes are taken of: of more, evenly chosen ones."""
ANSWER_S: Final = 3.0
TASKS: Final = "region_sync_tasks"

Series = list[tuple[float, float]]
"""Seconds and value."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """So much growth over the whole time is none: an amount, or a share of the median where that is more."""

    amount: float
    share: float = 0.0

    def of(self, series: Series) -> float:
        return max(self.amount, self.share * statistics.median(value for _, value in series))


LONG: Final = {
    "memory MiB": Tolerance(8, 0.05),
    "files": Tolerance(4),
    "threads": Tolerance(2),
    "tasks": Tolerance(16, 0.25),
    "connections": Tolerance(4),
    "lag": Tolerance(100, 0.5),
}
"""For minutes and more."""
SHORT: Final = LONG | {
    "memory MiB": Tolerance(96),
    "files": Tolerance(24),
    "threads": Tolerance(16),
    "tasks": Tolerance(400),
    "connections": Tolerance(24),
    "lag": Tolerance(2_000),
}
"""For a minute, in which caches and pools still fill: only what runs away is told."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one measure of one part. `growth`: by the slope, over the whole time."""

    part: str
    measure: str
    median: float
    most: float
    growth: float
    tolerance: float

    @property
    def grows(self) -> bool:
        return self.growth > self.tolerance


class Watch:
    """Series by part and measure."""

    def __init__(self) -> None:
        self.series: defaultdict[tuple[str, str], Series] = defaultdict(list)

    def note(self, part: str, measure: str, time: float, value: float) -> None:
        self.series[part, measure].append((time, value))

    def process(self, part: str, pid: int, time: float) -> None:
        """What the kernel knows of it."""
        status = Path(f"/proc/{pid}/status").read_text()
        threads = next(line for line in status.splitlines() if line.startswith("Threads:"))
        self.note(part, "memory MiB", time, memory_kib("VmRSS", pid) / 1024)
        self.note(part, "files", time, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))
        self.note(part, "threads", time, float(threads.split()[1]))

    def verdicts(self, since: float, tolerances: Mapping[str, Tolerance]) -> list[Verdict]:
        """Of all that has at least three samples from that time on."""
        found = []
        for (part, measure), whole in self.series.items():
            series = [one for one in whole if one[0] >= since]
            if len(series) >= 3:
                values = [value for _, value in series]
                growth = slope(series) * (series[-1][0] - series[0][0])
                allowed = tolerances[measure].of(series)
                found.append(Verdict(part, measure, statistics.median(values), max(values), growth, allowed))
        return found


def slope(series: Sequence[tuple[float, float]]) -> float:
    """Theil and Sen's: the median slope between two samples."""
    chosen = series[:: max(1, len(series) // PAIRS_MAX)]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(chosen, 2) if b[0] > a[0]]
    return statistics.median(slopes) if slopes else 0.0


def tasks(port: int) -> float | None:
    """Of the process that shows its numbers there; None where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=ANSWER_S) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{TASKS} ")), None)
