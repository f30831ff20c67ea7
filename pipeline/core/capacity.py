"""What one unit of work costs, as measured, and what one region holds; `sizing` reckons with it.

In: how many regions there are, or how many lanes. Out: CPU in microseconds, bytes. All of it comes from
`make bench ARGS=capacity` but where another source is named: MEASURED
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import Final


@dataclass(frozen=True, slots=True)
class Cost:
    """With so many `regions`: what the hub spends on a change (with a desired state for each other region),
    and on a result, which one of those tells when it holds it; what MariaDB spends on either for the hub, and
    writes to its redo log (bytes). `row_bytes`: a row of the outbox on disk, with its indexes."""

    regions: float
    change_us: float
    result_us: float
    database_change_us: float
    database_result_us: float
    change_log: float
    result_log: float
    row_bytes: float


HUB: Final = (
    Cost(3, 672, 350, 267, 53, 21_564, 2_306, 1_180),
    Cost(10, 2_292, 350, 813, 58, 73_223, 2_306, 1_219),
    Cost(50, 6_000, 472, 4_444, 58, 335_188, 2_306, 1_219),
)
"""A user's e-mail address; 500 observations in a transaction, as when all that it takes is busy."""

WORKER_APPLIED_US: Final = 3_493
"""CPU of a region's worker for one desired state: a read, a write, the result told, the row settled."""
WORKER_ECHO_US: Final = 140
"""For the event of that write, which comes back by the bus."""
DATABASE_APPLIED_US: Final = 514
"""CPU of MariaDB for one desired state, as its worker asks and settles."""
APPLIED_LOG: Final = 11_480
"""Bytes of redo log for that."""
CALLS: Final = 2
"""To a region for a change made elsewhere: a read and a write (`make bench ARGS=cost`)."""
ATTEMPTS: Final = 1
"""Rows that tell of those: the write alone."""
ATTEMPT_BYTES: Final = 154
DECISION_BYTES: Final = 471
"""What the hub decided about one observation."""
DECISIONS_KEPT: Final = 5_000_000
"""Of those rows in all, whatever `retention` says (`outbox/decisions.KEPT_ROWS`)."""

LANES_FEW: Final = (16, 0.92)
LANES_MANY: Final = (64, 0.75)
"""Of lanes / latency, so much is reached (`make bench ARGS=apply`, calls of 50 ms)."""

REGION_CHANGES_PER_S: Final = 60
"""Changes of users that one management server takes on 2 cores, a read and a write each: it answered 161
reads or 97 writes a second, with 8 lanes as with 16, and made 7.6 users (CloudStack 4.22). An account among
722 took 20 times as long as a user to be read and changed."""


def hub(regions: int) -> Cost:
    """Between what was measured a straight line, and beyond the last of it the same line: a record holds what
    each region has, and is read and written whole."""
    low, high = next(((a, b) for a, b in pairwise(HUB) if regions <= b.regions), HUB[-2:])
    share = max(0.0, (regions - low.regions) / (high.regions - low.regions))
    mixed = [a + (b - a) * share for a, b in zip(astuple(low), astuple(high), strict=True)]
    return Cost(*mixed)


def used(lanes: int) -> float:
    """What of lanes / latency is reached: no more with fewer lanes than were measured."""
    (few, best), (many, least) = LANES_FEW, LANES_MANY
    return best - (best - least) * min(1.0, max(0.0, (lanes - few) / (many - few)))
