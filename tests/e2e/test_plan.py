"""`region-sync plan` and `apply --plan` over a running pipeline whose third region is in mode plan."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from sqlalchemy import Engine, select

from pipeline.cli.person import login_name
from pipeline.outbox.engine import migrate, open_database, reading
from pipeline.outbox.schema import audit
from pipeline.sandbox.launch import simulated_regions
from tests.e2e.harness import SYNC, Processes, people, region_sync, rows, tree, until

START_LIMIT_S = 180.0


def states(engine: Engine) -> Counter[str]:
    return Counter(row.state for row in rows(engine) if row.region == "r3")


async def test_just_the_plan_is_carried_out(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/region-sync.db"
    migrate(database)
    engine = open_database(database)
    async with simulated_regions(3) as regions, people(regions) as (one, _, _):
        settings = tree(regions, database)
        settings["regions"][2]["mode"] = "plan"
        processes = Processes(tmp_path, settings, {"run": ["run"]})
        try:
            await until(
                lambda: all(region.region.calls.reads(SYNC) for region in regions), "the start", START_LIMIT_S
            )
            shop = await one.domain("shop")
            await one.account("acme", shop)
            await one.user("jo", "acme", shop)
            depot = await one.domain("depot")
            await until(lambda: regions[1].dump() == regions[0].dump(), "the second region has it")
            await until(lambda: states(engine)["held"] == 5, "the third region has planned it")
            assert regions[2].dump()["domains"] == {}

            code, planned = await region_sync(tmp_path, "plan", "--region", "r3")
            assert (code, planned["missing"], planned["calls"]) == (2, 5, 4)
            commands = [call.partition("(")[0] for step in planned["steps"] for call in step["calls"]]
            assert commands == ["createDomain", "createDomain", "createAccount", "createUser"]

            await one.call("updateDomain", id=depot, networkdomain="depot.example")
            await until(lambda: states(engine)["superseded"] == 1, "a newer one is planned in its place")
            code, carried = await region_sync(tmp_path, "apply", "--plan", planned["hash"])
            assert (code, carried["done"], carried["failed"], carried["waiting"]) == (2, 4, [], 0)
            assert [step["path"] for step in carried["left_out"]] == ["/depot"]
            assert set(regions[2].dump()["users"]) == {"ROOT/shop|acme|acme", "ROOT/shop|acme|jo"}

            code, planned = await region_sync(tmp_path, "plan", "--region", "r3")
            assert (code, planned["missing"], planned["calls"]) == (2, 1, 1)
            code, carried = await region_sync(tmp_path, "apply", "--plan", planned["hash"][:8])
            assert (code, carried["done"], carried["left_out"], carried["failed"]) == (0, 1, [], [])
            assert regions[2].dump() == regions[0].dump()
            with reading(engine) as connection:
                noted = connection.execute(select(audit.c.who, audit.c.action, audit.c.reason)).all()
            assert noted[-1] == (login_name(os.getuid()), "apply", planned["hash"]) and len(noted) == 2
            code, planned = await region_sync(tmp_path, "plan", "--region", "r3")
            assert (code, planned["equal"], planned["steps"]) == (0, True, [])
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
            engine.dispose()
        assert codes == {"run": 0}
