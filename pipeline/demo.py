"""The demonstration: simulated regions, traffic in all of them, the whole pipeline between, and a verdict.

In: options. Out: a live table while it runs, then whether all regions are equal, as words or as one JSON
object; exit code 0 when they are. Called by `region-sync demo`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline.cloudstack.client import CallRecord
from pipeline.core import topics
from pipeline.core.errors import TemporaryError
from pipeline.lossy import BUS, LossyBridge, connected
from pipeline.outbox.audit import AuditStore
from pipeline.outbox.engine import reading
from pipeline.outbox.exposure import read_exposures
from pipeline.outbox.gaps import gaps
from pipeline.progress import Progress
from pipeline.proving import Proven, prove
from pipeline.run import Running, pipeline
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from pipeline.staging import EVERYBODY, NEWCOMER, file_in, newcomer, sandbox_settings
from pipeline.verdict import Verdict, differences

SETTLE_LIMIT_S: Final = 300.0
QUIET_S: Final = 15.0
"""Regions that differ though nothing has moved for so long will not become equal by themselves."""
UNFINISHED_S: Final = 90.0
"""Where they are equal, so long for rows that nothing comes of any more, and that are taken up again by their
timers alone: a lease that ran out (a minute), a try after many."""
LOOK_EVERY_S: Final = 0.5
SHARED_NAMES: Final = 0.3
"""Of new names, those that a newcomer may have too."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`changes`: how many, None for as many as come until a signal. `rate`: attempts a second, 0 for as fast
    as they go. `exit`: end after the verdict rather than stay up to be looked at. `lose_events`: the share of
    events that the regions' buses lose; 0 for event logs instead of buses. `newcomer`: one more region, with
    data of its own, which has not joined. `credentials`: users' API keys and passwords are carried, which a
    user's call and log-in in every region prove."""

    regions: int = 3
    changes: int | None = None
    exit: bool = False
    json: bool = False
    seed: int = 1
    rate: float = 20.0
    lose_events: float = 0.0
    newcomer: bool = False
    credentials: bool = False


@dataclass(slots=True)
class Tally:
    """The calls that the pipeline made, by the regions' client."""

    reads: int = 0
    writes: int = 0

    def count(self, call: CallRecord) -> None:
        self.reads += call.read
        self.writes += not call.read


@dataclass(slots=True)
class _Stage:
    """What the demonstration is played on."""

    regions: list[SimulatedRegion]
    traffic: Traffic
    running: Running
    progress: Progress
    tally: Tally
    began: float
    buses: dict[str, LossyBridge]
    lag: dict[str, int] = field(default_factory=dict)
    proven: Proven | None = None

    def states(self) -> dict[str, Counter[str]]:
        """Outbox rows by region and state."""
        found = AuditStore(self.running.wiring.engine).counts()
        return {region: Counter(states) for region, states in found.items()}

    def filled(self) -> int:
        """Events that the gap fills told in a bus's place."""
        return sum(row.filled for row in gaps(self.running.wiring.engine).values())

    def measure_lag(self) -> None:
        """Messages that nobody has finished with, by region; the hub's under its own name."""
        for region in self.regions:
            group = topics.region_group(region.name)
            self.lag[region.name] = sum(
                self.progress.lag(group, topic) for topic in topics.of_region(region.name)
            )
        self.lag["hub"] = self.progress.lag(topics.HUB_GROUP, topics.OBSERVATIONS)


def demo(options: DemoOptions) -> int:
    """Runs it. Exit code 0: all regions are equal; 1: they are not."""
    return asyncio.run(_demo(options))


async def _demo(options: DemoOptions) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    console = Console(stderr=options.json)
    with tempfile.TemporaryDirectory(prefix="region-sync-demo-") as folder:
        users = _user_databases(options, folder)
        async with AsyncExitStack() as more:
            regions = await more.enter_async_context(
                simulated_regions(options.regions, seed=options.seed, user_databases=users)
            )
            new = [await more.enter_async_context(newcomer(options.seed))] if options.newcomer else []
            buses = {one.name: LossyBridge(one) for one in regions} if options.lose_events else {}
            for one in regions:
                one.faults.lost_ratio = options.lose_events
            bus, carried = BUS if buses else {}, EVERYBODY if options.credentials else ()
            settings = sandbox_settings([*regions, *new], Path(folder), bus, carried)
            tally = Tally()
            async with pipeline(settings, tally.count, connected(buses) if buses else None) as running:
                if running.server is not None:
                    console.print(running.server.invitation(), soft_wrap=True)
                progress = Progress(running.wiring.brokers, {})
                # What raises no event at all is for a scan to find, not for a stream.
                kind = TrafficOptions(silent=False, collide=SHARED_NAMES if new else 0.0)
                traffic = Traffic(regions, options.seed, kind)
                stage = _Stage(list(regions), traffic, running, progress, tally, time.monotonic(), buses)
                verdict = await _play(stage, options, stop, console)
                if options.json:
                    print(json.dumps(asdict(verdict)))
                else:
                    console.print("\n".join(verdict.words()))
                if not (options.exit or stop.is_set()):
                    console.print(_still_running(file_in(Path(folder)), options), soft_wrap=True)
                    await stop.wait()
                await asyncio.to_thread(progress.close)
    return 0 if verdict.converged else 1


