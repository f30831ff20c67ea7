"""One simulated region, and the sync's own way into it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.sandbox.launch import SimulatedRegion, now_ms, simulated_regions


@pytest.fixture
async def region() -> AsyncIterator[SimulatedRegion]:
    async with simulated_regions(1) as regions:
        yield regions[0]


@pytest.fixture
async def client(region: SimulatedRegion) -> AsyncIterator[CloudStack]:
    service = region.service
    settings = ClientSettings(region.endpoint, Credentials(service.apikey, service.secretkey))
    client = CloudStack(settings, clock=now_ms)
    yield client
    await client.aclose()


@pytest.fixture
async def resources(client: CloudStack) -> Resources:
    resources = Resources(client)
    await resources.start()
    return resources
