"""A person's working place: a folder with regions.yaml, `region-sync run` in it, and commands beside it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.cloudstack.client import ClientSettings, CloudStack, Credentials
from pipeline.sandbox.launch import SimulatedRegion

LIMIT_S: Final = 120.0
COMMAND_LIMIT_S: Final = 120.0


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """One folder; every command is a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "run.log"

    async def region_sync(self, *arguments: str) -> Ended:
        async with self.started(*arguments) as process:
            out, err = await asyncio.wait_for(process.communicate(), COMMAND_LIMIT_S)
            return Ended(process.returncode or 0, out.decode(), err.decode())

    @asynccontextmanager
    async def started(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A command with its output to be read; it does not outlive the block."""
        process = await self._start(arguments, asyncio.subprocess.PIPE, asyncio.subprocess.PIPE)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """`region-sync run` until the end of the block, when it is interrupted if it still runs."""
        with self.log.open("ab") as log:
            process = await self._start(("run",), asyncio.subprocess.DEVNULL, log.fileno())
            try:
                await until(lambda: '"running: ' in self.log.read_text(), "run did not start", process)
                yield process
            finally:
                await _ended(process)

    async def _start(self, arguments: Sequence[str], out: int, err: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pipeline",
            *arguments,
            cwd=self.folder,
            stdout=out,
            stderr=err,
            env={**os.environ, "PYTHONWARNINGS": "error::ResourceWarning"},
            preexec_fn=_interruptible,
        )


def _interruptible() -> None:
    """A shell's background job ignores Ctrl-C, and so would all that it starts: also the tests, and this."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), LIMIT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise


async def until(
    holds: Callable[[], bool], otherwise: str, process: asyncio.subprocess.Process | None = None
) -> None:
    """Waits for a condition, up to the limit; no longer than `process` lives."""
    limit = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < limit, otherwise
        assert process is None or process.returncode is None, f"{otherwise}: run ended"
        await asyncio.sleep(0.1)


@asynccontextmanager
async def administrator(one: SimulatedRegion) -> AsyncIterator[CloudStack]:
    """A person with a root administrator's keys in that region."""
    keys = Credentials(apikey=one.admin.apikey, secret=one.admin.secretkey)
    client = CloudStack(ClientSettings(one.endpoint, keys), clock=lambda: time.time_ns() // 1_000_000)
    try:
        yield client
    finally:
        await client.aclose()


def settings(regions: Sequence[SimulatedRegion], amqp: str = "") -> str:
    """regions.yaml for the embedded default; with `amqp` the regions are heard over their bus."""
    lines = ["database: sqlite:///audit.db", "regions:"]
    for one in regions:
        lines += [
            f"  - name: {one.name}",
            f"    host: {one.endpoint.removesuffix('/client/api')}",
            f"    api_key: {one.service.apikey}",
            f"    secret_key: {one.service.secretkey}",
        ]
        if amqp:
            lines.append(f"    bus: {{source: amqp, url: '{amqp}', exchange: {one.exchange}}}")
    return "\n".join(lines) + "\n"
