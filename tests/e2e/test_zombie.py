"""A region's worker and a hub are stopped for longer than their sessions, in the middle of their work, and
go on when others have taken it over: Kafka, MariaDB, processes as a user starts them, SIGSTOP and SIGCONT."""

from __future__ import annotations

import asyncio
import signal
import uuid
from pathlib import Path

import pytest

from pipeline.outbox.engine import open_database
from pipeline.sandbox.launch import simulated_regions
from tests.e2e.counting import USERS, Watch, begun, counting_goes_on, reached
from tests.e2e.harness import Processes, parts, people, settled, tree
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


async def woken_late(tmp_path: Path, kafka: str, database_url: str) -> None:
    names = tuple(f"z{uuid.uuid4().hex[:6]}{number}" for number in (1, 2))
    async with simulated_regions(2, names=names) as regions, people(regions) as persons:
        settings = tree(
            regions, database_url, kafka=kafka, partitions=4, web={"port": None}, log_level="info"
        )
        commands = parts(regions)
        commands["hub-2"], commands["worker-2"] = commands["hub"], commands[f"worker-{names[1]}"]
        engine = open_database(database_url)
        processes = Processes(tmp_path, settings, commands)
        zombies = ("hub", f"worker-{names[1]}")
        watch = Watch(regions)
        looking = asyncio.create_task(watch.look())
        try:
            counting = await begun(regions, persons[0])
            regions[1].faults.latency_ms = LATENCY_MS
            stop = asyncio.Event()
            going = asyncio.create_task(counting.go_on(stop))
            await reached(watch, regions[1], counting, "both workers are at work")
            for name in zombies:
                processes.signal(name, signal.SIGSTOP)
            await counting_goes_on(counting)
            await reached(watch, regions[1], counting, "others have taken over")
            for name in zombies:
                processes.signal(name, signal.SIGCONT)
            await counting_goes_on(counting)
            stop.set()
            await going
            await settled(regions, engine)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            looking.cancel()
            codes = processes.stop()
            engine.dispose()
    assert watch.fell == []
    assert [watch.counts(region) for region in regions] == [[counting.round] * USERS] * 2
    assert set(codes.values()) == {0}, "and the watchdogs left them alone"
