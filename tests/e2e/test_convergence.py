"""RabbitMQ to Kafka to MariaDB between three simulated regions, by processes as a user starts them: random
traffic ends with equal regions, and so it does when a process of each kind is killed in the middle."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest

from pipeline.demo import differences
from pipeline.outbox.audit import AuditStore
from pipeline.outbox.engine import open_database
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions

START_LIMIT_S = 180.0
SETTLE_LIMIT_S = 150.0
STOP_LIMIT_S = 30.0

pytestmark = pytest.mark.services


class Processes:
    """The pipeline's processes by name: `hub`, and `bridge-…` and `worker-…` of each region."""

    def __init__(self, folder: Path, regions: Sequence[SimulatedRegion], settings: str) -> None:
        self._folder = folder
        (folder / "regions.yaml").write_text(settings)
        self._commands = {"hub": ["worker", "hub"]}
        for region in regions:
            self._commands[f"bridge-{region.name}"] = ["bridge", "--region", region.name]
            self._commands[f"worker-{region.name}"] = ["worker", "region", "--region", region.name]
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []
        for name in self._commands:
            self.start(name)

    def start(self, name: str) -> None:
        log = (self._folder / f"{name}.log").open("ab")
        self._logs.append(log)
        command = [sys.executable, "-m", "pipeline", *self._commands[name], "-c"]
        self._running[name] = subprocess.Popen(
            [*command, str(self._folder / "regions.yaml")], stdout=log, stderr=subprocess.STDOUT
        )

    def kill(self, name: str) -> None:
        self._running[name].kill()
        self._running[name].wait()

    def stop(self) -> dict[str, int]:
        """Asks all to stop; their exit codes."""
        for process in self._running.values():
            process.terminate()
        codes = {name: process.wait(STOP_LIMIT_S) for name, process in self._running.items()}
        for log in self._logs:
            log.close()
        return codes

    def logs(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text()[-800:]}" for path in self._folder.glob("*.log"))


def settings(regions: Sequence[SimulatedRegion], amqp: str, kafka: str, database: str) -> str:
    lines = [f"kafka: {kafka}", f"database: {database}", "partitions: 4", "regions:"]
    for region in regions:
        lines += [
            f"  - name: {region.name}",
            f"    host: {region.endpoint.removesuffix('/client/api')}",
            f"    api_key: {region.service.apikey}",
            f"    secret_key: {region.service.secretkey}",
            f"    bus: {{source: amqp, url: '{amqp}', exchange: {region.exchange}}}",
        ]
    return "\n".join(lines) + "\n"


async def first_change_arrives(regions: Sequence[SimulatedRegion], traffic: Traffic) -> None:
    """The bridges have bound their queues: what a bus says before that is lost, as on a real one."""
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        await traffic.step()
        if any(region.calls.writes("svc-sync") for region in regions):
            return
        await asyncio.sleep(0.5)
    raise AssertionError("no change arrived anywhere")


async def settled(regions: Sequence[SimulatedRegion], store: AuditStore) -> Counter[str]:
    """Outbox rows by state, once all regions are equal and nothing is under way."""
    limit = time.monotonic() + SETTLE_LIMIT_S
    while True:
        states: Counter[str] = Counter()
        for of_region in (await asyncio.to_thread(store.counts)).values():
            states.update(of_region)
        differing = differences([region.dump() for region in regions])
        if not differing and not states["pending"] + states["published"]:
            return states
        assert time.monotonic() < limit, f"{differing[:10]} differ, {states}"
        await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    ("changes", "killed"),
    [
        pytest.param(150, (), id="undisturbed"),
        # One run in five leaves a few rows waiting: known, to be mended before it runs by default.
        pytest.param(240, ("hub", "worker-{0}", "bridge-{1}"), id="killed", marks=pytest.mark.slow),
        pytest.param(3000, ("hub", "worker-{0}", "bridge-{1}"), id="long", marks=pytest.mark.slow),
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
    async with simulated_regions(3, amqp, names=names) as regions:
        processes = Processes(tmp_path, regions, settings(regions, amqp, kafka, database))
        store = AuditStore(open_database(database))
        try:
            traffic = Traffic(regions, len(killed) + 1, TrafficOptions(silent=False))
            await until_bound(regions)
            await first_change_arrives(regions, traffic)
            victims = [name.format(*names) for name in killed]
            for number in range(changes):
                await traffic.step()
                if victims and number % (changes // (len(killed) + 1)) == changes // (len(killed) + 1) - 1:
                    victim = victims.pop(0)
                    processes.kill(victim)
                    processes.start(victim)
                await asyncio.sleep(0.02)
            states = await settled(regions, store)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
    assert victims == []
    assert states["delivered"] > changes / 2
    assert set(codes.values()) == {0}


async def until_bound(regions: Sequence[SimulatedRegion]) -> None:
    """Until every region's worker has logged in; its bridge, which starts faster, has bound its queue."""
    limit = time.monotonic() + START_LIMIT_S
    while not all(region.calls.reads("svc-sync") for region in regions):
        assert time.monotonic() < limit, "a region's worker did not start"
        await asyncio.sleep(0.2)


@pytest.fixture
def services(amqp_url: str, kafka_bootstrap: str, database_url: str) -> tuple[str, str, str]:
    """RabbitMQ, Kafka, MariaDB."""
    return amqp_url, kafka_bootstrap, database_url
