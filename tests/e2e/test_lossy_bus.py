"""RabbitMQ, Kafka and MariaDB between three simulated regions whose buses lose a third of their events, and
all of them for a while: the regions end equal, also when a region's worker is killed in the middle."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from pipeline.outbox.engine import open_database
from pipeline.outbox.gaps import gaps
from pipeline.sandbox.launch import simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from tests.e2e.harness import SYNC, Processes, parts, settled, tree, until

START_LIMIT_S = 180.0
LOST = 0.3
GAP_FILL = {"gap_fill_interval_s": 0.5, "gap_fill_grace_s": 4}
"""Nothing is late here by more than the processes' own start."""

pytestmark = pytest.mark.services


async def test_what_the_buses_lose_arrives(
    amqp_url: str, kafka_bootstrap: str, database_url: str, tmp_path: Path
) -> None:
    tag = f"g{uuid.uuid4().hex[:6]}"
    names = tuple(f"{tag}{number}" for number in (1, 2, 3))
    engine = open_database(database_url)
    async with simulated_regions(3, amqp_url, names=names) as regions:
        configured = tree(regions, database_url, amqp_url, kafka=kafka_bootstrap, partitions=4)
        for one in configured["regions"]:
            one["bus"].update(GAP_FILL)
        processes = Processes(tmp_path, configured, parts(regions))
        traffic = Traffic(regions, 5, TrafficOptions(silent=False))
        try:
            await until(
                lambda: all(region.calls.reads(SYNC) for region in regions),
                "the workers start",
                START_LIMIT_S,
            )
            for region in regions:
                region.faults.lost_ratio = LOST
            await traffic.run(40)
            regions[0].faults.lost_ratio = 1.0
            await traffic.run(30)
            processes.kill(f"worker-{names[0]}")
            await traffic.run(30)
            processes.start(f"worker-{names[0]}")
            regions[0].faults.lost_ratio = LOST
            await traffic.run(20)
            states = await settled(regions, engine)
            await until(lambda: set(gaps(engine)) == set(names), "a loss found in each region", START_LIMIT_S)
            kept = await asyncio.to_thread(gaps, engine)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
            engine.dispose()
    assert all(row.filled > 3 for row in kept.values()), kept
    assert all(row.scan_needed_since is None for row in kept.values())
    assert states["delivered"] > 60
    assert set(codes.values()) == {0}
