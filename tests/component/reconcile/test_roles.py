"""Custom roles in a scan and in a plan: found, linked by their names, left out where they are not synced."""

from __future__ import annotations

import pytest

from pipeline.core.compare import Outcome
from pipeline.core.drift import Drift
from pipeline.core.entities import Kind
from pipeline.core.records import Topology
from pipeline.outbox.plans import PlanStore
from pipeline.outbox.schema import conflict
from pipeline.reconcile.planning import Means, Planner
from tests.component.agents.rig import SERVICE
from tests.component.agents.test_roles import FIELDS, held, record, role, take_part
from tests.component.reconcile.net import FAR, HERE, Net
from tests.unit.outbox.builders import rows


@pytest.fixture
async def own(net: Net) -> Net:
    await take_part(net.rig)
    return net


async def test_where_roles_are_not_synced_none_is_listed(net: Net) -> None:
    await net.rig.api("createRole", name="ops", type="User")
    net.rig.region.calls.clear()
    await net.scan()
    assert {"listRoles", "listRolePermissions"}.isdisjoint(net.rig.region.calls.by_command(SERVICE))


async def test_a_scan_finds_a_changed_order(own: Net) -> None:
    await own.rig.tell(role())
    (ours,) = [one for one in own.rig.region.region.world.roles.values() if one.name == "ops"]
    ours.permissions.reverse()
    row = await own.heal()
    assert row.counts[Outcome.DIFFERENT] == 1
    assert record(own.rig)["rules"].startswith("deny *\n")
    assert await held(own.rig) == record(own.rig)
    assert (await own.heal()).counts[Outcome.DIFFERENT] == 0


async def test_a_scan_makes_good_a_role_that_the_region_lost(own: Net) -> None:
    await own.rig.tell(role())
    world = own.rig.region.region.world
    (ours,) = [one for one in world.roles.values() if one.name == "ops"]
    ours.removed, ours.name = True, None
    await own.heal()
    assert await held(own.rig) == FIELDS


async def test_what_was_here_under_the_name_gives_way_to_the_record(own: Net) -> None:
    """Though it is found long after the record was made; and the ledger says so."""
    world = own.rig.region.region.world
    theirs = world.add_role("ops", "User", "theirs")
    world.add_permission(theirs, "*", True)
    own.rig.merge(role())
    await own.heal()
    assert record(own.rig) == FIELDS == await held(own.rig)
    assert {one["field"] for one in rows(own.rig.engine, conflict)} == {"description", "rules"}
    assert own.rig.local("far-ops") == theirs.uuid


async def test_a_plan_shows_the_call_that_makes_a_role(own: Net) -> None:
    own.rig.merge(role())
    rig = own.rig
    means = Means(rig.desk.resources, rig.engine, HERE, Topology((FAR, HERE)), rig.clock)
    made = await Planner(means).make()
    (step,) = PlanStore(rig.engine, HERE, rig.clock).steps(made.id)
    assert (step.kind, step.told["path"], step.told["drift"]) == (Kind.ROLE, "|ops", Drift.MISSING.value)
    (call,) = step.told["calls"]
    assert "importRole" in str(call)
    assert await held(rig) is None
