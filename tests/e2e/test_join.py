"""A region with data of its own joins two that are in step: looked at while inactive, then carried out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.schema import rmap
from pipeline.sandbox.launch import simulated_regions
from tests.e2e.harness import SYNC, Processes, people, region_sync, settled, tree, until
from tests.unit.outbox.builders import rows

START_LIMIT_S = 180.0


def drifts(planned: dict[str, Any]) -> dict[str, int]:
    names = ("matched", "different", "missing", "extra", "conflict")
    return {name: planned[name] for name in names if planned[name]}


async def test_a_region_joins(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/region-sync.db"
    migrate(database)
    engine = open_database(database)
    async with simulated_regions(3) as regions, people(regions) as (one, _, three):
        settings = tree(regions, database)
        settings["regions"][2]["active"] = False
        processes = Processes(tmp_path, settings, {"run": ["run"]})
        try:
            await until(
                lambda: all(one.region.calls.reads(SYNC) for one in regions[:2]), "the start", START_LIMIT_S
            )
            shop = await one.domain("shop")
            await one.account("acme", shop)
            await one.user("jo", "acme", shop)
            await settled(regions[:2], engine)
            # The third region has the shop and acme too, with another network domain, and a user of its own.
            own_shop = await three.domain("Shop")
            await three.call("updateDomain", id=own_shop, networkdomain="own.example")
            own_acme = await three.account("acme", own_shop)
            await three.user("kim", "acme", own_shop)
            regions[2].region.log.rows.clear()  # all that is longer ago than a bridge's first look back
            before = regions[2].dump()

            code, said = await region_sync(tmp_path, "join", "r3")
            assert (code, said["ok"], said["carried_out"]) == (2, True, None), said
            assert drifts(said["plan"]) == {"matched": 2, "missing": 1, "extra": 1, "conflict": 1}
            (conflict,) = [step for step in said["plan"]["steps"] if step["drift"] == "conflict"]
            assert conflict["path"] == "/shop"
            assert conflict["differences"] == {"name": ["Shop", "shop"], "networkdomain": ["own.example", ""]}
            assert said["linked"] == 3
            assert regions[2].dump() == before
            assert [row for row in rows(engine, rmap) if row["region_id"] == "r3"] == []
            assert await region_sync(tmp_path, "join", "r3", "--apply") == (1, None), "it is not active"

            processes.stop()
            settings["regions"][2]["active"] = True
            processes.settings.write_text(yaml.safe_dump(settings))
            reads = regions[2].region.calls.reads(SYNC)
            processes.start("run")
            await until(lambda: regions[2].region.calls.reads(SYNC) > reads, "it takes part", START_LIMIT_S)
            code, said = await region_sync(tmp_path, "join", "r3", "--apply")
            assert (code, said["carried_out"]["failed"], said["carried_out"]["waiting"]) == (0, [], 0), said
            await settled(regions, engine)
            users = set(regions[0].dump()["users"])
            assert users == {"ROOT/shop|acme|acme", "ROOT/shop|acme|jo", "ROOT/shop|acme|kim"}
            local = {row["uuid"] for row in rows(engine, rmap) if row["region_id"] == "r3"}
            assert {own_shop, own_acme} <= local, "its own are linked, not made anew"
            code, said = await region_sync(tmp_path, "verify")
            assert (code, said["equal"]) == (0, True)
            code, said = await region_sync(tmp_path, "join", "r3")
            assert (code, said["plan"]["equal"], said["plan"]["steps"]) == (0, True, [])
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
            engine.dispose()
        assert codes == {"run": 0}