def _user_databases(options: DemoOptions, folder: str) -> tuple[str, ...]:
    """Where the regions keep their users, as CloudStack's own databases, where passwords are carried."""
    if not options.credentials:
        return ()
    return tuple(f"sqlite:///{folder}/cloudstack-{number + 1}.db" for number in range(options.regions))


async def _play(stage: _Stage, options: DemoOptions, stop: asyncio.Event, console: Console) -> Verdict:
    with Live(console=console, refresh_per_second=4, transient=options.json) as live:
        showing = asyncio.create_task(_show(stage, live))
        try:
            await _make_changes(stage, options, stop)
            if options.credentials:
                stage.proven = await prove(stage.regions, SETTLE_LIMIT_S)
            return await _settle(stage)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


async def _make_changes(stage: _Stage, options: DemoOptions, stop: asyncio.Event) -> None:
    while not stop.is_set() and (options.changes is None or stage.traffic.accepted < options.changes):
        await stage.traffic.step()
        if options.rate:
            await asyncio.sleep(1 / options.rate)


async def _settle(stage: _Stage) -> Verdict:
    """Waits until nothing is under way and all regions are equal, or nothing moves any more."""
    deadline = time.monotonic() + SETTLE_LIMIT_S
    moved, last = time.monotonic(), ""
    while True:
        await asyncio.to_thread(stage.measure_lag)
        verdict = _verdict(stage)
        told = verdict.events_filled >= verdict.events_lost
        idle = told and not verdict.unfinished and not any(stage.lag.values())
        now = time.monotonic()
        # The gap fill reads for ever: its reads are no movement.
        signature = f"{stage.lag} {stage.states()} {stage.tally.writes} {verdict.events_filled}"
        if signature != last:
            moved, last = now, signature
        quiet_s = QUIET_S if verdict.lost else UNFINISHED_S
        if (idle and verdict.converged) or now - moved > quiet_s or now > deadline:
            return verdict
        await asyncio.sleep(LOOK_EVERY_S)


def _still_running(settings: Path, options: DemoOptions) -> str:
    """What to do now, in another terminal."""
    commands = ["status", "verify", "scan --all", "plan --region r1", "holds"]
    if options.newcomer:
        commands += [f"join {NEWCOMER}", f"join {NEWCOMER} --apply"]
    tried = "\n".join(f"  region-sync {command} -c {settings}" for command in commands)
    return f"Still running; Ctrl-C ends it. In another terminal:\n{tried}"


def _exposed(stage: _Stage) -> int:
    """Who still has access somewhere that was taken away."""
    with reading(stage.running.wiring.engine) as connection:
        return sum(len(read_exposures(connection, region.name)) for region in stage.regions)


def _verdict(stage: _Stage) -> Verdict:
    dumps = [region.dump() for region in stage.regions]
    differing, names = differences(dumps), tuple(region.name for region in stage.regions)
    proven, exposed = stage.proven, _exposed(stage)
    states: Counter[str] = sum(stage.states().values(), Counter())
    unfinished = states["pending"] + states["published"]
    return Verdict(
        converged=not (differing or unfinished or exposed) and (proven is None or proven.everywhere(names)),
        lost=len(differing),
        changes=stage.traffic.accepted,
        refused=stage.traffic.refused,
        deliveries=states["delivered"],
        superseded=states["superseded"],
        failed=states["dead"],
        unfinished=unfinished,
        reads=stage.tally.reads,
        writes=stage.tally.writes,
        entities=sum(map(len, dumps[0].values())),
        seconds=round(time.monotonic() - stage.began, 1),
        events_lost=sum(bus.lost for bus in stage.buses.values()),
        events_filled=stage.filled(),
        keys_good_in=None if proven is None else proven.keys,
        logs_in_to=None if proven is None else proven.logins,
        exposed=exposed,
    )


async def _show(stage: _Stage, live: Live) -> None:
    while True:
        try:
            await asyncio.to_thread(stage.measure_lag)
            live.update(_table(stage))
        except TemporaryError as error:
            log.debug("no lag to show: %s", error)
        await asyncio.sleep(LOOK_EVERY_S)


def _table(stage: _Stage) -> Table:
    states = stage.states()
    title = f"{stage.traffic.accepted} changes made, {stage.traffic.refused} refused by CloudStack"
    table = Table(title=title, caption=f"hub: {stage.lag.get('hub', 0)} observations to merge")
    for name in ("region", "entities", "lag", "on the way", "delivered", "superseded", "failed"):
        table.add_column(name, justify="left" if name == "region" else "right")
    for region in stage.regions:
        held = states.get(region.name, Counter())
        table.add_row(
            region.name,
            str(sum(map(len, region.dump().values()))),
            str(stage.lag.get(region.name, 0)),
            str(held["pending"] + held["published"]),
            str(held["delivered"]),
            str(held["superseded"]),
            str(held["dead"]),
        )
    return table
