"""What a region's event log tells of one entity: when somebody changed it, and what of ours they removed."""

from __future__ import annotations

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
    assert await resources.changed_at(Kind.DOMAIN, made) == second_of(region)
    region.region.log.rows[-1].created_ms -= 60_000
    await person("updateDomain", id=made, name="Trade")
    assert await resources.changed_at(Kind.DOMAIN, made) == second_of(region)


async def test_what_we_did_ourselves_is_nobodys_change(resources: Resources, region: SimulatedRegion) -> None:
    made = (await resources.client.call("createDomain", {"name": "Sales"}))["domain"]["id"]
    assert await resources.changed_at(Kind.DOMAIN, made) is None
    assert await resources.changed_at(Kind.DOMAIN, "never-heard-of") is None


async def test_a_refused_change_is_none(resources: Resources, region: SimulatedRegion) -> None:
    person = Api(region)
    made = (await resources.client.call("createDomain", {"name": "Sales"}))["domain"]["id"]
    await person.domain("Trade")
    refused = await person("updateDomain", id=made, name="Trade")
    assert refused.status == 431
    assert await resources.changed_at(Kind.DOMAIN, made) is None


async def test_what_we_made_and_somebody_removed(resources: Resources, region: SimulatedRegion) -> None:
    person = Api(region)
    ours = (await resources.client.call("createDomain", {"name": "ours"}))["domain"]["id"]
    theirs = await person.domain("theirs")
    assert await resources.undone_at(Kind.DOMAIN, ours) is None
    for one in (ours, theirs):
        assert (await person.job("deleteDomain", id=one))["jobstatus"] == 1
    assert await resources.undone_at(Kind.DOMAIN, ours) == second_of(region)
    assert await resources.undone_at(Kind.DOMAIN, theirs) is None


async def test_what_we_made_and_removed_ourselves(resources: Resources, region: SimulatedRegion) -> None:
    ours = (await resources.client.call("createDomain", {"name": "ours"}))["domain"]["id"]
    await resources.client.call("deleteDomain", {"id": ours})
    assert await resources.undone_at(Kind.DOMAIN, ours) is None
