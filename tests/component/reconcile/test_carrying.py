"""`apply --plan` carries out just that plan: what changed since is left out and named."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from pipeline.agents.apply import Rules
from pipeline.agents.publish import Publisher
from pipeline.core.entities import Kind
from pipeline.core.errors import PermanentError
from pipeline.core.mode import Mode
from pipeline.core.records import Observation, Topology
from pipeline.core.removal import Limits, Policy
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.plans import PlanRow, PlanStore, StepState, find_plan
from pipeline.reconcile.asking import Asking
from pipeline.reconcile.carrying import CHANGED, PARENT_LEFT_OUT, Carried, Carrier
from pipeline.reconcile.planning import Means, Planner
from tests.component.agents.test_apply import changed
from tests.component.reconcile.net import FAR, HERE, Net
from tests.unit.agents.regions import account, domain, gone, user

LIMIT_S = 90.0
STALLED_S = 1.0
PLAN = Rules(Mode.PLAN)


def means(net: Net) -> Means:
    return Means(net.rig.desk.resources, net.rig.engine, HERE, Topology((FAR, HERE)), net.rig.clock)


async def plan(net: Net) -> PlanRow:
    net.rig.clock.now += 1_000
    return await Planner(means(net)).make()


async def carry_out(net: Net, row: PlanRow) -> Carried:
    """While the worker and the hub do their work."""
    asking = Asking(cast(Publisher, net.rig.kafka), HERE, net.rig.clock)
    ann = By("ann", row.hash, net.rig.clock())
    carrying = asyncio.create_task(Carrier(means(net), asking, STALLED_S).run(row, ann))
    async with asyncio.timeout(LIMIT_S):
        while not carrying.done():
            await net.rest()
            await asyncio.sleep(0.01)
    return await carrying


def named(carried: Carried) -> dict[str, str | None]:
    return {
        step.told["path"].rpartition("|")[2]: step.message for step in (*carried.failed, *carried.left_out)
    }


async def far_says(net: Net, uuid: str, **values: str) -> None:
    change = dict(net.record(uuid).desired() or {}) | values
    await net.rig.give(*net.merge(Observation(FAR, Kind.USER, uuid, change, net.rig.clock() + 1)))


async def test_in_mode_plan_just_the_plan_is_carried_out(net: Net) -> None:
    await net.family()
    await net.rig.restart(PLAN)
    await far_says(net, "ann", email="ann@far")
    row = await plan(net)
    await far_says(net, "bob", email="bob@far")
    carried = await carry_out(net, row)
    assert (carried.done, carried.left_out, carried.failed, carried.waiting) == (1, [], [], 0)
    users = net.rig.region.dump()["users"]
    assert users["ROOT/dom|acc|ann"]["email"] == "ann@far"
    assert users["ROOT/dom|acc|bob"]["email"] == "e", "it is not of the plan"
    assert net.rig.writes() == {"updateUser": 1}
    await far_says(net, "ann", email="ann@farther")
    await net.rest()
    assert net.rig.writes() == {}, "the region is still in mode plan"


async def test_what_changed_since_is_left_out_and_named(net: Net) -> None:
    await net.family()
    await net.rig.restart(PLAN)
    await far_says(net, "ann", email="ann@far")
    await far_says(net, "bob", email="bob@far")
    row = await plan(net)
    await far_says(net, "bob", email="bob@farther")
    carried = await carry_out(net, row)
    assert (carried.done, named(carried)) == (1, {"bob": CHANGED})
    assert net.rig.region.dump()["users"]["ROOT/dom|acc|bob"]["email"] == "e"
    store = PlanStore(net.rig.engine, HERE, net.rig.clock)
    assert {step.told["path"].rpartition("|")[2]: step.state for step in store.steps(row.id)} == {
        "ann": StepState.DONE,
        "bob": StepState.LEFT_OUT,
    }


async def test_what_is_in_something_that_is_left_out_is_left_out_too(net: Net) -> None:
    await net.rig.restart(PLAN)
    for one in (domain(FAR, "dom"), account(FAR, "acc", parent="dom"), user(FAR, "ann"), user(FAR, "bob")):
        await net.rig.give(*net.merge(one))
    await net.rest()
    row = await plan(net)
    await net.rig.give(*net.merge(changed(domain(FAR, "dom"), networkdomain="new.example")))
    await net.rest()
    carried = await carry_out(net, row)
    assert (carried.done, carried.failed, carried.waiting) == (0, [], 0)
    assert {step.entity: step.message for step in carried.left_out} == {
        "dom": CHANGED,
        "acc": PARENT_LEFT_OUT,
        "ann": PARENT_LEFT_OUT,
        "bob": PARENT_LEFT_OUT,
    }
    assert net.rig.writes() == {}


async def test_what_somebody_put_right_meanwhile_is_done(net: Net) -> None:
    await net.family()
    await net.rig.restart(PLAN)
    await far_says(net, "ann", email="ann@far")
    row = await plan(net)
    await net.rig.api("updateUser", id="ann", email="ann@far")
    await net.rig.hear()
    await net.rest()
    carried = await carry_out(net, row)
    assert (carried.left_out, carried.failed, carried.waiting) == ([], [], 0)
    store = PlanStore(net.rig.engine, HERE, net.rig.clock)
    assert [step.state for step in store.steps(row.id)] == [StepState.DONE]


async def test_a_region_with_data_of_its_own_is_filled_and_linked(net: Net) -> None:
    for one in (domain(FAR, "dom"), account(FAR, "acc", parent="dom"), user(FAR, "ann"), user(FAR, "bob")):
        net.merge(one)
    dom = await net.rig.api.domain("dom")
    await net.rig.api.account("acc", dom)
    net.rig.api.events.clear()
    net.far.clear()
    row = await plan(net)
    carried = await carry_out(net, row)
    assert (named(carried), carried.waiting) == ({}, 0)
    assert net.rig.local("dom") == dom
    assert set(net.rig.region.dump()["users"]) >= {"ROOT/dom|acc|ann", "ROOT/dom|acc|bob"}
    net.far_did_all()
    again = await plan(net)
    assert again.equal, PlanStore(net.rig.engine, HERE, net.rig.clock).steps(again.id)


async def test_what_the_region_lost_is_not_taken_for_done_before_it_is(net: Net) -> None:
    await net.family()
    net.lose("User", "bob")
    row = await plan(net)
    asking = Asking(cast(Publisher, net.rig.kafka), HERE, net.rig.clock)
    alone = await Carrier(means(net), asking, 0.5).run(row)
    assert (alone.done, alone.waiting) == (0, 1), "no worker was there"
    assert ActStore(net.rig.engine).acts("plan", [row.id]) == {}, "nobody's"
    carried = await carry_out(net, row)
    [act] = ActStore(net.rig.engine).acts("plan", [row.id])[row.id]
    assert (act.who, act.reason, act.region) == ("ann", row.hash, HERE)
    assert (carried.done, carried.waiting) == (1, 0)
    assert "ROOT/dom|acc|bob" in net.rig.region.dump()["users"]


async def test_a_removal_over_a_limit_is_held_all_the_same(net: Net) -> None:
    await net.family()
    await net.rig.restart(Rules(Mode.PLAN, Limits(Policy.HOLD)))
    await net.rig.give(*net.merge(gone(FAR, Kind.USER, "bob")))
    row = await plan(net)
    carried = await carry_out(net, row)
    assert named(carried) == {"bob": "held: the region's removal policy is hold"}
    assert "ROOT/dom|acc|bob" in net.rig.region.dump()["users"]


async def test_an_unknown_plan_and_an_ambiguous_one(net: Net) -> None:
    await net.family()
    row = await plan(net)
    assert find_plan(net.rig.engine, row.hash[:8]).hash == row.hash
    for digits, words in (("abc", "at least 6"), ("0123456789", "there is no plan")):
        with pytest.raises(PermanentError, match=words):
            find_plan(net.rig.engine, digits)
