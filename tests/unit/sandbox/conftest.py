"""Running simulated regions without a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.contract.sandbox.api import Api


@pytest.fixture
async def region() -> AsyncIterator[SimulatedRegion]:
    async with simulated_regions(1) as regions:
        yield regions[0]


@pytest.fixture
async def api(region: SimulatedRegion) -> Api:
    return Api(region)
