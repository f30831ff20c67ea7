"""Starts simulated regions: inside a test, or as a process of its own.

Comes in: how many, and the address of a broker if there is one. Goes out: running regions, or one JSON
line on stdout. Used by tests, the demo, and `region-sync sandbox`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

from pipeline.sandbox.belongings import give
from pipeline.sandbox.bus import RabbitPublisher
from pipeline.sandbox.dump import Dump
from pipeline.sandbox.faults import Faults
from pipeline.sandbox.region import Calls, Credentials, Region
from pipeline.sandbox.server import RegionServer

EXCHANGE = "cloudstack-events"


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """`port` 0 means free ports, else port, port + 1 …; `latency` is `none`, `real` or ms a call; `names`
    default to r1, r2 …; `tls`: with this certificate, by https; `user_databases`: each region keeps its table
    of users in one, by its URL; empty: in memory.
    """

    regions: int = 2
    amqp_url: str | None = None
    port: int = 0
    latency: str = "none"
    seed: int = 1
    names: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    user_databases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SimulatedRegion:
    """A running region, as its users see it."""

    region: Region
    server: RegionServer
    exchange: str
    publisher: RabbitPublisher | None = None
    user_database: str = ""
    """Where its table of users is; empty: in memory."""

    @property
    def name(self) -> str:
        return self.region.name

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    @property
    def admin(self) -> Credentials:
        """The root administrator: people, and the traffic generator."""
        return self.region.admin

    @property
    def service(self) -> Credentials:
        """The sync's own user."""
        return self.region.service

    @property
    def faults(self) -> Faults:
        return self.region.faults

    @property
    def calls(self) -> Calls:
        return self.region.calls

    def dump(self) -> Dump:
        """Comparable contents."""
        return self.region.dump()

    def load(self, domains: int, accounts: int, users: int) -> None:
        """Fills the region at once, without events."""
        self.region.load(domains, accounts, users)

    def give(self, account: str, **belongings: int) -> None:
        """The account (its UUID) owns so many `vms`, `volumes`, `networks` from now on."""
        give(self.region.world, account, belongings)

    async def stop(self) -> None:
        """The region goes down, its state stays."""
        await self.server.stop()

    async def start(self) -> None:
        """The region comes up again at the same address."""
        await self.server.start()

    def describe(self) -> dict[str, object]:
        """As the JSON line of `region-sync sandbox` shows it, keys included."""
        return {
            "name": self.name,
            "endpoint": self.endpoint,
            "exchange": self.exchange,
            "admin": asdict(self.admin),
            "service": asdict(self.service),
        }


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


@contextlib.asynccontextmanager
async def sandbox(options: SandboxOptions) -> AsyncIterator[list[SimulatedRegion]]:
    """Running regions, stopped at the end. With a broker each has an exchange of its own."""
    running: list[SimulatedRegion] = []
    try:
        for index in range(options.regions):
            one = _build(options, index)
            running.append(one)
            if one.publisher is not None:
                await asyncio.to_thread(one.publisher.start)
            await one.start()
        yield running
    finally:
        for one in running:
            await one.stop()
            one.region.jobs.stop()
            one.region.world.passwords.close()
            if one.publisher is not None:
                await asyncio.to_thread(one.publisher.stop)


def _build(options: SandboxOptions, index: int) -> SimulatedRegion:
    name = options.names[index] if index < len(options.names) else f"r{index + 1}"
    region = Region(name, options.seed, now_ms)
    users = options.user_databases[index] if options.user_databases else ""
    if users:
        region.keep_users_in(users)
    region.faults.real_latency = options.latency == "real"
    region.faults.latency_ms = float(options.latency) if options.latency.isdigit() else 0.0
    exchange = f"{EXCHANGE}-{name}"
    publisher = RabbitPublisher(options.amqp_url, exchange) if options.amqp_url else None
    if publisher is not None:
        region.publish_to(publisher.tell)
    server = RegionServer(region, options.port + index if options.port else 0, options.host, options.tls)
    return SimulatedRegion(region, server, exchange, publisher, users)


@contextlib.asynccontextmanager
async def simulated_regions(
    n: int = 2,
    amqp_url: str | None = None,
    *,
    seed: int = 1,
    names: tuple[str, ...] = (),
    user_databases: tuple[str, ...] = (),
) -> AsyncIterator[list[SimulatedRegion]]:
    """`async with simulated_regions(3) as regions:` for tests and the demo."""
    options = SandboxOptions(n, amqp_url, seed=seed, names=names, user_databases=user_databases)
    async with sandbox(options) as running:
        yield running


def serve(options: SandboxOptions) -> None:
    """Prints one JSON line and serves until SIGTERM or SIGINT."""
    asyncio.run(_serve(options))


async def _serve(options: SandboxOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with sandbox(options) as running:
        print(json.dumps({"regions": [one.describe() for one in running]}), flush=True)
        await stop.wait()
