"""`python -m tests.faults --faults 200 --seed 7`: the chaos run for people; `make faults ARGS="…"`.

Out: the report on stdout, what happens meanwhile on stderr. Exit code 0: nothing lost, nothing brought back,
all regions equal; 1: not so, with the entities named.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.report import text
from tests.faults.run import Options, chaos
from tests.services.stack import stack


def main(arguments: Sequence[str]) -> int:
    """One run; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, metavar="N", help="how many faults")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="same seed, same faults")
    parser.add_argument("--keep", action="store_true", help="keep logs and data of a run that went well, too")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="region-sync-faults-"))
    began = time.monotonic()

    def tell(words: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {words}", file=sys.stderr, flush=True)

    tell(f"everything is in {folder}")
    chosen = Options(faults=options.faults, seed=options.seed)
    report = asyncio.run(chaos(chosen, folder, stack().folder, tell))
    print(text(report))
    if report.kept and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        tell(f"logs and data stay in {folder}")
    return 0 if report.kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
