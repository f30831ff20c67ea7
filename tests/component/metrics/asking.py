"""Ports that are free, HTTP requests as a supervisor and Prometheus make them, a way to a service that can be
cut."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.component.agents.metering import Exposed, read

LIMIT_S = 90.0


def free_port() -> int:
    """With a free one after it, for a region's worker; below those that the kernel gives to whoever asks."""
    while True:
        port = random.randrange(20_000, 32_000)
        try:
            for one in (port, port + 1):
                with socket.socket() as taken:
                    taken.bind(("127.0.0.1", one))
        except OSError:
            continue
        return port


@dataclass
class Asking:
    """One process's server."""

    port: int

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def metrics(self) -> Exposed:
        answer = await self.get("/metrics")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return read(answer.content)

    async def ready(self) -> tuple[int, dict[str, bool], dict[str, str]]:
        """The status, and of each check whether it is well, and why."""
        answer = await self.get("/health/ready")
        said: dict[str, Any] = json.loads(answer.text)
        assert said["ready"] == (answer.status_code == 200)
        checks = said["checks"]
        return (
            answer.status_code,
            {name: one["ok"] for name, one in checks.items()},
            {name: one["reason"] for name, one in checks.items()},
        )

    async def is_ready(self) -> bool:
        return (await self.ready())[0] == 200


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Asks now and then: there is no event for it on this side of HTTP."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await condition():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {LIMIT_S:.0f} s: {what}") from None


@dataclass
class Way:
    """A way to a service, through a port of its own. `cut` ends it: what is connected is thrown out, what
    comes is refused."""

    host: str
    to: int
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self.host, self.to)
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        except asyncio.CancelledError:
            return  # the loop ends, and would complain
        finally:
            for one in (writer, far_writer):
                self._writers.discard(one)
                one.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def way_to(host: str, port: int) -> AsyncIterator[Way]:
    way = Way(host, port)
    await way.open()
    try:
        yield way
    finally:
        await way.cut()
