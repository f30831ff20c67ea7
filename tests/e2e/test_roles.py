"""A custom role and whoever has it go to all regions, with the rules in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.outbox.schema import outbox
from pipeline.run import pipeline
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.settings import Settings
from tests.e2e.harness import Person, people, settled, tree, until
from tests.unit.outbox.builders import rows

LOOK_S = 0.5


def custom(region: SimulatedRegion) -> dict[str, list[tuple[str, bool]]]:
    """Custom roles by name, and their rules."""
    return {
        str(one.name): [(rule.rule, rule.allow) for rule in one.permissions]
        for one in region.region.world.roles.values()
        if not one.default and not one.removed
    }


async def add(person: Person, role: str, rule: str, permission: str) -> str:
    made = await person.call("createRolePermission", roleid=role, rule=rule, permission=permission)
    return str(made["rolepermission"]["id"])


async def test_a_role_and_its_accounts_in_three_regions(tmp_path: Path) -> None:
    async with simulated_regions(3) as regions, people(regions) as (one, two, three):
        mine = custom(regions[0])  # the sync's own role, if it has one

        async def everywhere(wanted: dict[str, list[tuple[str, bool]]], what: str) -> None:
            await until(lambda: all(custom(region) == mine | wanted for region in regions), what)

        settings: dict[str, Any] = tree(regions, f"sqlite:///{tmp_path}/roles.db")
        settings |= {"roles": True, "roles_every": LOOK_S}
        async with pipeline(Settings.parse(settings, {})) as running:
            engine = running.wiring.engine
            made = await one.call("createRole", name="ops", type="User", description="d")
            role = made["role"]["id"]
            first = await add(one, role, "list*", "allow")
            second = await add(one, role, "*", "deny")
            await one.account("acme", await one.domain("shop"), "ops")
            await everywhere({"ops": [("list*", True), ("*", False)]}, "the role is in all regions")
            await settled(regions, engine)
            assert regions[2].dump()["accounts"]["ROOT/shop|acme"]["role"] == "ops"

            await one.call("updateRolePermission", roleid=role, ruleorder=f"{second},{first}")
            await everywhere({"ops": [("*", False), ("list*", True)]}, "the new order, which no event tells")

            there = await two.role("ops")
            await two.call("updateRole", id=there, name="crew")
            await everywhere({"crew": [("*", False), ("list*", True)]}, "the new name")

            await three.account("other", await three.domain("depot"), "crew")
            await settled(regions, engine)
            assert regions[0].dump()["accounts"]["ROOT/depot|other"]["role"] == "crew"
            assert [row for row in rows(engine, outbox) if row["state"] == "dead"] == []
            assert not running.broken
