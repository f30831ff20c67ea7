"""`python -m tests.benchmarks [NAME…]`: all benchmarks, or those named. Ratios, measured in one run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Final

from tests.benchmarks import apply, backlog, capacity, cost, database, fill, flat, hub, latency, relay, scan

BENCHMARKS: Final[Mapping[str, Callable[[], None]]] = {
    "cost": cost.main,
    "apply": apply.main,
    "hub": hub.main,
    "backlog": backlog.main,
    "database": database.main,
    "latency": latency.main,
    "flat": flat.main,
    "relay": relay.main,
    "scan": scan.main,
    "fill": fill.main,
    "capacity": capacity.main,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        print(f"== {name}", flush=True)
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
