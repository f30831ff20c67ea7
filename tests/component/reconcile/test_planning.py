"""A plan says what a scan and all that follows from it would do, and nothing is done."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.drift import Drift
from pipeline.core.entities import DISABLED, Kind
from pipeline.core.makeshift import PROBE
from pipeline.core.records import Observation, Topology
from pipeline.outbox import schema
from pipeline.outbox.plans import PlanRow, PlanStore, StepRow
from pipeline.reconcile.planning import Means, Planner
from tests.component.agents.rig import SERVICE
from tests.component.reconcile.net import FAR, HERE, Net
from tests.contract.sandbox.api import PERSON
from tests.unit.agents.regions import account, domain, gone, user
from tests.unit.outbox.builders import rows

UNTOUCHED = (schema.entity, schema.rmap, schema.outbox, schema.applied, schema.conflict)


async def planned(net: Net) -> tuple[PlanRow, list[StepRow]]:
    """The plan; that it changes nothing is looked at each time."""
    net.rig.clock.now += 60_000
    before = [rows(net.rig.engine, table) for table in UNTOUCHED], net.rig.region.dump()
    means = Means(net.rig.desk.resources, net.rig.engine, HERE, Topology((FAR, HERE)), net.rig.clock)
    row = await Planner(means).make()
    assert ([rows(net.rig.engine, table) for table in UNTOUCHED], net.rig.region.dump()) == before
    assert net.rig.kafka.messages == []
    return row, PlanStore(net.rig.engine, HERE, net.rig.clock).steps(row.id)


def counted(row: PlanRow) -> dict[str, int]:
    return {drift.value: count for drift, count in row.counts.items() if count}


def calls(steps: list[StepRow]) -> list[str]:
    return [call for step in steps for call in step.told["calls"]]


def told(steps: list[StepRow]) -> list[tuple[str, str, str]]:
    return [(step.told["path"], step.told["drift"], step.told["note"]) for step in steps]


async def test_equal_regions_cost_the_lists_alone(net: Net) -> None:
    await net.family()
    row, steps = await planned(net)
    assert (counted(row), row.equal, row.calls, steps) == ({"matched": 4}, True, 0, [])
    assert net.rig.region.calls.by_command(SERVICE) == {"listDomains": 1, "listAccounts": 1, "listUsers": 1}


async def test_a_probe_is_no_part_of_a_plan(net: Net) -> None:
    await net.family()
    await net.rig.api.domain(f"{PROBE}0123abcd")
    row, steps = await planned(net)
    assert (counted(row), steps) == ({"matched": 4}, [])


async def test_the_same_plan_has_the_same_hash_and_another_one_another(net: Net) -> None:
    await net.family()
    net.live("User", "bob").email = "new@example.org"
    one, _ = await planned(net)
    same, _ = await planned(net)
    net.live("User", "bob").email = "newer@example.org"
    other, _ = await planned(net)
    assert one.hash == same.hash != other.hash
    assert len(one.hash) == 16


async def test_a_region_that_has_nothing_gets_parents_before_children(net: Net) -> None:
    for one in (domain(FAR, "dom"), domain(FAR, "sub", parent="dom"), account(FAR, "acc", parent="sub")):
        net.merge(one)
    for name in ("ann", "bob"):
        net.merge(user(FAR, name))
    row, steps = await planned(net)
    assert counted(row) == {"missing": 5}
    assert [call.partition("(")[0] for call in calls(steps)] == [
        "createDomain",
        "createDomain",
        "createAccount",
        "createUser",
    ]
    assert calls(steps)[0] == "createDomain(name=dom, parentdomainid=ROOT, domainid=dom)"
    assert "username=ann, userid=ann" in calls(steps)[2]
    assert {path: note for path, _, note in told(steps)}["/dom/sub|acc|ann"] == (
        "on its way; made with its account"
    )
    assert (row.calls, row.seconds) == (4, 1)


async def test_a_change_on_its_way_is_planned_with_both_values(net: Net) -> None:
    await net.family()
    change = dict(net.record("bob").desired() or {}) | {"email": "far@example.org"}

    net.merge(Observation(FAR, Kind.USER, "bob", change, net.rig.clock() + 1))
    row, (step,) = await planned(net)
    assert counted(row) == {"matched": 3, "different": 1}
    assert step.told["differences"] == {"email": ["e", "far@example.org"]}
    assert step.told["calls"] == ["updateUser(id=bob, email=far@example.org)"]
    assert step.told["note"] == "on its way"


async def test_a_change_made_here_goes_elsewhere_and_costs_no_call_here(net: Net) -> None:
    await net.family()
    net.live("User", "ann").state = DISABLED
    row, (step,) = await planned(net)
    assert counted(row) == {"matched": 3, "different": 1}
    assert (step.told["calls"], step.told["elsewhere"], row.equal) == ([], [FAR], False)


async def test_what_the_region_lost_is_made_again_and_what_was_removed_goes_elsewhere(net: Net) -> None:
    await net.family()
    net.lose("User", "ann")
    await net.rig.api("deleteUser", id="bob")
    net.rig.api.events.clear()
    row, steps = await planned(net)
    assert counted(row) == {"matched": 2, "missing": 2}
    by_path = {step.told["path"].rpartition("|")[2]: step.told for step in steps}
    assert by_path["ann"]["calls"][0].startswith("createUser(username=ann")
    assert (by_path["bob"]["calls"], by_path["bob"]["elsewhere"]) == ([], [FAR])
    assert by_path["bob"]["note"] == "removed there"


async def test_removals_come_last_children_first_and_users_go_with_their_account(net: Net) -> None:
    await net.family()
    for kind, uuid in ((Kind.DOMAIN, "dom"), (Kind.ACCOUNT, "acc"), (Kind.USER, "ann"), (Kind.USER, "bob")):
        net.merge(gone(FAR, kind, uuid))
    net.rig.kafka.messages.clear()
    row, steps = await planned(net)
    assert counted(row) == {"extra": 4}
    assert calls(steps) == ["deleteAccount(id=acc)", "deleteDomain(id=dom)"]


async def test_a_stranger_is_taken_in_by_the_others(net: Net) -> None:
    await net.family()
    world = net.world
    world.add_domain("stranger", world.root, net.rig.clock())
    row, (step,) = await planned(net)
    assert counted(row) == {"matched": 4, "extra": 1}
    assert (step.told["path"], step.told["calls"], step.told["elsewhere"]) == ("/stranger", [], [FAR])


async def overlapping(net: Net) -> dict[str, str]:
    """Elsewhere an account with two users; here, under other UUIDs, the account with one of them."""
    for one in (domain(FAR, "dom"), account(FAR, "acc", parent="dom"), user(FAR, "ann"), user(FAR, "bob")):
        net.merge(one)
    api = net.rig.api
    dom = await api.domain("dom")
    acc = await api.account("acc", dom)
    api.events.clear()
    return {"dom": dom, "acc": acc}


async def test_what_has_the_name_of_a_record_is_linked_to_it_and_gives_way(net: Net) -> None:
    local = await overlapping(net)
    row, steps = await planned(net)
    linked = {step.told["path"]: step for step in steps}
    assert linked["/dom"].entity == "dom"
    assert linked["/dom"].local == local["dom"]
    assert "linked by its name" in linked["/dom"].told["note"]
    assert linked["/dom|acc"].entity == "acc"
    ann = linked["/dom|acc|ann"].told
    assert ann["calls"][0].startswith("createUser(username=ann, account=acc, domainid=" + local["dom"])
    # the first user that its account came with is nobody's elsewhere
    assert [step.told["elsewhere"] for step in steps if step.told["drift"] == "extra"] == [[FAR]]
    assert counted(row)["extra"] == 1


@pytest.mark.parametrize("value", ["other.example"])
async def test_the_values_of_what_joins_lose_and_both_are_told(net: Net, value: str) -> None:
    local = await overlapping(net)
    world: Any = net.world
    world.domains[world.by_uuid["Domain"][local["dom"]]].networkdomain = value
    row, steps = await planned(net)
    (step,) = [step for step in steps if step.told["drift"] == Drift.CONFLICT]
    assert step.told["differences"] == {"networkdomain": [value, ""]}
    assert step.told["calls"] == [f"updateDomain(id={local['dom']}, networkdomain=)"]
    assert "networkdomain: '' of r1 wins over 'other.example' of r2" in step.told["note"]
    assert counted(row)["conflict"] == 1


async def test_a_user_whose_name_is_taken_in_the_domain_is_a_conflict(net: Net) -> None:
    for one in (domain(FAR, "dom"), account(FAR, "acc", parent="dom"), user(FAR, "ann")):
        net.merge(one)
    api = net.rig.api
    dom = await api.domain("dom")
    await api.account("other", dom)
    await api("createUser", username="ANN", account="other", domainid=dom, **PERSON)
    api.events.clear()
    _, steps = await planned(net)
    conflicts = {step.told["path"]: step.told["note"] for step in steps if step.told["drift"] == "conflict"}
    assert conflicts == {
        "/dom|acc|ann": "on its way; another one has its name there; made with its account",
        "/dom|other|ANN": "its name is another one's elsewhere",
    }
