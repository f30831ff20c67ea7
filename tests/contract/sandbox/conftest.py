"""One simulated region without a broker, and a caller with its root administrator's keys."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pipeline.sandbox.launch import simulated_regions
from tests.contract.sandbox.api import Api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with simulated_regions(1) as regions:
        yield Api(regions[0])
