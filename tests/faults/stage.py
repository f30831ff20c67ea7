"""What the chaos run plays on: three simulated regions, RabbitMQ, three Kafka brokers, MariaDB, and every
process of the pipeline, with a faulty network between each pair.

In: a folder, the cache of jars. Out: a `Stage` with everything up and the first change made and arrived
everywhere. Called by the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy
import yaml
from sqlalchemy import Engine

from pipeline.outbox.engine import open_database
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.e2e.harness import SYNC, Person, people, tree, until
from tests.faults.proxy import Network
from tests.faults.schedule import Target
from tests.faults.supervised import Supervisor
from tests.services.cluster import KafkaCluster
from tests.services.errors import ServiceUnavailable
from tests.services.mariadb import MariaDB
from tests.services.rabbitmq import RabbitMQ
from tests.services.service import Service

START_LIMIT_S: Final = 400.0
"""Ten processes and five servers on a machine that may have other work."""
START_TRIES: Final = 3
PARTITIONS: Final = 4
TWO_WORKERS: Final = 2
"""Regions with two worker processes; the others have one, and one that joins and leaves."""
LISTENERS: Final = {"bridge": "BRIDGE", "hub": "HUB", "worker": "WORKER"}
"""Each kind of process reaches the brokers by proxies of its own."""
GAP_FILL: Final = {"gap_fill_interval_s": 0.5, "gap_fill_grace_s": 4}
"""Nothing is late here by more than the processes' own start."""
CALL_LIMIT_S: Final = 5.0
"""Shorter than the cuts last: calls are given up, and may have been made all the same."""


@dataclass(frozen=True)
class Stage:
    """Everything that can be hurt, and the ways to look at it that can't."""

    regions: Sequence[SimulatedRegion]
    services: Mapping[str, Service]
    kafka: KafkaCluster
    network: Network
    processes: Supervisor
    spares: Sequence[str]
    engine: Engine

    def target(self) -> Target:
        names: dict[str, list[str]] = {kind: [] for kind in ("bridge", "hub", "worker")}
        for name in self.processes.running:
            names[name.split("-")[0]].append(name)
        for kind in ("broker", "rabbitmq", "mariadb"):
            names[kind] = [name for name in self.services if name.split("-")[0] == kind]
        names["spare"] = list(self.spares)
        return Target(names, sorted(self.network.links))


@contextlib.asynccontextmanager
async def staged(folder: Path, cache: Path, seed: int) -> AsyncIterator[Stage]:
    """Up, connected, and proven by a change in each region that arrived in the others."""
    kafka = KafkaCluster(folder / "kafka", cache, tuple(LISTENERS.values()))
    rabbitmq, mariadb = RabbitMQ(folder / "rabbitmq"), MariaDB(folder / "mariadb")
    services: dict[str, Service] = {"rabbitmq": rabbitmq, "mariadb": mariadb}
    services |= {f"broker-{one.number}": one for one in kafka.brokers}
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(_discard, list(services.values()))
        network = stack.enter_context(Network())
        bootstrap = _connect_kafka(network, kafka)
        await asyncio.to_thread(_start, list(services.values()))
        names = tuple(f"r{number}" for number in (1, 2, 3))
        regions = await stack.enter_async_context(
            simulated_regions(3, rabbitmq.address, names=names, seed=seed)
        )
        engine = open_database(_database(mariadb.address, mariadb.ports["mysql"]))
        stack.callback(engine.dispose)
        files = {kind: folder / f"{kind}.yaml" for kind in LISTENERS}
        for kind, file in files.items():
            settings = _settings(network, regions, kind, (rabbitmq, mariadb), bootstrap[kind])
            file.write_text(yaml.safe_dump(settings))
        commands, spares = _commands(names, files)
        processes = Supervisor(folder, commands)
        stack.push_async_callback(processes.stop)
        for name in commands:
            if name not in spares:
                processes.start(name)
        watching = asyncio.create_task(processes.watch())
        stack.callback(watching.cancel)
        stage = Stage(regions, services, kafka, network, processes, spares, engine)
        await _first_changes(stage, rabbitmq)
        yield stage
        watching.cancel()


