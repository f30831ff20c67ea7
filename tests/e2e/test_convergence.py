"""RabbitMQ to Kafka to MariaDB between three simulated regions, by processes as a user starts them: random
traffic ends with equal regions, and so it does when a process of each kind is killed in the middle."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.outbox.engine import open_database
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from tests.e2e.harness import SYNC, Processes, parts, settled, tree, until

START_LIMIT_S = 180.0
BREATH_S = 0.02
"""Between two changes: the traffic lasts through the killed processes' start."""

pytestmark = pytest.mark.services

KILLED = ("hub", "worker-{0}", "bridge-{1}")


@pytest.mark.parametrize(
    ("changes", "killed"),
    [
        pytest.param(150, (), id="undisturbed"),
        pytest.param(240, KILLED, id="killed"),
        pytest.param(3000, KILLED, id="long", marks=pytest.mark.slow),
    ],
)
async def test_random_traffic_ends_with_equal_regions(
    changes: int,
    killed: tuple[str, ...],
    services: tuple[str, str, str],
    tmp_path: Path,
) -> None:
    amqp, kafka, database = services
    tag = f"t{uuid.uuid4().hex[:6]}"
    names = tuple(f"{tag}{number}" for number in (1, 2, 3))
    engine = open_database(database)
    async with simulated_regions(3, amqp, names=names) as regions:
        configured = tree(regions, database, amqp, kafka=kafka, partitions=4)
        processes = Processes(tmp_path, configured, parts(regions))
        try:
            traffic = Traffic(regions, len(killed) + 1, TrafficOptions(silent=False))
            # Its bridge, which starts faster, has bound its queue by then: what a bus says before is lost.
            await until(
                lambda: all(region.calls.reads(SYNC) for region in regions),
                "the workers start",
                START_LIMIT_S,
            )
            await first_change_arrives(regions, traffic)
            victims = [name.format(*names) for name in killed]
            every = changes // (len(killed) + 1)
            for number in range(changes):
                await traffic.step()
                if victims and number % every == every - 1:
                    victim = victims.pop(0)
                    processes.kill(victim)
                    processes.start(victim)
                await asyncio.sleep(BREATH_S)
            states = await settled(regions, engine)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
            engine.dispose()
    assert victims == []
    assert states["delivered"] > changes / 2
    assert set(codes.values()) == {0}


async def first_change_arrives(regions: Sequence[SimulatedRegion], traffic: Traffic) -> None:
    """Until somebody's change was written elsewhere."""
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        await traffic.step()
        if any(region.calls.writes(SYNC) for region in regions):
            return
        await asyncio.sleep(0.5)
    raise AssertionError("no change arrived anywhere")


@pytest.fixture
def services(amqp_url: str, kafka_bootstrap: str, database_url: str) -> tuple[str, str, str]:
    """RabbitMQ, Kafka, MariaDB."""
    return amqp_url, kafka_bootstrap, database_url
