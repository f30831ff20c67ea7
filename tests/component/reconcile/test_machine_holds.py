"""Held and quarantined removals when processes die and time passes while nothing runs: nothing is removed
twice, nobody is asked twice, and what was decided meanwhile is carried out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.agents.apply import Rules
from pipeline.core.removal import HOUR_MS, Limits, Policy
from tests.component.reconcile.machine_laws import findings
from tests.component.reconcile.machine_rig import Site
from tests.component.reconcile.machine_world import MachineWorld

PERSON = {"password": "Passw0rd!x", "email": "a@b.c", "firstname": "F", "lastname": "L"}
QUARANTINE = Rules(limits=Limits(Policy.QUARANTINE, quarantine_ms=10 * HOUR_MS))
ASKS = Rules(limits=Limits(Policy.HOLD))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MachineWorld]:
    """Two regions with one account in a domain, and its user."""
    world = MachineWorld(tmp_path, first=2, count=2)
    try:
        yield world
    finally:
        world.close()


async def removed_in_the_other(world: MachineWorld, rules: Rules) -> Site:
    """The account is made in both regions, the second gets these rules, the first removes the account."""
    here, there = world.sites
    domain = (await world.call(here, "createDomain", name="dom"))["domain"]["id"]
    params = {"account": "acc", "username": "acc", "domainid": domain, "accounttype": "0", **PERSON}
    account = (await world.call(here, "createAccount", **params))["account"]["id"]
    await world.drain()
    there.rules = rules
    await there.restart()
    await world.call(here, "deleteAccount", id=account)
    there.region.calls.clear()
    return there


def removals(site: Site) -> int:
    return site.region.calls.by_command("svc-sync").get("deleteAccount", 0)


def accounts(site: Site) -> set[str]:
    return set(site.region.dump()["accounts"])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("steps", range(10))
@pytest.mark.parametrize("rules", [ASKS, QUARANTINE], ids=["hold", "quarantine"])
def test_a_death_at_any_step_asks_once_and_removes_once(
    rules: Rules, steps: int, after: bool, world: MachineWorld
) -> None:
    async def story() -> None:
        there = await removed_in_the_other(world, rules)
        there.process.left, there.process.after = steps, after
        await world.drain()
        (asked,) = world.holds()
        assert (removals(there), accounts(there)) == (0, {"ROOT/dom|acc"})
        there.process.left, there.process.after = steps % 4, after
        world.decide(asked, approve=True)
        await world.drain()
        there.process.left = None
        await world.heal()
        assert accounts(there) == set()
        assert removals(there) == 1
        assert world.holds() == []
        found = await findings(world)
        assert (found.broken, dict(found.reasons)) == ([], {})

    world.run(story())


@pytest.mark.parametrize("approve", [True, False], ids=["approved", "refused"])
@pytest.mark.parametrize("rules", [ASKS, QUARANTINE], ids=["hold", "quarantine"])
def test_what_was_decided_while_the_worker_was_down_is_carried_out_at_its_start(
    rules: Rules, approve: bool, world: MachineWorld
) -> None:
    async def story() -> None:
        there = await removed_in_the_other(world, rules)
        await world.drain()
        await there.stop()
        (asked,) = world.holds()
        world.decide(asked, approve)
        assert removals(there) == 0
        await there.start()
        await world.heal()
        await there.restart()
        await world.heal()
        assert (removals(there), world.holds()) == (int(approve), [])
        found = await findings(world)
        assert found.broken == []
        states = [row["state"] for row in there.region.dump()["accounts"].values()]
        assert states == ([] if approve else ["enabled"]), "given back as it was"
        assert all("refused: said so" in reason for reason in found.reasons)
        assert bool(found.reasons) is not approve

    world.run(story())


def test_a_quarantine_that_ends_while_the_worker_is_down_ends_at_its_start(world: MachineWorld) -> None:
    async def story() -> None:
        there = await removed_in_the_other(world, QUARANTINE)
        await world.drain()
        assert [one["state"] for one in there.region.dump()["accounts"].values()] == ["disabled"]
        await there.restart()
        await world.heal()
        assert (removals(there), len(world.holds())) == (0, 1)
        await there.stop()
        world.clock.ahead += 11 * HOUR_MS
        await there.start()
        await world.drain()
        assert (removals(there), accounts(there), world.holds()) == (1, set(), [])

    world.run(story())
