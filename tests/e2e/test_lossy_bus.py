"""RabbitMQ, Kafka and MariaDB between three simulated regions whose buses lose a third of their events, and
all of them for a while: the regions end equal, also when a region's worker is killed in the middle."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline.outbox.engine import open_database
from pipeline.outbox.gaps import gaps
from pipeline.sandbox.dump import protected
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from tests.e2e.harness import SYNC, Processes, parts, region_sync, settled, tree, until

START_LIMIT_S = 180.0
LOST = 0.3
GAP_FILL = {"gap_fill_interval_s": 0.5, "gap_fill_grace_s": 4}
"""Nothing is late here by more than the processes' own start."""

pytestmark = pytest.mark.services


async def scanned_planned_and_proven(
    folder: Path, regions: Sequence[SimulatedRegion], engine: Engine
) -> None:
    """What no event told, in one region; then all commands that find it and show it."""
    world: Any = regions[1].region.world
    edited = next(one for one in world.live_users.values() if not protected(one.account))
    edited.email = "edited@example.org"
    name = regions[1].region.name
    code, planned = await region_sync(folder, "plan", "--region", name)
    assert (code, planned["different"], planned["calls"]) == (2, 1, 0), planned
    assert planned["steps"][0]["elsewhere"] == [one.region.name for one in regions if one is not regions[1]]
    code, carried = await region_sync(folder, "apply", "--plan", planned["hash"])
    assert (code, carried["done"], carried["left_out"], carried["failed"]) == (0, 1, [], []), carried
    await settled(regions, engine)
    code, said = await region_sync(folder, "scan", "--all")
    assert (code, [row["state"] for row in said["scans"]]) == (0, ["done"] * 3), said
    await settled(regions, engine)
    code, said = await region_sync(folder, "verify")
    assert (code, said["equal"]) == (0, True), said
    code, planned = await region_sync(folder, "plan", "--region", name)
    assert (code, planned["equal"]) == (0, True), planned


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
            await scanned_planned_and_proven(tmp_path, regions, engine)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
            engine.dispose()
    assert all(row.filled > 3 for row in kept.values()), kept
    assert all(row.scan_needed_since is None for row in kept.values())
    assert states["delivered"] > 60
    assert set(codes.values()) == {0}
