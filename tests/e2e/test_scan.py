"""`region-sync scan` over a running pipeline puts right what no event told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.proofs import read_proofs
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.e2e.harness import SYNC, Processes, people, region_sync, settled, tree, until

START_LIMIT_S = 180.0
SCANS = 5
NOT_EQUAL = ("different", "missing", "unknown", "in flight")


def user_of(region: SimulatedRegion, name: str) -> Any:
    (found,) = region.region.world.find_users(name)
    return found


def lose_account(region: SimulatedRegion, name: str) -> None:
    """As by a restored backup: no event tells of it, and its UUID is used up."""
    world = region.region.world
    world.remove_account(next(one for one in world.live_accounts.values() if one.name == name))


async def differences_left(folder: Path) -> int:
    """What a scan of all regions still finds, once what it asked for before has been merged."""
    left = 0
    for _ in range(SCANS):
        _, said = await region_sync(folder, "scan", "--all")
        left = sum(row["outcomes"][what] for row in said["scans"] for what in NOT_EQUAL)
        if not left:
            break
    return left


async def test_a_scan_heals_what_no_event_told(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/region-sync.db"
    migrate(database)
    engine = open_database(database)
    async with simulated_regions(3) as regions, people(regions) as (one, _, _):
        processes = Processes(tmp_path, tree(regions, database), {"run": ["run"]})
        try:
            await until(
                lambda: all(region.region.calls.reads(SYNC) for region in regions), "the start", START_LIMIT_S
            )
            shop = await one.domain("shop")
            await one.account("acme", shop)
            await one.user("jo", "acme", shop)
            gone = await one.domain("gone")
            await one.account("old", gone)
            await settled(regions, engine)

            lose_account(regions[2], "acme")
            code, said = await region_sync(tmp_path, "scan", "--region", "r3")
            assert (code, said["scans"][0]["calls"], said["scans"][0]["outcomes"]["missing"]) == (0, 3, 3)
            await until(lambda: regions[2].dump() == regions[0].dump(), "what was lost is there again")

            user_of(regions[0], "jo").email = "edited@example.org"  # in the database
            user_of(regions[1], "acme").state = "disabled"  # five wrong passwords
            world = regions[1].region.world
            world.add_domain("stranger", world.root, 2)
            code, said = await region_sync(tmp_path, "verify")
            assert (code, said["equal"], said["differing"]) == (2, False, 3)
            assert {one["path"].rpartition("/")[2] for one in said["differences"]} == {
                "shop|acme|jo",
                "shop|acme|acme",
                "stranger",
            }
            code, said = await region_sync(tmp_path, "scan", "--all")
            found = {row["region"]: row["outcomes"] for row in said["scans"]}
            assert (code, list(found)) == (0, ["r1", "r2", "r3"])
            assert (found["r1"]["different"], found["r2"]["unknown"]) == (1, 1)
            await until(lambda: "ROOT/stranger" in regions[0].dump()["domains"], "the stranger arrives")
            states = await settled(regions, engine)
            left = await differences_left(tmp_path)
            code, said = await region_sync(tmp_path, "verify")
            assert (code, said["equal"], said["differing"]) == (0, True, 0)
            assert len({one["root"] for one in said["regions"].values()}) == 1
            counted = [(one["domains"], one["accounts"], one["users"]) for one in said["regions"].values()]
            assert counted == [(3, 2, 3)] * 3
            assert {one.equal for one in read_proofs(engine, 3)} == {True}
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
            engine.dispose()
        assert left == 0
        assert states["dead"] == 0, states
        for region in regions:
            assert user_of(region, "jo").email == "edited@example.org"
            assert user_of(region, "acme").state == "disabled"
        assert codes == {"run": 0}
