"""One soak: real RabbitMQ, Kafka and MariaDB, three simulated regions, every process as a user starts it.

In: the services' addresses, for how long. Out: a `Report`. Called by the command line and by the test.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import sqlalchemy

from pipeline.core import topics
from pipeline.core.errors import TemporaryError
from pipeline.outbox.engine import open_database
from pipeline.progress import Lags
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.verdict import differences
from tests.benchmarks.stage import QUIET
from tests.e2e.harness import SYNC, Processes, parts, people, settled, tree, until
from tests.soak.load import Load
from tests.soak.watching import LONG, SHORT, Tolerance, Verdict, Watch, tasks

PARTITIONS: Final = 4
WARM: Final = 0.25
"""The part of the time that is not judged: caches and pools fill, and the rate is found."""
SAMPLES: Final = 240
LONG_S: Final = 300.0
"""From so long on the narrow tolerances count."""
START_LIMIT_S: Final = 180.0
LAG_MAX: Final = 100
"""Messages on all topics for each change under way: one is about ten."""


@dataclass(frozen=True, slots=True)
class Services:
    """Addresses; the database is empty, the broker this soak's own."""

    amqp: str
    kafka: str
    database: str


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it. Latencies in seconds, from the call to the last region."""

    changes: int
    seconds: float
    under_way: int
    latencies: Mapping[str, float]
    verdicts: Sequence[Verdict]
    lag_most: int
    lag_left: int
    differing: int
    failures: list[str] = field(default_factory=list)


class Soak:
    """While it runs."""

    def __init__(self, regions: Sequence[SimulatedRegion], services: Services, folder: Path) -> None:
        self.regions = regions
        self._ports = free_ports(len(regions) + 1)
        limits = {"per_hour": None, "share": None}
        settings = tree(
            regions, services.database, services.amqp, kafka=services.kafka, partitions=PARTITIONS
        )
        settings["web"] = {"port": self._ports}
        for region in settings["regions"]:
            region["removals"] = limits
        self.processes = Processes(folder, settings, parts(regions))
        self.watch = Watch()
        self._lags = Lags(services.kafka, {k: str(v) for k, v in QUIET.items()}, PARTITIONS)
        self._engine = sqlalchemy.create_engine(services.database, poolclass=sqlalchemy.NullPool)
        self._schema = sqlalchemy.make_url(services.database).database
        self._consumed = {topics.HUB_GROUP: [topics.OBSERVATIONS, topics.DEAD_LETTERS]}
        for name in (region.name for region in regions):
            self._consumed[topics.region_group(name)] = [*topics.of_region(name)]

    async def sample(self, every_s: float) -> None:
        """Until cancelled."""
        while True:
            await asyncio.to_thread(self._look, time.monotonic())
            await asyncio.sleep(every_s)

    def lag(self) -> int:
        return sum(one.left for one in self._lags.read(self._consumed).values())

    def _look(self, now: float) -> None:
        for name, pid in self.processes.pids().items():
            self.watch.process(name, pid, now)
        workers = ["hub", *(f"worker-{region.name}" for region in self.regions)]
        for number, name in enumerate(workers):
            found = tasks(self._ports + number)
            if found is not None:
                self.watch.note(name, "tasks", now, found)
        query = sqlalchemy.text("SELECT COUNT(*) FROM information_schema.processlist WHERE db = :db")
        with self._engine.connect() as connection:
            count = connection.execute(query, {"db": self._schema}).scalar_one() - 1  # this one
        self.watch.note("all", "connections", now, count)
        try:
            self.watch.note("all", "lag", now, self.lag())
        except TemporaryError:
            return


async def soak(services: Services, folder: Path, seconds: float) -> Report:
    """Raises `AssertionError` where a change does not arrive, or nothing starts."""
    tag = f"s{uuid.uuid4().hex[:6]}"
    names = tuple(f"{tag}{number}" for number in (1, 2, 3))
    async with simulated_regions(3, services.amqp, names=names) as regions, people(regions) as those:
        running = Soak(regions, services, folder)
        try:
            everywhere = partial(_all_read, regions)
            await until(everywhere, "the workers start", START_LIMIT_S)
            return await _measured(running, Load(regions, those), services, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{running.processes.logs()}") from error
        finally:
            running.processes.stop()


def _all_read(regions: Sequence[SimulatedRegion]) -> bool:
    return all(region.calls.reads(SYNC) for region in regions)


async def _measured(running: Soak, load: Load, services: Services, seconds: float) -> Report:
    await load.begin()
    sampling = asyncio.create_task(running.sample(max(0.5, seconds / SAMPLES)))
    try:
        await load.run(seconds * WARM)
        load.hold()
        load.forget()
        since = time.monotonic()
        await load.run(seconds * (1 - WARM))
        lasted, took = list(load.lasted_s), time.monotonic() - since
        await load.end()
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
    engine = open_database(services.database)
    try:
        await settled(running.regions, engine)
        await until(lambda: running.lag() == 0, "the lag goes back to zero")
    finally:
        engine.dispose()
    tolerances = LONG if seconds >= LONG_S else SHORT
    return _report(running, load, (lasted, took), running.watch.verdicts(since, tolerances))


def _report(
    running: Soak, load: Load, done: tuple[list[float], float], verdicts: Sequence[Verdict]
) -> Report:
    lasted, took = done
    lags = [int(value) for _, value in running.watch.series["all", "lag"]]
    report = Report(
        changes=len(lasted),
        seconds=took,
        under_way=load.under_way,
        latencies=percentiles(lasted),
        verdicts=verdicts,
        lag_most=max(lags, default=0),
        lag_left=running.lag(),
        differing=len(differences([region.dump() for region in running.regions])),
    )
    report.failures.extend(failures(report))
    return report


def percentiles(lasted: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(lasted, n=100) if len(lasted) > 1 else [0.0] * 99
    return {"50 %": cuts[49], "90 %": cuts[89], "99 %": cuts[98], "most": max(lasted, default=0.0)}


def failures(report: Report) -> list[str]:
    """What a soak must not end with, in words."""
    found = [
        f"{one.part}: {one.measure} grows: by {one.growth:.1f}, {one.tolerance:.1f} is allowed"
        for one in report.verdicts
        if one.grows
    ]
    if report.lag_most > LAG_MAX * report.under_way:
        found.append(f"lag: {report.lag_most} messages for {report.under_way} changes under way")
    if report.lag_left:
        found.append(f"lag: {report.lag_left} messages are left")
    if report.differing:
        found.append(f"{report.differing} entities differ")
    if not report.changes:
        found.append("no change arrived")
    return found


def free_ports(count: int) -> int:
    """The first of so many ports one after the other that nobody listens on now. One that is taken meanwhile
    costs a process's pages, and the number of its tasks."""
    for first in range(21_000 + uuid.uuid4().int % 9_000, 32_000, count):
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise AssertionError("no ports are free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


__all__ = ["Report", "Services", "Tolerance", "failures", "percentiles", "soak"]
