"""A scan and verify with limits: what no event told, what is new, and what not all regions tell of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core.compare import Outcome
from pipeline.core.entities import Kind
from pipeline.core.limits import ACCOUNT_LIMITS
from pipeline.core.records import Observation
from pipeline.outbox.schema import conflict
from pipeline.reconcile.verify import verify
from pipeline.sandbox.launch import now_ms, simulated_regions
from tests.component.agents.rig import SERVICE
from tests.component.agents.test_limits import DEFAULTS, OPEN, VM, tell_limits
from tests.component.reconcile.net import FAMILY, Net
from tests.contract.sandbox.api import Api
from tests.unit.outbox.builders import rows


def with_limits(seen: Observation, **told: str) -> Observation:
    limits = {Kind.DOMAIN: OPEN, Kind.ACCOUNT: DEFAULTS}.get(seen.kind, {})
    return replace(seen, fields={**(seen.fields or {}), **limits, **told})


@pytest.fixture
async def limited(net: Net) -> AsyncIterator[Net]:
    """The family in both regions, which tell of limits."""
    await tell_limits(net.rig)
    for one in FAMILY:
        await net.rig.give(*net.merge(with_limits(one) if one.kind is not Kind.USER else one))
        net.merge(*net.rig.observed())
    net.far_did_all()
    net.rig.api.events.clear()
    net.rig.kafka.messages.clear()
    net.rig.region.calls.clear()
    yield net


async def test_equal_limits_cost_the_lists_alone(limited: Net) -> None:
    row = await limited.scan()
    assert (row.calls, row.counts[Outcome.EQUAL], row.counts[Outcome.DIFFERENT]) == (3, 4, 0)
    assert limited.rig.region.calls.reads(SERVICE) == 3


async def test_a_limit_whose_event_was_lost_is_found_with_its_time(limited: Net) -> None:
    answer = await limited.rig.api(
        "updateResourceLimit", domainid="dom", account="acc", resourcetype=0, max=9
    )
    assert answer.status == 200
    limited.rig.api.events.clear()  # the bus was away
    when = limited.rig.region.region.log.rows[-1].created_ms // 1000 * 1000
    await limited.heal()
    found = limited.record("acc").fields[VM]
    assert (found.text, found.stamp.time) == ("9", when)
    assert [(one.uuid, (one.fields or {})[VM]) for one in limited.far] == [("acc", "9")]
    assert (await limited.scan()).counts[Outcome.DIFFERENT] == 0


async def test_where_limits_are_switched_on_the_first_scan_learns_them_and_theirs_give_way(net: Net) -> None:
    await net.family()
    net.live("Account", "acc").limits[0] = 50
    net.live("Account", "acc").limits[8] = 4
    seen = with_limits(FAMILY[1], **{VM: "7", "limit_cpu": "4"})
    net.merge(replace(seen, time=net.rig.clock()))
    await tell_limits(net.rig)
    row = await net.heal()
    assert row.counts[Outcome.DIFFERENT] == 2, "the domain and the account"
    assert net.live("Account", "acc").limits == {0: 7, 8: 4}
    assert [(one["field"], one["kept"], one["lost"]) for one in rows(net.rig.engine, conflict)] == [
        (VM, "7", "50")
    ]
    assert (await net.scan()).counts[Outcome.DIFFERENT] == 0


async def test_regions_are_compared_by_the_limits_that_all_tell_of() -> None:
    async with simulated_regions(2) as simulated:
        clients, regions = [], {}
        for one in simulated:
            keys = Credentials(one.service.apikey, one.service.secretkey)
            clients.append(CloudStack(ClientSettings(one.endpoint, keys), clock=now_ms))
            regions[one.name] = Resources(clients[-1], limits=True)
            await regions[one.name].start()
        older: Any = simulated[1].region.world
        older.unknown_limits = frozenset({14, 15, 16})
        apis = [Api(one) for one in simulated]
        domains = [await api.domain("d") for api in apis]
        for api, domain in zip(apis, domains, strict=True):
            await api.account("acme", domain)
        for kind in (14, 16):
            await apis[0](
                "updateResourceLimit", domainid=domains[0], account="acme", resourcetype=kind, max=1
            )
        assert (await verify(regions)).equal, "which the other region has no word for"
        await apis[1]("updateResourceLimit", domainid=domains[1], account="acme", resourcetype=0, max=9)
        (difference,) = (await verify(regions)).differences
        held = {name: fields or {} for name, fields in difference.held.items()}
        assert {name: fields[VM] for name, fields in held.items()} == {"r1": "20", "r2": "9"}
        assert all(len(fields.keys() & set(ACCOUNT_LIMITS)) == 14 for fields in held.values())
        for client in clients:
            await client.aclose()
