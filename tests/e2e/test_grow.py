"""More partitions for topics that are in use: hub and workers were killed in the middle of their work,
messages wait in each topic, bridges go on, and nothing that was replaced may come back. Kafka, MariaDB, real
processes."""

from __future__ import annotations

import uuid
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from pipeline.core import topics
from pipeline.progress import Progress
from tests.e2e.counting import counted, counting_goes_on, reached
from tests.e2e.harness import region_sync, until
from tests.services.kafka import Kafka

pytestmark = pytest.mark.services

FEW, MORE = 3, 8
"""Of twelve users most change their partition."""
WAITING = 20
"""Messages that are left in a topic, at least."""


async def test_what_waits_in_topics_that_grow_is_neither_lost_nor_read_out_of_order(
    tmp_path: Path, services_cache: Path, database_url: str
) -> None:
    with Kafka(tmp_path / "kafka", services_cache) as kafka:
        await grown(tmp_path, kafka.address, database_url)


async def grown(folder: Path, kafka: str, database_url: str) -> None:
    first, second = (f"g{uuid.uuid4().hex[:6]}{number}" for number in (1, 2))
    services = {"database": database_url, "kafka": kafka, "partitions": FEW}
    async with counted(folder, (first, second), services, {}) as world:
        processes, counting = world.processes, world.counting
        await counting_goes_on(counting)
        processes.kill(f"worker-{second}")
        await piled_up(kafka, topics.region_group(second), topics.desired(second))
        processes.kill("hub")
        await piled_up(kafka, topics.HUB_GROUP, topics.OBSERVATIONS)
        processes.kill(f"worker-{first}")
        await piled_up(kafka, topics.region_group(first), topics.events(first))

        processes.settings.write_text(yaml.safe_dump(world.settings | {"partitions": MORE}))
        code, told = await region_sync(folder, "grow")
        again = await region_sync(folder, "grow")
        for name in ("hub", f"worker-{first}", f"worker-{second}"):
            processes.start(name)
        await counting_goes_on(counting)
        await reached(world.watch, world.regions[1], counting, "what is new arrives")
    assert (code, told["partitions"], set(told["before"].values())) == (0, MORE, {FEW})
    assert told["merged"] >= WAITING
    assert {topics.events(first), topics.desired(second)} <= set(told["moved"])
    assert (again[0], again[1]["merged"], again[1]["before"]) == (0, 0, {})
    assert set(again[1]["moved"]) <= {topics.events(first)}, "what the bridge wrote by what it had last heard"
    assert world.states["dead"] == 0


async def piled_up(kafka: str, group: str, topic: str) -> None:
    """Nobody reads there, and more and more waits."""
    with closing(Progress(kafka, {"log_level": "2"})) as progress:
        await until(lambda: progress.lag(group, topic) >= WAITING, f"{topic} fills")
