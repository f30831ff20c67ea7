"""An account with machines that is removed in one region stays in the others until a person lets it go."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.holding import HoldStore
from pipeline.sandbox.launch import simulated_regions
from tests.e2e.harness import Processes, environment, people, rows, settled, tree, until


async def test_400_machines_are_held_in_each_region_until_approved_or_refused(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/region-sync.db"
    migrate(database)
    engine = open_database(database)

    async def region_sync(*words: str) -> Any:
        command = [sys.executable, "-m", "pipeline", *words, "--json", "-c", str(processes.settings)]
        ended = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, check=True, env=environment(), text=True
        )
        return json.loads(ended.stdout)

    async with simulated_regions(3) as regions, people(regions) as (here, *_):
        processes = Processes(tmp_path, tree(regions, database), {"run": ["run"]})
        try:
            sales = await here.domain("sales")
            account = await here.account("acme", sales)
            await until(lambda: all("ROOT/sales|acme" in one.dump()["accounts"] for one in regions), "acme")
            await settled(regions, engine)
            for region in regions:
                region.give(account, vms=400, volumes=400)
            await here.call("deleteAccount", id=account)

            await until(lambda: len(HoldStore(engine).holds()) == 2, "two holds")
            processes.kill("run")
            processes.start("run")
            first, second = await region_sync("holds")
            assert {first["region"], second["region"]} == {"r2", "r3"}
            assert first["reason"] == "it would take along 400 VMs, 400 volumes"
            by_name = {one.name: one for one in regions}
            assert all(
                "ROOT/sales|acme" in by_name[one["region"]].dump()["accounts"] for one in (first, second)
            )

            await region_sync("holds", "approve", str(first["id"]), "--reason", "the customer left")
            approved = by_name[first["region"]]
            await until(lambda: not approved.dump()["accounts"], "the approved removal")
            await region_sync("holds", "refuse", str(second["id"]), "--reason", "still in use")
            refused = by_name[second["region"]]
            await until(lambda: not rows(engine, "pending") + rows(engine, "published"), "all rows settled")
            assert list(refused.dump()["accounts"]) == ["ROOT/sales|acme"]
            assert approved.dump()["users"] == {}
            assert "ROOT/sales|acme|acme" in refused.dump()["users"]
            dead = rows(engine, "dead")[0]
            assert (dead.region, dead.message) == (refused.name, "its removal was refused: still in use")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
            engine.dispose()
    assert codes == {"run": 0}
