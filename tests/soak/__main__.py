"""`python -m tests.soak [--minutes N]`: load for so long; exit code 1 where something grows or differs."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import stage
from tests.services.stack import AMQP
from tests.soak.soaking import Report, Services, soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    with (
        stage.kafka() as kafka,
        stage.database("mariadb") as database,
        tempfile.TemporaryDirectory(prefix="region-sync-soak-") as folder,
    ):
        services = Services(os.environ[AMQP], kafka, database)
        report = asyncio.run(soak(services, Path(folder), minutes * 60))
    show(report)
    return 1 if report.failures else 0


def show(report: Report) -> None:
    stage.show(
        f"{report.changes} changes in {report.seconds:.0f} s, {report.changes / report.seconds:.1f} a second"
        f", {report.under_way} under way",
        ("from the call to the last region", "seconds"),
        [(name, f"{value:.2f}") for name, value in report.latencies.items()],
        f"lag: {report.lag_most} messages at most, {report.lag_left} at the end; "
        f"{report.differing} entities differ",
    )
    stage.show(
        "what the processes hold",
        ("part", "measure", "median", "most", "growth", "allowed", ""),
        [
            (
                one.part,
                one.measure,
                f"{one.median:.1f}",
                f"{one.most:.1f}",
                f"{one.growth:+.1f}",
                f"{one.tolerance:.1f}",
                "grows" if one.grows else "flat",
            )
            for one in report.verdicts
        ],
    )
    for words in report.failures:
        print(words)


if __name__ == "__main__":
    sys.exit(main())
