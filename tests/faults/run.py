"""The chaos run: random changes in three regions while everything is killed, frozen and cut off, and then the
question whether the promise was kept.

In: options, a folder for everything, the cache of jars. Out: a `Report`. Called by `python -m tests.faults`
and by test_chaos.py. The same seed gives the same changes to choose from and the same faults at the same
times; how they meet is the machine's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.core.errors import TemporaryError
from pipeline.progress import Progress
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from tests.faults.aftermath import Books, books, unrest
from tests.faults.inject import Injector
from tests.faults.journal import Journal, held
from tests.faults.laws import Breaches, judge
from tests.faults.schedule import schedule
from tests.faults.stage import Stage, staged

LOOK_EVERY_S: Final = 1.0
STILL_S: Final = 6.0
"""So long all must stay as it is: longer than a gap fill waits for a bus."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """`gap_s`: between two faults; `change_every_s`: between two changes; `settle_limit_s`: from the last
    fault's end to all regions being equal."""

    faults: int = 200
    seed: int = 1
    gap_s: tuple[float, float] = (0.5, 4.5)
    change_every_s: float = 0.25
    settle_limit_s: float = 600.0


@dataclass
class Report:
    """How it ended."""

    options: Options
    faults: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    refused: int = 0
    unrest: str = ""
    storm_s: float = 0.0
    converged_s: float = 0.0
    books: Books = field(default_factory=Books)
    breaches: Breaches = field(default_factory=Breaches)
    ended: Counter[str] = field(default_factory=Counter)
    logs: str = ""

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        broken = (
            self.unrest,
            self.breaches.lost,
            self.breaches.back,
            self.books.twice,
            self.books.unexplained,
        )
        return not any(broken)


Tell = Callable[[str], None]


async def chaos(options: Options, folder: Path, cache: Path, tell: Tell = log.info) -> Report:
    """One run from the start of all services to their end."""
    report = Report(options)
    folder.mkdir(parents=True, exist_ok=True)
    async with staged(folder, cache, options.seed) as stage:
        tell("everything is up")
        journal = Journal(stage.regions)
        await _storm(stage, options, report, tell)
        tell(f"{sum(report.faults.values())} faults over; waiting for rest")
        await _rest(stage, options, report)
        report.books = await asyncio.to_thread(books, stage)
        contents = {region.name: held(region) for region in stage.regions}
        journal.save(folder / "journal.jsonl")
        report.breaches = judge(journal.writes, contents, report.books.losers)
        report.ended = stage.processes.ended
        report.logs = stage.processes.log_ends()
    return report


async def _storm(stage: Stage, options: Options, report: Report, tell: Tell) -> None:
    """Changes and faults at once; ends when the last fault has been mended."""
    injector = Injector(stage)
    traffic = Traffic(stage.regions, options.seed, TrafficOptions(silent=False))
    began = time.monotonic()
    people = asyncio.create_task(_changes(traffic, options.change_every_s))
    planned = schedule(options.seed, options.faults, stage.target(), options.gap_s)
    try:
        async with asyncio.TaskGroup() as faults:
            for fault in planned:
                await asyncio.sleep(fault.after_s)
                tell(f"{fault.number}: {fault.label} {', '.join(fault.targets)} for {fault.lasts_s:.1f} s")
                faults.create_task(injector.inject(fault))
    finally:
        people.cancel()
        await asyncio.gather(people, return_exceptions=True)
    if people.done() and not people.cancelled() and (error := people.exception()) is not None:
        raise error
    report.faults = injector.done
    report.changes, report.refused = traffic.accepted, traffic.refused
    report.storm_s = time.monotonic() - began


async def _changes(traffic: Traffic, every_s: float) -> None:
    while True:
        await traffic.step()
        await asyncio.sleep(every_s)


async def _rest(stage: Stage, options: Options, report: Report) -> None:
    """Until all is equal and stays so, or the limit is over."""
    progress = Progress(stage.kafka.address, {})
    began, still_since = time.monotonic(), None
    try:
        while True:
            report.unrest = await asyncio.to_thread(_unrest, stage, progress)
            now = time.monotonic()
            still_since = (still_since or now) if not report.unrest else None
            if still_since is not None and now - still_since > STILL_S:
                report.converged_s = still_since - began
                return
            if now - began > options.settle_limit_s:
                return
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        progress.close()


def _unrest(stage: Stage, progress: Progress) -> str:
    try:
        return unrest(stage, progress)
    except TemporaryError as error:
        return str(error)
