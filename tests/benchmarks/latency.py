"""How long one change takes when nothing else happens: event on the bus → applied in the target.

In: the addresses of RabbitMQ and MariaDB from the environment. Out: median and 99th percentile, beside what
the API itself takes for the calls on that way (a read in the origin; a read and a write in the target).
Bridges, hub and region workers are processes of their own; the regions are simulated, here, without latency:
what remains is the pipeline's own time. The clock is this process's for both ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from pipeline.app import now_ms
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.session import Credentials
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.benchmarks import stage
from tests.services.stack import AMQP

CHANGES: Final = 200
WARM: Final = 5
START_LIMIT_S: Final = 60.0
LIMIT_S: Final = 30.0


class Watch:
    """When an event of one entity was told by a region's bus: the moment the bus has it."""

    def __init__(self, region: SimulatedRegion) -> None:
        self._changed = asyncio.Event()
        self._time = 0.0
        region.region.log.listeners.append(self._told)

    def _told(self, key: str, body: str) -> None:
        if ".USER-UPDATE." in key and '"Completed"' in body:
            self._time = time.perf_counter()
            self._changed.set()

    async def next(self, limit_s: float) -> float:
        """The moment of the next one; it is forgotten then."""
        async with asyncio.timeout(limit_s):
            await self._changed.wait()
        self._changed.clear()
        return self._time


def main(changes: int = CHANGES) -> None:
    asyncio.run(_measure(changes))


async def _measure(changes: int) -> None:
    tag = uuid.uuid4().hex[:6]
    amqp = os.environ[AMQP]
    with (
        stage.kafka() as brokers,
        stage.database("mariadb") as url,
        tempfile.TemporaryDirectory() as folder,
        contextlib.ExitStack() as running,
    ):
        async with simulated_regions(2, amqp, names=(f"{tag}a", f"{tag}b")) as regions:
            made = stage.settings(brokers, url, [_place(region, amqp) for region in regions])
            file = stage.written(made, Path(folder))
            stage.make_topics(made)
            for command in _commands(regions):
                running.enter_context(
                    stage.process(Path(folder), ["-m", "pipeline", *command, "-c", str(file)])
                )
            origin, target = regions
            async with _admin(origin) as admin:
                user = await _first(admin, origin, target)
                waits = await _changes(admin, user, changes, (Watch(origin), Watch(target)))
            async with _admin(target) as admin:
                api = [await _calls(admin, user, number) for number in range(changes)]
    _show(waits[WARM:], api[WARM:])


def _place(region: SimulatedRegion, amqp: str) -> stage.Place:
    bus = {"source": "amqp", "url": amqp, "exchange": region.exchange}
    keys = region.service
    return stage.Place(region.name, region.endpoint, keys.apikey, keys.secretkey, bus=bus)


def _commands(regions: Sequence[SimulatedRegion]) -> list[list[str]]:
    commands = [["worker", "hub"]]
    for region in regions:
        commands += [["bridge", "--region", region.name], ["worker", "region", "--region", region.name]]
    return commands


@contextlib.asynccontextmanager
async def _admin(region: SimulatedRegion) -> AsyncIterator[CloudStack]:
    keys = Credentials(region.admin.apikey, region.admin.secretkey)
    client = CloudStack(ClientSettings(region.endpoint, keys), clock=now_ms)
    try:
        yield client
    finally:
        await client.aclose()


async def _first(admin: CloudStack, origin: SimulatedRegion, target: SimulatedRegion) -> str:
    """A user in both regions. Accounts are made until one arrives: the bridge listens from some moment on."""
    deadline = time.monotonic() + START_LIMIT_S
    person = {"firstname": "A", "lastname": "B", "email": "a@example.org", "password": "Passw0rd!x"}
    number = 0
    while True:
        number += 1
        account = {"account": f"acme{number}", "username": f"ann{number}", "accounttype": "0", **person}
        made = await admin.call("createAccount", {**account, "domainid": origin.region.world.root.uuid})
        user = str(made["account"]["user"][0]["id"])
        for _ in range(30):
            if any(one.uuid == user for one in target.region.world.live_users.values()):
                return user
            if time.monotonic() > deadline:
                raise TimeoutError("no account arrives")
            await asyncio.sleep(0.1)


async def _changes(admin: CloudStack, user: str, changes: int, watches: tuple[Watch, Watch]) -> list[float]:
    waits = []
    for number in range(changes):
        await asyncio.sleep(0.1)  # idle: the last one's read-back is merged by then
        await admin.call("updateUser", {"id": user, "email": f"a{number}@example.org"})
        began, ended = [await watch.next(LIMIT_S) for watch in watches]
        waits.append(ended - began)
    return waits


async def _calls(admin: CloudStack, user: str, number: int) -> float:
    """The API's own time for two reads and a write, as the same client sees it."""
    began = time.perf_counter()
    for _ in range(2):
        await admin.call("listUsers", {"id": user, "listall": "true"})
    await admin.call("updateUser", {"id": user, "email": f"z{number}@example.org"})
    return time.perf_counter() - began


def _show(waits: list[float], api: list[float]) -> None:
    def row(what: str, times: list[float]) -> tuple[str, str, str]:
        p99 = statistics.quantiles(times, n=100)[98]
        return what, f"{statistics.median(times) * 1000:.1f}", f"{p99 * 1000:.1f}"

    stage.show(
        f"latency, idle: {len(waits)} single changes, RabbitMQ, Kafka, MariaDB",
        ("", "median ms", "99 % ms"),
        [row("event on the bus → applied in the target", waits), row("of it the API: 2 reads, 1 write", api)],
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
