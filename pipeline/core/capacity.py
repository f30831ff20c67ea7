"""What one unit of work costs, as measured, and what one region holds; `sizing` reckons with it.

In: how many regions there are, or how many lanes. Out: CPU in microseconds, bytes. All of it comes from
`make bench ARGS=capacity` but where another source is named: MariaDB 10.11 and Python 3.11 on two cores, with
much other work on them, so that it is rather too much than too little (alone, a hub spent 480 us on a change
with 3 regions, and a worker 1,670 us on a desired state).
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
    Cost(3, 807, 512, 313, 83, 22_300, 4_020, 1_200),
    Cost(10, 1_610, 542, 906, 104, 73_800, 7_450, 1_200),
    Cost(50, 6_570, 1_030, 3_770, 188, 340_000, 12_000, 1_200),
)
"""A user's e-mail address; 500 observations in a transaction (150 with 50 regions), each of another record,
as when all is busy. With ten in a transaction, and 10 regions, a change takes the hub 1.9 times as much and a
result 2.1 times; MariaDB 1.3 and 3.6 times."""

WORKER_APPLIED_US: Final = 2_090
"""CPU of a region's worker for one desired state: a read, a write, the result told, the row settled;
with 64 lanes. With 16 it was 3,500: it puts less together."""
WORKER_ECHO_US: Final = 146
"""For the event of that write, which comes back by the bus."""
DATABASE_APPLIED_US: Final = 225
"""CPU of MariaDB for one desired state, as its worker asks and settles (with 16 lanes: 580)."""
APPLIED_LOG: Final = 8_860
"""Bytes of redo log for that."""
CALLS: Final = 2
"""To a region for a change made elsewhere: a read and a write (`make bench ARGS=cost`)."""
ATTEMPTS: Final = 1
"""Rows that tell of those: the write alone."""
ATTEMPT_BYTES: Final = 190
DECISION_BYTES: Final = 350
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
