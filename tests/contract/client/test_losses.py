"""What the removal of an account, or of all below a domain, would take along: asked as a real region is."""

from __future__ import annotations

import pytest

from pipeline.cloudstack.losses import read_losses
from pipeline.cloudstack.resources import Resources
from pipeline.core.entities import ROOT, Kind, Snapshot
from pipeline.core.removal import Losses
from pipeline.sandbox.launch import SimulatedRegion
from tests.contract.client.test_resources import _account, _domain, _user


@pytest.fixture
async def acme(resources: Resources) -> Snapshot:
    return await _account(resources, "acme", (await _domain(resources, "d")).uuid)


async def test_what_owns_nothing_loses_nothing(resources: Resources, acme: Snapshot) -> None:
    assert await read_losses(resources, acme) == Losses()
    inner = await resources.client.call(
        "listVirtualMachines", {"listall": "true", "page": "1", "pagesize": "1"}
    )
    assert inner == {}, "as CloudStack 4.22 says nothing"


async def test_each_kind_is_counted_by_one_call_and_one_row(
    resources: Resources, acme: Snapshot, region: SimulatedRegion
) -> None:
    region.give(acme.uuid, vms=400, volumes=401, networks=2)
    await resources.client.call("createProject", {"name": "p", "account": "acme", "domainid": _parent(acme)})
    with resources.client.recording() as calls:
        assert await read_losses(resources, acme) == Losses(400, 401, 2, 1)
    commands = {"listVirtualMachines", "listVolumes", "listNetworks", "listProjects"}
    assert (len(calls), {call.command for call in calls}) == (4, commands)


async def test_only_the_account_s_own_counts(
    resources: Resources, acme: Snapshot, region: SimulatedRegion
) -> None:
    other = await _account(resources, "other", _parent(acme))
    namesake = await _account(resources, "acme", (await _domain(resources, "e")).uuid, username="acme2")
    region.give(other.uuid, vms=1)
    region.give(namesake.uuid, vms=2)
    assert await read_losses(resources, acme) == Losses()
    assert await read_losses(resources, namesake) == Losses(vms=2)


async def test_an_account_in_the_root_domain(resources: Resources, region: SimulatedRegion) -> None:
    top = await _account(resources, "top", resources.root)
    assert _parent(top) == ROOT
    region.give(top.uuid, networks=1)
    assert await read_losses(resources, top) == Losses(networks=1)


async def test_a_domain_s_losses_are_those_of_all_accounts_below(
    resources: Resources, acme: Snapshot, region: SimulatedRegion
) -> None:
    inner = await _domain(resources, "inner", _parent(acme))
    deep = await _account(resources, "deep", inner.uuid)
    outside = await _account(resources, "outside", (await _domain(resources, "x")).uuid)
    for one, count in ((acme, 1), (deep, 2), (outside, 4)):
        region.give(one.uuid, vms=count)
    outer = await resources.read(Kind.DOMAIN, _parent(acme))
    assert await read_losses(resources, outer) == Losses(vms=3)
    assert await read_losses(resources, inner) == Losses(vms=2)


async def test_a_user_loses_nothing_and_is_not_asked_about(resources: Resources, acme: Snapshot) -> None:
    user = await _user(resources, "second", acme)
    with resources.client.recording() as calls:
        assert await read_losses(resources, user) == Losses()
    assert calls == []


async def test_machines_go_with_their_account(
    resources: Resources, acme: Snapshot, region: SimulatedRegion
) -> None:
    region.give(acme.uuid, vms=3)
    rows, count = await resources.client.page(
        "listVirtualMachines", {"listall": "true"}, "virtualmachine", (2, 2)
    )
    assert ([row["account"] for row in rows], count) == (["acme"], 3)
    await resources.client.call("deleteAccount", {"id": acme.uuid})
    assert await resources.client.call("listVirtualMachines", {"listall": "true"}) == {}


def _parent(found: Snapshot) -> str:
    return str((found.fields or {})["parent"])
