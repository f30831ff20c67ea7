"""What one unit of work costs, as measured; `sizing` reckons with it.

In: how many regions there are. Out: CPU in microseconds, bytes, statements. MEASURED-ON
Between two measured numbers of regions a straight line is drawn, and beyond the last one the line goes on: a record holds what each
region has, so it is read and written whole, and gets more expensive with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Point:
    """For so many `regions`: what the hub spends, and MariaDB for it, on an observation that changes a record
    (with a desired state for each other region), and on one that tells what came of one of those. CPU in us;
    `log`: bytes of InnoDB's redo log; `row`: bytes of the outbox for each desired state."""

    regions: float
    change_us: float
    result_us: float
    database_change_us: float
    database_result_us: float
    change_log: float
    result_log: float
    row: float


HUB: Final = (
    Point(3, 0, 0, 0, 0, 0, 0, 0),
    Point(10, 0, 0, 0, 0, 0, 0, 0),
    Point(50, 0, 0, 0, 0, 0, 0, 0),
)
"""`capacity`, a user's e-mail address, 500 observations at a time."""

WORKER_CALL_US: Final = 0
"""Of a region's worker for one API call (`capacity`: a desired state is two, with everything beside them)."""
WORKER_EVENT_US: Final = 0
"""An event of somebody else with its call, beyond that of the call."""
WORKER_ECHO_US: Final = 0
"""An event of our own write: no call."""
DATABASE_APPLIED_US: Final = 0
"""MariaDB for one applied desired state: its context, its settlement."""
APPLIED_LOG: Final = 0
"""Redo log of one."""
DECISION_BYTES: Final = 0
"""A line of the hub's decisions: one for each observation."""
DECISIONS_KEPT: Final = 5_000_000
"""Not more, whatever `retention` says (`outbox/decisions.KEPT_ROWS`)."""
ATTEMPT_BYTES: Final = 0
"""A line for each writing call."""

LANES_USED: Final = ((16, 0.92), (64, 0.75))
"""Of lanes / latency, so much is reached (`apply`, calls of 50 ms); with fewer lanes it is no less."""

REGION_CHANGES_PER_S: Final = 60
"""Users that one management server on 2 cores reads and writes a second: 161 reads or 97 writes, whatever the
number of lanes from 8 on (CloudStack 4.22). Accounts take ten times as long, and creating users is nine times slower."""


def at(regions: int) -> Point:
    """The costs for so many regions."""
    below, above = _neighbours(HUB, regions)
    share = max(0.0, (regions - below.regions) / (above.regions - below.regions))
    return Point(*(low + (high - low) * share for low, high in zip(astuple(below), astuple(above), strict=True)))


def _neighbours(points: Sequence[Point], regions: int) -> tuple[Point, Point]:
    for below, above in zip(points, points[1:], strict=False):
        if regions <= above.regions:
            return below, above
    return points[-2], points[-1]


def used(lanes: int) -> float:
    """What of lanes / latency is reached with so many."""
    (few, best), (many, least) = LANES_USED
    return best - (best - least) * min(1.0, max(0, lanes - few) / (many - few))
