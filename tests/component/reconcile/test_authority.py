"""A region that says what it may not say: it is put right, nobody else hears of it, and the ledger says why.
All of it over a simulated region, its worker, its scans and its plans."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.agents.merge import Merger
from pipeline.core.authority import ROOT_ADMINISTRATORS
from pipeline.core.drift import Drift
from pipeline.core.entities import ROOT, ROOT_ADMIN_ROLE, Kind
from pipeline.core.records import Observation, Source, Sources, Topology
from pipeline.outbox import schema
from pipeline.outbox.plans import PlanStore
from pipeline.reconcile.carrying import Carrier
from pipeline.reconcile.planning import Means, Planner
from tests.component.agents.rig import SERVICE
from tests.component.reconcile.net import FAR, HERE, Net
from tests.contract.sandbox.api import PERSON
from tests.unit.agents.regions import account, domain, user
from tests.unit.outbox.builders import row, rows

MIRROR: Sources = ()
OWN: Sources = (Source(("own",)),)


def limit(net: Net, sources: Sources) -> None:
    net.rig.merger = Merger(net.rig.hub, topology(sources))


def topology(sources: Sources) -> Topology:
    return Topology((FAR, HERE), sources={HERE: sources})


async def heard(net: Net) -> None:
    """What the region said on its bus, and all that follows."""
    await net.rig.hear()
    await net.rest()


def ledger(net: Net) -> list[tuple[str, str, str, str | None]]:
    """(entity, field, what is not taken, why)."""
    return [
        (one["entity"], one["field"], one["lost"], one["reason"])
        for one in rows(net.rig.engine, schema.conflict)
    ]


def role(net: Net, name: str) -> str:
    return next(str(one.uuid) for one in net.world.roles.values() if one.name == name)


async def calls(net: Net, command: str, **params: Any) -> Any:
    answer = await net.rig.api(command, **params)
    assert answer.status == 200, answer
    return answer.body


NOT_ITS = "r2 is not a source for /dom"


async def test_a_change_is_taken_back_there_and_is_told_to_nobody(net: Net) -> None:
    await net.family()
    before = net.rig.region.dump()
    limit(net, MIRROR)
    for _ in range(2):
        await calls(net, "updateUser", id="ann", email="evil@example.org", firstname="Mallory")
        await heard(net)
        assert net.rig.region.dump() == before
    assert net.far == []
    assert ledger(net) == [
        ("ann", "email", "evil@example.org", NOT_ITS),
        ("ann", "firstname", "Mallory", NOT_ITS),
    ], "once for each value, however often it is said"


async def test_what_is_disabled_there_is_enabled_again(net: Net) -> None:
    await net.family()
    limit(net, MIRROR)
    await net.rig.api.job("disableAccount", id="acc", lock="false")
    await heard(net)
    assert await net.rig.state(Kind.ACCOUNT, "acc") == "enabled"
    assert (net.far, [one[:3] for one in ledger(net)]) == ([], [("acc", "state", "disabled")])


async def test_a_domain_removed_with_all_below_it_is_made_again(net: Net) -> None:
    """No region takes a used UUID back: they are the same entities under others."""
    await net.family()
    before = net.rig.region.dump()
    limit(net, MIRROR)
    for _ in range(2):
        await net.rig.api.job("deleteDomain", id=net.rig.local("dom"), cleanup="true")
        assert net.rig.region.dump()["users"] == {}
        await heard(net)
        await net.heal()
        after = net.rig.region.dump()
        assert {kind: set(after[kind]) for kind in after} == {kind: set(before[kind]) for kind in before}
    assert net.far == []
    assert all(net.record(uuid).life.present for uuid in ("dom", "acc", "ann", "bob"))
    assert {net.rig.local(uuid) for uuid in ("dom", "acc", "ann", "bob")}.isdisjoint(
        {"dom", "acc", "ann", "bob"}
    )
    assert {one[:3] for one in ledger(net)} == {
        (uuid, "life", "removed") for uuid in ("dom", "acc", "ann", "bob")
    }
    assert len(ledger(net)) == 4
    await heard(net)
    assert net.rig.writes() == {} or net.rig.region.dump() == after


async def test_what_it_makes_stays_there_alone_and_is_told_of_once(net: Net) -> None:
    await net.family()
    limit(net, OWN)
    made = await net.rig.api.domain("theirs")
    acc, _ = await net.rig.api.account("mallory", made)
    await heard(net)
    for _ in range(3):
        await net.heal()
    assert net.far == []
    assert net.rig.hub.load([made, acc]) == {}
    assert net.names("domains") == {"dom", "theirs"}
    lines = ledger(net)
    assert {(one[0], one[1], one[2]) for one in lines} >= {
        (made, "life", "present"),
        (acc, "life", "present"),
    }
    assert len(lines) == 3, "the domain, the account, its user"
    assert lines[0][3] == "r2 is not a source for /theirs (Domain theirs)"


async def test_its_own_is_taken_from_it(net: Net) -> None:
    await net.family()
    limit(net, OWN)
    own = await net.rig.api.domain("own")
    await heard(net)
    acc, _ = await net.rig.api.account("bea", own)
    await heard(net)
    assert {one.uuid for one in net.far} >= {own, acc}
    assert ledger(net) == []


@pytest.mark.parametrize("into", ["own", "dom"])
async def test_what_is_moved_in_or_out_is_moved_back(net: Net, into: str) -> None:
    await net.family()
    await net.rig.give(*net.merge(domain(FAR, "own")))
    await net.rig.give(*net.merge(domain(FAR, "sub", parent="dom" if into == "own" else "own")))
    net.merge(*net.rig.observed())
    net.far.clear()
    before = net.rig.region.dump()
    limit(net, OWN)
    await calls(net, "moveDomain", domainid="sub", parentdomainid=into)
    assert net.rig.region.dump() != before
    await heard(net)
    assert (net.rig.region.dump(), net.far) == (before, [])
    (line,) = ledger(net)
    assert (line[0], line[1]) == ("sub", "parent")


async def test_an_account_made_a_root_administrator_is_one_no_more_and_nowhere(net: Net) -> None:
    """In a region that may say everything: its own administrator did it."""
    await net.rig.give(*net.merge(account(FAR, "acc", founder="ann"), user(FAR, "ann")))
    await net.rest()
    net.far_did_all()
    await calls(net, "updateAccount", id="acc", roleid=role(net, ROOT_ADMIN_ROLE))
    await heard(net)
    (held,) = (one for one in net.rig.region.dump()["accounts"].values())
    assert held["role"] == "User"
    assert net.far == []
    assert ledger(net) == [("acc", "role", ROOT_ADMIN_ROLE, ROOT_ADMINISTRATORS)]


async def test_a_root_administrator_by_a_role_of_another_name_is_found_by_a_scan(net: Net) -> None:
    await net.rig.give(*net.merge(account(FAR, "acc", founder="ann"), user(FAR, "ann")))
    await net.rest()
    net.far_did_all()
    made = await calls(net, "createRole", name="Operators", type="Admin")
    await calls(net, "updateAccount", id="acc", roleid=made["role"]["id"])
    net.rig.api.events.clear()
    await net.heal()
    (held,) = (one for one in net.rig.region.dump()["accounts"].values())
    assert (held["role"], net.far) == ("User", [])
    assert [one[1:] for one in ledger(net)] == [("role", "Operators", ROOT_ADMINISTRATORS)]


async def test_a_new_root_administrator_is_its_region_s_own_business(net: Net) -> None:
    await net.family()
    root = net.rig.desk.resources.root
    acc, ann = await net.rig.api.account("ops", root, accounttype=1)
    await calls(
        net, "createUser", username="ops2", account="ops", domainid=net.rig.desk.resources.root, **PERSON
    )
    await calls(net, "updateUser", id=ann, email="ops@example.org")
    await heard(net)
    await net.heal()
    await net.rig.api.job("deleteAccount", id=acc)
    await heard(net)
    assert (net.far, ledger(net), net.rig.hub.load([acc, ann])) == ([], [], {})
    assert net.names("accounts") == {"acc"}


async def test_what_is_done_to_the_sync_s_own_user_is_told_to_nobody(net: Net) -> None:
    await net.family()
    resources = net.rig.desk.resources
    before = len(rows(net.rig.engine, schema.entity))
    await calls(net, "updateUser", id=resources.own_user, email="new@example.org")
    await calls(net, "createUser", username="second", account=SERVICE, domainid=resources.root, **PERSON)
    await heard(net)
    await net.heal()
    assert (net.far, ledger(net), len(rows(net.rig.engine, schema.entity))) == ([], [], before)


@pytest.mark.parametrize("name", [ROOT_ADMIN_ROLE, "Operators"])
async def test_no_word_from_elsewhere_makes_a_root_administrator(net: Net, name: str) -> None:
    """A role of that name may be a user's in the region that says so."""
    if name == "Operators":
        await calls(net, "createRole", name=name, type="Admin")
        await net.rig.desk.resources.start()
    seen = account(FAR, "acc", founder="ann")
    promoted = Observation(FAR, Kind.ACCOUNT, "acc", {**(seen.fields or {}), "role": name}, seen.time)
    if name == ROOT_ADMIN_ROLE:
        assert net.merge(promoted) == [], "one that nobody knows is not even taken"
        return
    (wanted,) = net.merge(promoted)
    await net.rig.give(wanted)
    failed = row(net.rig.engine, schema.outbox, entity="acc", region=HERE)
    assert failed["state"] == "dead"
    assert "no region's word gives it" in failed["message"]
    assert net.rig.region.dump()["accounts"] == {}


