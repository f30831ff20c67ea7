"""What the end-to-end tests stand on: a person who calls a region's API, settings for simulated regions, the
pipeline's processes as a user starts them, and waits that say what is still missing when they end.

In: simulated regions. Out: the state of the world, or an `AssertionError` that tells what differs.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import yaml
from sqlalchemy import Engine

from pipeline.app import now_ms
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.session import Credentials
from pipeline.outbox.audit import AuditStore, OutboxRow
from pipeline.outbox.listing import Cut, Wanted, outbox_rows
from pipeline.sandbox.launch import SimulatedRegion
from pipeline.verdict import differences

LOOK_EVERY_S = 0.1
SETTLE_LIMIT_S = 240.0
STOP_LIMIT_S = 60.0
COMMAND_LIMIT_S = 120.0
OPEN = ("pending", "published")
SYNC = "svc-sync"


class Person:
    """Somebody at work in one region, with its root administrator's key."""

    def __init__(self, region: SimulatedRegion) -> None:
        self.region = region
        keys = Credentials(region.admin.apikey, region.admin.secretkey)
        self._api = CloudStack(ClientSettings(region.endpoint, keys), clock=now_ms)

    async def call(self, command: str, **params: str) -> dict[str, Any]:
        return await self._api.call(command, params)

    async def domain(self, name: str, parent: str | None = None) -> str:
        made = await self.call("createDomain", name=name, **({"parentdomainid": parent} if parent else {}))
        return str(made["domain"]["id"])

    async def account(self, name: str, domain: str, role: str = "User") -> str:
        """With one user of the same name."""
        place = {"account": name, "domainid": domain, "roleid": await self.role(role)}
        made = await self.call("createAccount", **_human(name), **place)
        return str(made["account"]["id"])

    async def user(self, name: str, account: str, domain: str) -> str:
        made = await self.call("createUser", **_human(name), account=account, domainid=domain)
        return str(made["user"]["id"])

    async def role(self, name: str) -> str:
        """That role's UUID here."""
        return str((await self.call("listRoles", name=name))["role"][0]["id"])

    async def close(self) -> None:
        await self._api.aclose()


def _human(name: str) -> dict[str, str]:
    email = f"{name}@example.org"
    return {"username": name, "password": f"Pw-{name}", "email": email, "firstname": "F", "lastname": "L"}


@asynccontextmanager
async def people(regions: Sequence[SimulatedRegion]) -> AsyncIterator[list[Person]]:
    """One in each region."""
    those = [Person(region) for region in regions]
    try:
        yield those
    finally:
        for one in those:
            await one.close()


def tree(
    regions: Sequence[SimulatedRegion], database: str, amqp: str | None = None, **top: Any
) -> dict[str, Any]:
    """The settings as `regions.yaml` holds them; `top` are further keys of the top level."""

    def bus(region: SimulatedRegion) -> dict[str, Any]:
        if amqp is None:
            return {"source": "eventlog", "poll_interval_s": 0.2}
        return {"source": "amqp", "url": amqp, "exchange": region.exchange}

    return {
        "database": database,
        "regions": [
            {
                "name": region.name,
                "host": region.endpoint.removesuffix("/client/api"),
                "api_key": region.service.apikey,
                "secret_key": region.service.secretkey,
                "bus": bus(region),
            }
            for region in regions
        ],
        **top,
    }


class Processes:
    """Processes of the command line by name, with their logs; `commands` are its arguments."""

    module = "pipeline"
    """What Python runs."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], commands: Mapping[str, list[str]]) -> None:
        self._folder = folder
        self.settings = folder / "regions.yaml"
        self.settings.write_text(yaml.safe_dump(dict(settings)))
        self._commands = commands
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []
        for name in commands:
            self.start(name)

    def start(self, name: str) -> None:
        log = (self._folder / f"{name}.log").open("ab")
        self._logs.append(log)
        command = [sys.executable, "-m", self.module, *self._commands[name], "-c", str(self.settings)]
        # What a process leaves behind would lie in the test's folder.
        self._running[name] = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder, env=self.environment(name)
        )

    def environment(self, _name: str) -> dict[str, str]:
        """Of the process of that name."""
        return environment()

    def pids(self) -> dict[str, int]:
        """Of those that run."""
        return {name: one.pid for name, one in self._running.items() if one.poll() is None}

    def kill(self, name: str) -> None:
        """By SIGKILL; it must have been running."""
        assert self._running[name].poll() is None, f"{name} had ended by itself\n{self.logs()}"
        self._running[name].kill()
        self._running[name].wait()

    def signal(self, name: str, number: int) -> None:
        """It must be running."""
        assert self._running[name].poll() is None, f"{name} had ended by itself\n{self.logs()}"
        self._running[name].send_signal(number)

    def stop(self) -> dict[str, int]:
        """Asks all to stop; their exit codes."""
        for process in self._running.values():
            process.terminate()
        codes = {}
        for name, process in self._running.items():
            try:
                codes[name] = process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = process.wait()
        for log in self._logs:
            log.close()
        return codes

    def logs(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text()[-800:]}" for path in self._folder.glob("*.log"))


def environment() -> dict[str, str]:
    """This one's, with the repository where a process started in another folder finds it."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def parts(regions: Sequence[SimulatedRegion]) -> dict[str, list[str]]:
    """The commands of a whole installation: `hub`, and `bridge-…` and `worker-…` of each region."""
    commands = {"hub": ["worker", "hub"]}
    for region in regions:
        commands[f"bridge-{region.name}"] = ["bridge", "--region", region.name]
        commands[f"worker-{region.name}"] = ["worker", "region", "--region", region.name]
    return commands


async def until(condition: Callable[[], object], what: str, limit_s: float = SETTLE_LIMIT_S) -> None:
    """Waits for the condition, looking in a thread since it may ask a database."""
    limit = time.monotonic() + limit_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < limit, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(LOOK_EVERY_S)


def rows(engine: Engine, state: str | None = None) -> list[OutboxRow]:
    """All outbox rows, or those of one state."""
    newest_first = outbox_rows(engine, Wanted(state=state), Cut(limit=100_000)).rows
    return list(reversed(newest_first))


async def settled(regions: Sequence[SimulatedRegion], engine: Engine) -> Counter[str]:
    """Outbox rows by state, once these regions are equal and nothing is under way to them."""
    limit = time.monotonic() + SETTLE_LIMIT_S
    names = {region.name for region in regions}
    while True:
        counts = await asyncio.to_thread(AuditStore(engine).counts)
        states: Counter[str] = Counter()
        for name in names:
            states.update(counts.get(name, {}))
        differing = differences([region.dump() for region in regions])
        if not differing and not any(states[state] for state in OPEN):
            return states
        if time.monotonic() > limit:
            waiting = [row for state in OPEN for row in rows(engine, state)]
            raise AssertionError(f"{differing[:10]} differ, {dict(states)}, open: {waiting[:10]}")
        await asyncio.sleep(LOOK_EVERY_S)


async def region_sync(folder: Path, *arguments: str) -> tuple[int, Any]:
    """The command's exit code and what it said in JSON; None where it only complained."""
    command = [sys.executable, "-m", "pipeline", *arguments, "--json", "-c", str(folder / "regions.yaml")]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env=environment(), capture_output=True, timeout=COMMAND_LIMIT_S
    )
    assert done.stdout or done.returncode, done.stderr.decode()
    return done.returncode, json.loads(done.stdout or "null")
