"""How long a region's event log keeps its rows, as the region tells it."""

from __future__ import annotations

import pytest

from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.eventlog import read_horizon
from pipeline.sandbox.launch import SimulatedRegion

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("told", "expected"), [("15", 15 * DAY_MS), ("3", 3 * DAY_MS), ("0", None), ("", 15 * DAY_MS)]
)
async def test_as_the_region_tells_it(
    client: CloudStack, region: SimulatedRegion, told: str, expected: int | None
) -> None:
    region.region.configuration["event.purge.delay"]["value"] = told
    assert await read_horizon(client) == expected


async def test_a_region_that_does_not_tell(client: CloudStack, region: SimulatedRegion) -> None:
    del region.region.configuration["event.purge.delay"]
    assert await read_horizon(client) == 15 * DAY_MS
