"""What a region's event log tells of one entity: when somebody changed it, and what of ours they removed."""

from __future__ import annotations

from pipeline.cloudstack.eventlog import History
from pipeline.cloudstack.resources import Resources
from pipeline.core.entities import Kind
from pipeline.sandbox.launch import SimulatedRegion
from tests.contract.sandbox.api import Api


def second_of(region: SimulatedRegion) -> int:
    """When the newest event was raised, as exactly as the log tells."""
    return region.region.log.rows[-1].created_ms // 1000 * 1000


async def test_when_somebody_changed_it(resources: Resources, region: SimulatedRegion) -> None:
    person = Api(region)
    made = await person.domain("Sales")
    assert (await resources.history(Kind.DOMAIN, made)).changed_at == second_of(region)
    region.region.log.rows[-1].created_ms -= 60_000
    await person("updateDomain", id=made, name="Trade")
    assert (await resources.history(Kind.DOMAIN, made)).changed_at == second_of(region)


async def test_what_we_did_ourselves_is_nobodys_change(resources: Resources, region: SimulatedRegion) -> None:
    made = (await resources.client.call("createDomain", {"name": "Sales"}))["domain"]["id"]
    assert (await resources.history(Kind.DOMAIN, made)).changed_at is None
    assert (await resources.history(Kind.DOMAIN, "never-heard-of")).changed_at is None


async def test_a_refused_change_is_none(resources: Resources, region: SimulatedRegion) -> None:
    person = Api(region)
    made = (await resources.client.call("createDomain", {"name": "Sales"}))["domain"]["id"]
    await person.domain("Trade")
    refused = await person("updateDomain", id=made, name="Trade")
    assert refused.status == 431
    assert (await resources.history(Kind.DOMAIN, made)).changed_at is None


async def test_what_we_made_and_somebody_removed(resources: Resources, region: SimulatedRegion) -> None:
    person = Api(region)
    ours = (await resources.client.call("createDomain", {"name": "ours"}))["domain"]["id"]
    theirs = await person.domain("theirs")
    assert await resources.history(Kind.DOMAIN, ours) == History(made_by_us=True)
    for one in (ours, theirs):
        assert (await person.job("deleteDomain", id=one))["jobstatus"] == 1
    removed_at = second_of(region)
    assert await resources.history(Kind.DOMAIN, ours) == History(removed_at, True, removed_at)
    assert await resources.history(Kind.DOMAIN, theirs) == History(removed_at, False, removed_at)


async def test_what_we_made_and_removed_ourselves(resources: Resources, region: SimulatedRegion) -> None:
    ours = (await resources.client.call("createDomain", {"name": "ours"}))["domain"]["id"]
    await resources.client.call("deleteDomain", {"id": ours})
    assert await resources.history(Kind.DOMAIN, ours) == History(made_by_us=True)
