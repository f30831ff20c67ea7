"""What one MariaDB holds: changes a second of 1, 2 and 4 writers at once, with 3, 10 and 50 regions, and what
a change costs it.

In: Debian's MariaDB, one of the benchmark's own, durable as in production. Out: a table. A change is what it
is in life: an observation is merged by the hub's own merger, one desired state for each other region is
written and said to be published, each of these regions reads its context and settles it, and what each then
holds is merged too. Writers are processes that share no entity, as partitions have it. CPU is mariadbd's
alone. The same again without waiting for the disk tells what that costs.
"""

from __future__ import annotations

import itertools
import multiprocessing
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy import Connection, text

from pipeline.agents.merge import Merger, Seen
from pipeline.app import now_ms
from pipeline.core.entities import Kind
from pipeline.core.records import Desired, Observation, Position, Topology
from pipeline.outbox.engine import Engine, migrate
from pipeline.outbox.hub import HubStore
from pipeline.outbox.region import CallRow, RegionStore, Settlement
from tests.benchmarks import stage
from tests.services.mariadb import MariaDB

REGIONS: Final = (3, 10, 50)
WRITERS: Final = (1, 2, 4)
ROWS: Final = 2_000
"""Outbox rows of one run, whatever the number of regions: so all runs are of a like length."""
BATCH: Final = 20
"""Observations, or settlements, of one transaction."""
COUNTED: Final = ("Innodb_data_fsyncs", "Innodb_row_lock_waits", "Questions", "Com_commit")
CAPTION: Final = (
    "a change, with all that follows from it; server ms, fsyncs, statements, commits, lock waits: mariadbd's "
    "for one change; busy: cores that it used; lazy: its log reaches the disk once a second"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run is to do: `changes` of each writer."""

    regions: int
    writers: int
    changes: int
    durable: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it. `cpu_s` and what is counted are the server's."""

    plan: Plan
    seconds: float
    cpu_s: float
    counted: dict[str, int]

    @property
    def changes(self) -> int:
        return self.plan.changes * self.plan.writers

    @property
    def per_s(self) -> float:
        return self.changes / self.seconds

    def each(self, name: str) -> str:
        """Of what is counted, for one change."""
        return f"{self.counted[name] / self.changes:.2f}"


def main(rows: int = ROWS) -> None:
    folder = tempfile.TemporaryDirectory(prefix="region-sync-bench-")
    with folder as path, MariaDB(Path(path) / "mariadb") as server:
        plans = [
            Plan(regions, writers, _changes(rows, regions, writers), durable)
            for regions in REGIONS
            for writers, durable in (*((number, True) for number in WRITERS), (WRITERS[-1], False))
        ]
        runs = [_run(server.address, plan) for plan in plans]
    _show(runs, rows)


def _changes(rows: int, regions: int, writers: int) -> int:
    return max(rows // (regions - 1) // writers // BATCH, 1) * BATCH


def _show(runs: Sequence[Run], rows: int) -> None:
    alone = {run.plan.regions: run.per_s for run in runs if run.plan.writers == 1}
    stage.show(
        f"database: about {rows:,} outbox rows a run, {multiprocessing.cpu_count()} cores for everything",
        (
            *("regions, writers", "changes/s", "of one", "server ms", "busy", "fsyncs"),
            *("statements", "commits", "lock waits"),
        ),
        [
            (
                f"{run.plan.regions}, {run.plan.writers}{'' if run.plan.durable else ', lazy'}",
                f"{run.per_s:,.1f}",
                f"{run.per_s / alone[run.plan.regions]:.2f}",
                f"{run.cpu_s / run.changes * 1e3:.2f}",
                f"{run.cpu_s / run.seconds:.2f}",
                *(run.each(name) for name in ("Innodb_data_fsyncs", "Questions", "Com_commit")),
                run.each("Innodb_row_lock_waits"),
            )
            for run in runs
        ],
        CAPTION,
    )


def _run(address: str, plan: Plan) -> Run:
    """On a database of its own, which is dropped afterwards."""
    with _database(address, plan) as (url, control), _pool(plan) as pool:
        asked = [(url, plan, number) for number in range(plan.writers)]
        pool.starmap(_agree, asked, 1)
        counted, cpu, began = _counted(control), _cpu_s(control), time.perf_counter()
        pool.starmap(_write, asked, 1)
        seconds, cpu = time.perf_counter() - began, _cpu_s(control) - cpu
        after = _counted(control)
    return Run(plan, seconds, cpu, {name: after[name] - counted[name] for name in COUNTED})


@contextmanager
def _pool(plan: Plan) -> Iterator[multiprocessing.pool.Pool]:
    with multiprocessing.get_context("spawn").Pool(plan.writers) as pool:
        yield pool


@contextmanager
def _database(address: str, plan: Plan) -> Iterator[tuple[str, Connection]]:
    server = sqlalchemy.make_url(address)
    name = f"region_sync_{uuid.uuid4().hex[:16]}"
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as control:
        control.execute(text(f"SET GLOBAL innodb_flush_log_at_trx_commit={1 if plan.durable else 2}"))
        control.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
        try:
            url = server.set(database=name).render_as_string(hide_password=False)
            migrate(url)
            yield url, control
        finally:
            control.execute(text(f"DROP DATABASE {name}"))
    engine.dispose()


def _counted(control: Connection) -> dict[str, int]:
    rows = control.execute(text("SHOW GLOBAL STATUS")).all()
    found = {str(name): value for name, value in rows}
    return {name: int(found[name]) for name in COUNTED}


def _cpu_s(control: Connection) -> float:
    """Of the server's process, with all its threads."""
    pid = Path(control.execute(text("SELECT @@pid_file")).scalar_one())
    folder = Path(control.execute(text("SELECT @@datadir")).scalar_one())
    return stage.cpu_s(int((folder / pid).read_text()))


# --- in a writer's own process


class _Writer:
    """A hub and the regions' workers, with entities that no other writer touches."""

    def __init__(self, engine: Engine, plan: Plan, number: int, log: str) -> None:
        self.users = [f"{number:08x}-0000-4000-8000-{place:012x}" for place in range(plan.changes)]
        self.names = [f"r{place}" for place in range(1, plan.regions + 1)]
        self._hub = HubStore(engine, now_ms)
        self._regions = {name: RegionStore(engine, name, now_ms) for name in self.names}
        self._merger = Merger(self._hub, Topology(tuple(self.names)))
        self._log = log
        self._offsets = itertools.count()

    def merge(self, observations: Sequence[Observation]) -> list[Desired]:
        """As the hub does."""
        seen = [Seen(one, Position(self._log, next(self._offsets))) for one in observations]
        sent: list[Desired] = []
        while seen:
            batch = self._merger.batch(seen)
            rows = self._hub.commit(batch.changes, now_ms(), batch.decisions, batch.unborn)
            self._hub.locals({(one.uuid, one.region) for _, one, _ in rows})
            if rows:
                self._hub.published([row for row, _, _ in rows], now_ms())
            sent += [one for _, one, _ in rows]
            seen = seen[batch.taken :]
        return sent

    def apply(self, region: str, wanted: Sequence[Desired]) -> list[Observation]:
        """As a region's worker does, without the region."""
        store = self._regions[region]
        store.contexts(wanted)
        store.settle([_settled(one) for one in wanted], now_ms())
        return [
            Observation(region, one.kind, one.uuid, one.fields, now_ms(), "apply", applied=one.version)
            for one in wanted
        ]

    def follow(self, sent: Sequence[Desired]) -> None:
        """Until the hub knows that all regions hold it."""
        for region in self.names:
            wanted = [one for one in sent if one.region == region]
            if wanted:
                self.merge(self.apply(region, wanted))


def _agree(url: str, plan: Plan, number: int) -> None:
    """All regions hold all entities that are to be changed."""
    _turn(url, plan, number, "before")


def _write(url: str, plan: Plan, number: int) -> None:
    """Each entity is changed in the first region, and the others follow."""
    _turn(url, plan, number, "after")


def _turn(url: str, plan: Plan, number: int, word: str) -> None:
    with stage.engine_of(url) as engine:
        writer = _Writer(engine, plan, number, f"{word}/{number}")
        for first in range(0, plan.changes, BATCH):
            users = writer.users[first : first + BATCH]
            seen = [_observed(user, place, word) for place, user in enumerate(users)]
            writer.follow(writer.merge(seen))


def _observed(user: str, place: int, word: str) -> Observation:
    fields = {
        "name": user,
        "firstname": "First",
        "lastname": "Last",
        "email": f"{word}@example.org",
        "timezone": "",
        "state": "enabled",
        "parent": f"account-{place}",
    }
    return Observation("r1", Kind.USER, user, fields, now_ms(), "USER.UPDATE")


def _settled(one: Desired) -> Settlement:
    fields = one.fields or {}
    return Settlement(
        one.uuid,
        one.kind,
        one.version,
        "delivered",
        "success",
        one.uuid,
        applied=fields,
        present=True,
        parent=fields["parent"],
        calls=(CallRow("updateUser", 200, None, 40, now_ms()),),
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
