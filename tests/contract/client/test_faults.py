"""What a region in trouble looks like to a caller."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.errors import Throttled, Unreachable
from pipeline.cloudstack.eventlog import read_events
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core.entities import Kind
from pipeline.sandbox.launch import SimulatedRegion, now_ms


async def test_a_change_whose_answer_is_lost_was_made(resources: Resources, region: SimulatedRegion) -> None:
    given = str(uuid.uuid4())
    region.faults.drop_after_ratio = 1.0
    with pytest.raises(Unreachable):
        await resources.client.call("createDomain", {"name": "d", "domainid": given})
    region.faults.drop_after_ratio = 0.0
    assert (await resources.read(Kind.DOMAIN, given)).present


@pytest.mark.parametrize("switch", ["error_ratio", "drop_before_ratio"])
async def test_a_change_that_never_arrived_is_temporary(
    resources: Resources, region: SimulatedRegion, switch: str
) -> None:
    given = str(uuid.uuid4())
    setattr(region.faults, switch, 1.0)
    with pytest.raises(Unreachable):
        await resources.client.call("createDomain", {"name": "d", "domainid": given})
    setattr(region.faults, switch, 0.0)
    assert not (await resources.read(Kind.DOMAIN, given)).present


async def test_a_hanging_region(region: SimulatedRegion) -> None:
    own = Credentials(region.service.apikey, region.service.secretkey)
    client = CloudStack(ClientSettings(region.endpoint, own, timeout_s=0.3), clock=now_ms)
    region.faults.hang_ratio = 1.0
    with pytest.raises(Unreachable, match="no answer"):
        await client.call("listUsers", {})
    await client.aclose()


async def test_a_slow_job_is_waited_for(resources: Resources, region: SimulatedRegion) -> None:
    answer = await resources.client.call("createDomain", {"name": "d"})
    region.faults.job_delay_ms = 300.0
    with resources.client.recording() as calls:
        assert await resources.client.call("deleteDomain", {"id": answer["domain"]["id"]}) == {
            "success": True
        }
    assert 2 < len(calls) < 8


async def test_a_region_that_throttles(resources: Resources, region: SimulatedRegion) -> None:
    """Everything gets through in the end, since whoever is refused waits, and all others with it."""
    region.faults.throttle_per_s = 10.0
    refused = 0

    async def patient(number: int) -> None:
        nonlocal refused
        while True:
            try:
                await resources.client.call("createDomain", {"name": f"d{number}"})
            except Throttled as error:
                refused += 1
                assert error.after_s is not None
                await asyncio.sleep(error.after_s)
            else:
                return

    await asyncio.gather(*(patient(number) for number in range(15)))
    assert refused > 0
    assert len([found async for page in resources.domains() for found in page]) == 15


async def test_a_rate_below_the_regions_is_never_refused(region: SimulatedRegion) -> None:
    region.faults.throttle_per_s = 25.0
    own = Credentials(region.service.apikey, region.service.secretkey)
    client = CloudStack(ClientSettings(region.endpoint, own, rate_per_s=24.0), clock=now_ms)
    await asyncio.gather(*(client.call("listUsers", {"listall": "true"}) for _ in range(40)))
    await client.aclose()


async def test_the_event_log_in_order(resources: Resources, region: SimulatedRegion) -> None:
    since = now_ms() - 5_000
    created = []
    for number in range(700):
        answer = await resources.client.call("createDomain", {"name": f"d{number}"})
        created.append(answer["domain"]["id"])
    rows = [row async for row in read_events(resources.client, since)]
    assert [row["resourceid"] for row in rows if row["type"] == "DOMAIN.CREATE"] == created
    assert all(row["resourcetype"] in set(Kind) for row in rows)
    assert [row async for row in read_events(resources.client, now_ms() + 5_000)] == []