def _connect_kafka(network: Network, kafka: KafkaCluster) -> dict[str, str]:
    """Kind of process → its bootstrap servers."""
    found = {}
    for kind, listener in LISTENERS.items():
        links = {
            one.number: network.link(f"{kind}-broker-{one.number}", "127.0.0.1", one.listener_ports[listener])
            for one in kafka.brokers
        }
        found[kind] = kafka.advertise(listener, {number: link.port for number, link in links.items()})
    return found


def _settings(
    network: Network,
    regions: Sequence[SimulatedRegion],
    kind: str,
    services: tuple[RabbitMQ, MariaDB],
    bootstrap: str,
) -> dict[str, Any]:
    """As a process of this kind has them: with the proxies' addresses."""
    rabbitmq, mariadb = services
    amqp = rabbitmq.address
    database = mariadb.address
    if kind == "bridge":
        link = network.link("bridge-rabbitmq", "127.0.0.1", rabbitmq.ports["amqp"])
        amqp = amqp.replace(f":{rabbitmq.ports['amqp']}/", f":{link.port}/")
    else:
        link = network.link(f"{kind}-mariadb", "127.0.0.1", mariadb.ports["mysql"])
        database = _database(database, link.port)
    settings = tree(
        regions, database, amqp, kafka=bootstrap, partitions=PARTITIONS, replicas=3, web={"port": None}
    )
    for region, one in zip(regions, settings["regions"], strict=True):
        one |= {"timeout_s": CALL_LIMIT_S, "full_scan_interval": 0}
        one["removals"] = {"per_hour": None, "share": None}
        one["bus"] |= GAP_FILL
        if kind == "worker":
            api = network.link(f"worker-{region.name}", "127.0.0.1", region.server.port)
            one["host"] = f"http://127.0.0.1:{api.port}"
    return settings


def _database(address: str, port: int) -> str:
    return sqlalchemy.make_url(address).set(port=port).render_as_string(hide_password=False)


def _commands(names: Sequence[str], files: Mapping[str, Path]) -> tuple[dict[str, list[str]], list[str]]:
    """Process → its command line; which of them are spares that join only now and then."""
    commands = {f"hub-{number}": ["worker", "hub", "-c", str(files["hub"])] for number in (1, 2)}
    spares = []
    for number, name in enumerate(names, 1):
        commands[f"bridge-{name}"] = ["bridge", "--region", name, "-c", str(files["bridge"])]
        for worker in (1, 2):
            process = f"worker-{name}-{worker}"
            commands[process] = ["worker", "region", "--region", name, "-c", str(files["worker"])]
            if worker == 2 and number > TWO_WORKERS:
                spares.append(process)
    return commands, spares


async def _first_changes(stage: Stage, rabbitmq: RabbitMQ) -> None:
    """Until then the queues are not there, and what a bus says is lost: that is not a fault to be tested."""
    await until(
        lambda: all(one.calls.reads(SYNC) for one in stage.regions), "the workers start", START_LIMIT_S
    )
    for one in stage.regions:
        await asyncio.to_thread(rabbitmq.await_survivable, f"region-sync.{one.name}", START_LIMIT_S)
    async with people(stage.regions) as persons:
        for person in persons:
            await _one_change(person)
    await until(
        lambda: (
            all(one.dump() == stage.regions[0].dump() for one in stage.regions)
            and len(stage.regions[0].dump()["domains"]) == len(stage.regions)
        ),
        "the first changes arrive",
        START_LIMIT_S,
    )


async def _one_change(person: Person) -> None:
    await person.domain(f"{person.region.name}-{uuid.uuid4().hex[:6]}")


def _start(services: Sequence[Service]) -> None:
    for one in services:
        one.provision()  # one after the other: packages can't be installed in parallel
    with ThreadPoolExecutor(len(services)) as pool:
        list(pool.map(started, services))


def started(service: Service) -> None:
    """On a machine that is busy with the start of everything else one may not come up in time."""
    for left in reversed(range(START_TRIES)):
        try:
            service.start()
            return
        except ServiceUnavailable:
            if not left:
                raise


def _discard(services: Sequence[Service]) -> None:
    with ThreadPoolExecutor(len(services)) as pool:
        list(pool.map(_end, services))


def _end(service: Service) -> None:
    service.kill()
    service.discard()