async def test_a_root_administrator_is_never_removed_from_elsewhere(net: Net) -> None:
    await net.rig.give(*net.merge(account(FAR, "acc", founder="ann"), user(FAR, "ann")))
    await net.rest()
    await calls(net, "updateAccount", id="acc", roleid=role(net, ROOT_ADMIN_ROLE))
    net.rig.api.events.clear()  # nobody has heard of it
    (of_account,) = net.merge(Observation(FAR, Kind.ACCOUNT, "acc", None, net.rig.clock()))
    (of_user,) = net.merge(Observation(FAR, Kind.USER, "ann", None, net.rig.clock()))
    await net.rig.give(of_account, of_user)
    failed = net.rig.outbox(of_account)
    assert (failed["state"], failed["message"]) == ("dead", "Account acc is never touched")
    assert (net.names("accounts"), net.names("users")) == ({"acc"}, {"ann"})


async def plan(net: Net, sources: Sources) -> tuple[Means, Any]:
    means = Means(net.rig.desk.resources, net.rig.engine, HERE, topology(sources), net.rig.clock)
    return means, await Planner(means).make()


async def test_a_plan_obeys_and_says_why(net: Net) -> None:
    await net.family()
    made = await net.rig.api.domain("theirs")
    await calls(net, "updateUser", id="ann", email="evil@example.org")
    await calls(net, "deleteUser", id="bob")
    net.rig.api.events.clear()
    net.rig.clock.now += 60_000
    means, row_ = await plan(net, MIRROR)
    steps = {one.entity: one for one in PlanStore(net.rig.engine, HERE, net.rig.clock).steps(row_.id)}
    assert set(steps) == {made, "ann", "bob"}
    assert {one.told["drift"] for one in steps.values()} == {Drift.CONFLICT}
    assert {tuple(one.told["elsewhere"]) for one in steps.values()} == {()}
    assert steps[made].told["calls"] == []
    assert "r2 is not a source for /theirs" in steps[made].told["note"]
    assert "email stays 'e', not 'evil@example.org'" in steps["ann"].told["note"]
    assert [call.partition("(")[0] for call in steps["ann"].told["calls"]] == ["updateUser"]
    assert [call.partition("(")[0] for call in steps["bob"].told["calls"]] == ["createUser"]
    assert "it stays present" in steps["bob"].told["note"]

    limit(net, MIRROR)
    carrier = Carrier(means, net.scanner()._asking, stalled_s=0.0)
    carried = await carrier.run(row_)
    assert [one.entity for one in carried.left_out] == [made]
    await net.rest()
    assert net.names("users") == {"ann", "bob"}
    assert net.far == []


async def test_a_region_that_joins_as_a_mirror_takes_and_gives_nothing(net: Net) -> None:
    """Its own domain of the same name is one with the others', and gets their values."""
    own = await net.rig.api.domain("dom", networkdomain="own.example")
    acc, _ = await net.rig.api.account("local", own)
    net.rig.api.events.clear()
    net.while_away(domain(FAR, "dom"), account(FAR, "acc", parent="dom", founder="ann"), user(FAR, "ann"))
    limit(net, MIRROR)
    for _ in range(2):
        await net.heal()
    assert net.far == []
    assert net.rig.region.dump()["domains"] == {"ROOT/dom": {"networkdomain": ""}}
    assert net.names("accounts") == {"acc", "local"}
    assert net.rig.hub.load([acc]) == {}
    assert net.rig.local("dom") == own
    assert ROOT not in {one[0] for one in ledger(net)}
