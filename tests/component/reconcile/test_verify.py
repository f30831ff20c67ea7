"""Two regions read into digests: equal where they are, told side by side where not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core.entities import Kind
from pipeline.core.makeshift import PROBE
from pipeline.reconcile.verify import SHOWN, verify
from pipeline.sandbox.launch import now_ms, simulated_regions
from tests.contract.sandbox.api import PERSON, Api


@dataclass
class Pair:
    apis: list[Api]
    regions: dict[str, Resources]

    def world(self, number: int) -> Any:
        return self.apis[number].region.region.world


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """The same in both, under UUIDs of each region's own and made in another order."""
    async with simulated_regions(2) as simulated:
        regions = {}
        clients = []
        for one in simulated:
            keys = Credentials(one.service.apikey, one.service.secretkey)
            clients.append(CloudStack(ClientSettings(one.endpoint, keys), clock=now_ms))
            regions[one.name] = Resources(clients[-1], roles=True)
            await regions[one.name].start()
        apis = [Api(one) for one in simulated]
        for api, names in zip(apis, (("a", "b"), ("b", "a")), strict=True):
            for name in names:
                above = await api.domain(name)
                below = await api.domain("below", parentdomainid=above)
                await api.account("acme", below)
                await api("createUser", username="jo", account="acme", domainid=below, **PERSON)
        yield Pair(apis, regions)
        for client in clients:
            await client.aclose()


async def test_equal_regions_have_equal_roots_and_are_read_once(pair: Pair) -> None:
    verdict = await verify(pair.regions)
    assert (verdict.equal, verdict.differing, verdict.differences, verdict.subtrees) == (True, 0, (), ())
    for held in verdict.holdings.values():
        assert held.counts == {Kind.DOMAIN: 4, Kind.ACCOUNT: 2, Kind.USER: 4}
    for api in pair.apis:
        assert api.region.calls.by_command("svc-sync")["listUsers"] == 1


async def test_custom_roles_are_compared_with_their_rules(pair: Pair) -> None:
    for api in pair.apis:
        made = (await api("createRole", name="ops", type="User")).body["role"]["id"]
        for rule in ("list*", "*"):
            await api("createRolePermission", roleid=made, rule=rule, permission="allow")
    verdict = await verify(pair.regions)
    assert (verdict.equal, verdict.holdings["r1"].counts[Kind.ROLE]) == (True, 1)
    (changed,) = [one for one in pair.world(0).roles.values() if one.name == "ops"]
    changed.permissions.reverse()
    verdict = await verify(pair.regions)
    (one,) = verdict.differences
    assert (one.kind, one.path) == (Kind.ROLE, "|ops")
    rules = {name: (fields or {})["rules"] for name, fields in one.held.items()}
    assert rules == {"r1": "allow *\nallow list*", "r2": "allow list*\nallow *"}


async def test_a_probe_makes_no_difference(pair: Pair) -> None:
    await pair.apis[0].domain(f"{PROBE}0123abcd")
    verdict = await verify(pair.regions)
    assert (verdict.equal, verdict.holdings["r1"].counts[Kind.DOMAIN]) == (True, 4)


async def test_a_field_that_differs(pair: Pair) -> None:
    first, _ = pair.world(0).find_users("jo")
    first.email = "other@example.org"
    verdict = await verify(pair.regions)
    assert (verdict.equal, verdict.differing) == (False, 1)
    (one,) = verdict.differences
    assert (one.kind, one.path) == (Kind.USER, "/a/below|acme|jo")
    assert {name: (fields or {})["email"] for name, fields in one.held.items()} == {
        "r1": "other@example.org",
        "r2": "a@b.c",
    }
    assert verdict.subtrees == ("/a", "/a/below")


async def test_case_differs(pair: Pair) -> None:
    world = pair.world(1)
    world.rename_domain(world.root.children["b"], "B")
    verdict = await verify(pair.regions)
    assert [(one.kind, one.path.casefold()) for one in verdict.differences] == [(Kind.DOMAIN, "/b")]


async def test_what_is_missing_in_one_with_all_below(pair: Pair) -> None:
    world = pair.world(1)
    world.remove_domain(world.root.children["b"])
    verdict = await verify(pair.regions)
    assert verdict.differing == 5
    assert {(one.path, one.held["r2"]) for one in verdict.differences} == {
        (path, None) for path in ("/b", "/b/below", "/b/below|acme", "/b/below|acme|acme", "/b/below|acme|jo")
    }


async def test_a_moved_entity_differs_in_both_places(pair: Pair) -> None:
    world = pair.world(0)
    world.move_domain(world.root.children["a"].children["below"], world.root)
    verdict = await verify(pair.regions)
    assert {one.path for one in verdict.differences} >= {"/below", "/a/below"}


async def test_only_so_many_are_told_in_full(pair: Pair) -> None:
    world = pair.world(0)
    for number in range(SHOWN + 5):
        world.add_domain(f"more{number}", world.root, 2)
    verdict = await verify(pair.regions)
    assert (verdict.differing, len(verdict.differences)) == (SHOWN + 5, SHOWN)


async def test_what_was_on_its_way_is_looked_at_again(pair: Pair) -> None:
    first, _ = pair.world(0).find_users("jo")
    first.email = "other@example.org"
    users = pair.regions["r1"].users

    async def then_arrives() -> AsyncIterator[list[Any]]:
        async for page in users():
            yield page
        first.email = "a@b.c"

    pair.regions["r1"].users = then_arrives  # type: ignore[method-assign]
    verdict = await verify(pair.regions)
    assert (verdict.equal, verdict.differing, verdict.differences) == (True, 0, ())
