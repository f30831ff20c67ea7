"""A region's worker and a hub are stopped for longer than their sessions, in the middle of their work, and
go on when others have taken it over: Kafka, MariaDB, processes as a user starts them, SIGSTOP and SIGCONT."""

from __future__ import annotations

import signal
import uuid
from pathlib import Path

import pytest

from tests.e2e.counting import counted, counting_goes_on, reached
from tests.services.kafka import Kafka

pytestmark = pytest.mark.services

LATENCY_MS = 100
"""Of each call in the region whose worker is stopped: some are always under way."""


async def test_workers_that_wake_after_their_successors_bring_nothing_back(
    tmp_path: Path, services_cache: Path, database_url: str
) -> None:
    """A Kafka of their own: that of all tests holds what others said."""
    with Kafka(tmp_path / "kafka", services_cache) as kafka:
        await woken_late(tmp_path, kafka.address, database_url)


async def woken_late(folder: Path, kafka: str, database_url: str) -> None:
    first, second = (f"z{uuid.uuid4().hex[:6]}{number}" for number in (1, 2))
    services = {"database": database_url, "kafka": kafka, "partitions": 4, "log_level": "info"}
    successors = {"hub-2": ["worker", "hub"], "worker-2": ["worker", "region", "--region", second]}
    zombies = ("hub", f"worker-{second}")
    async with counted(folder, (first, second), services, successors) as world:
        region, watch, counting = world.regions[1], world.watch, world.counting
        region.faults.latency_ms = LATENCY_MS
        await reached(watch, region, counting, "both workers are at work")
        for name in zombies:
            world.processes.signal(name, signal.SIGSTOP)
        await counting_goes_on(counting)
        await reached(watch, region, counting, "others have taken over")
        for name in zombies:
            world.processes.signal(name, signal.SIGCONT)
        await counting_goes_on(counting)
