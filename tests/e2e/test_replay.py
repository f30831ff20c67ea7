"""`region-sync replay` over a running pipeline: a region that was restored to nothing is built again from the
records alone, though the command is killed in the middle and people go on working."""

from __future__ import annotations

import asyncio
import copy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, select

from pipeline import wire
from pipeline.core.entities import Kind
from pipeline.core.records import Conflict, Stamp
from pipeline.outbox.engine import migrate, open_database, reading, writing
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.schema import conflict, entity, outbox
from pipeline.sandbox.launch import SimulatedRegion, now_ms, simulated_regions
from tests.e2e.harness import SYNC, Processes, environment, people, region_sync, settled, tree, until
from tests.unit.outbox.builders import record, rows

START_LIMIT_S = 60.0
ENTITIES = (4, 16, 50)
"""Domains, accounts, users."""


def database_of(region: SimulatedRegion) -> Any:
    """A copy of all that the region's database holds; chance, clock and listeners are no part of it."""
    inner = region.region
    outside = (inner.rng, inner.clock, inner.log.listeners)
    state = (inner.world, inner.log, inner.archived, inner.system_user)
    return copy.deepcopy(state, {id(one): one for one in outside})


def restore(region: SimulatedRegion, database: Any) -> None:
    inner = region.region
    inner.world, inner.log, inner.archived, inner.system_user = database
    inner.sessions.clear()


def sent(engine: Engine, *, again: bool = False) -> Counter[str]:
    """Entity → its rows for the second region. `again`: only those that no change has led to."""
    query = select(outbox.c.body).where(outbox.c.region == "r2")
    with reading(engine) as connection:
        found = [wire.desired(body) for body in connection.execute(query).scalars()]
    return Counter(row.uuid for row in found if row.changed is None or not again)


def keep_old_conflict(engine: Engine) -> None:
    one = Conflict("e", "name", None, "a", Stamp(1, "r1"), "b", Stamp(1, "r2"))
    HubStore(engine, now_ms).commit([Change(record(Kind.USER, "e"), None, conflicts=(one,))], 1)
    with writing(engine) as connection:
        connection.execute(delete(entity))


async def killed_in_the_middle(folder: Path, engine: Engine) -> None:
    """By SIGKILL, when its first entities are on their way and none of them can come to its end."""
    before = sent(engine).total()
    command = [sys.executable, "-m", "pipeline", "replay", "--region", "r2", "--from", "beginning"]
    command += ["-c", str(folder / "regions.yaml")]
    with (folder / "replay.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment())
        try:
            await until(lambda: sent(engine).total() > before, "the first are on their way")
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()


async def test_an_empty_region_is_built_again_from_the_records(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/region-sync.db"
    migrate(database)
    engine = open_database(database)
    keep_old_conflict(engine)
    async with simulated_regions(2) as regions, people(regions) as (one, _):
        empty = database_of(regions[1])
        regions[0].load(*ENTITIES)
        settings = tree(regions, database)
        for region in settings["regions"]:
            region["full_scan_interval"] = 0  # nothing else puts anything right
        processes = Processes(tmp_path, settings, {"run": ["run"]})
        try:
            await until(
                lambda: all(region.region.calls.reads(SYNC) for region in regions), "the start", START_LIMIT_S
            )
            assert (await region_sync(tmp_path, "scan", "--region", "r1"))[0] == 0
            await settled(regions, engine)
            known = len(sent(engine))
            assert known >= sum(ENTITIES) and sent(engine).total() == known

            await regions[1].stop()
            restore(regions[1], empty)
            code, planned = await region_sync(
                tmp_path, "replay", "--region", "r2", "--from", "beginning", "--dry-run"
            )
            assert (code, planned["entities"], planned["resumed"]) == (0, known, False)
            assert sent(engine).total() == known, "nothing is written"
            await killed_in_the_middle(tmp_path, engine)
            late = await one.domain("late")  # people go on
            await regions[1].start()
            regions[1].calls.clear()
            code, came = await region_sync(tmp_path, "replay", "--region", "r2", "--from", "beginning")
            assert (code, came["failed"], came["left_out"], came["waiting"]) == (0, [], [], 0)
            assert came["done"] + came["before"] in (known, known + 1), "with what was made meanwhile, or not"
            await settled(regions, engine)
            code, said = await region_sync(tmp_path, "verify")
            assert (code, said["equal"]) == (0, True)
            assert sent(engine)[late] >= 1
            await until(lambda: rows(engine, conflict) == [], "the hub deletes what is old, beside its work")
            once = sent(engine, again=True)
            assert set(once.values()) == {1} and once.keys() | {late} == sent(engine).keys()
            assert regions[1].calls.writes(SYNC) <= planned["calls_at_most"]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = await asyncio.to_thread(processes.stop)
            engine.dispose()
        assert codes == {"run": 0}
