"""A TCP proxy that fails as networks do, between a process and a service.

In: where the service listens. Out: an address to give to the process; `fail(Fault)` and `heal()` from any
thread, at any time. All proxies of a `Network` live in one thread of their own, so that a test which blocks
doesn't hold them up. Called by the chaos run and by tests of single faults:

    with Network() as network:
        link = network.link("worker-mariadb", "127.0.0.1", 3306)
        …                       # give the process 127.0.0.1:link.port
        link.fail(Fault.CUT)    # nothing passes, nobody is told
        link.heal()             # what was on its way arrives late, as TCP does it
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Final, Self

CHUNK: Final = 16_384
CALL_LIMIT_S: Final = 20.0
SLOW_DELAY_S: Final = 0.15
"""Before each chunk on a slow link, each way."""
SLOW_BYTES_PER_S: Final = 400_000


class Fault(Enum):
    """What befalls a link. Whoever is connected learns of it only by `RESET`."""

    CUT = "cut"
    """Nothing passes either way; new connections are refused. What was on its way arrives after `heal`."""
    CUT_TO_SERVICE = "cut to the service"
    """What the process says doesn't arrive; what the service says does."""
    CUT_TO_CLIENT = "cut to the client"
    """What the process says arrives, and the answers don't: the call was made all the same."""
    SLOW = "slow"
    """Late, and little at a time."""
    HALF_OPEN = "half-open"
    """New connections are accepted, and nothing is ever said on them; old ones hang."""
    RESET = "reset"
    """Every connection is reset, also each new one while it lasts."""


_TO_SERVICE_STOPS: Final = (Fault.CUT, Fault.CUT_TO_SERVICE, Fault.HALF_OPEN)
_TO_CLIENT_STOPS: Final = (Fault.CUT, Fault.CUT_TO_CLIENT, Fault.HALF_OPEN)


@dataclass(eq=False)
class _Pair:
    """One connection: the client's side, and the service's once it is there."""

    client: asyncio.StreamWriter
    service: asyncio.StreamWriter | None = None
    deaf: bool = False

    def reset(self) -> None:
        """By RST: what has not been sent yet is thrown away."""
        for writer in (self.client, self.service):
            if writer is None:
                continue
            with contextlib.suppress(OSError):
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()


@dataclass(eq=False)
class Link:
    """One address that leads to one service. Its methods may be called from any thread."""

    name: str
    host: str
    target: int
    port: int
    _network: Network
    _fault: Fault | None = None
    _server: asyncio.Server | None = None
    _pairs: set[_Pair] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def fault(self) -> Fault | None:
        """What is wrong with it at the moment."""
        return self._fault

    @property
    def connections(self) -> int:
        """How many connections pass here now."""
        return len(self._pairs)

    def fail(self, fault: Fault) -> None:
        """From now until `heal`, or until another fault takes its place."""
        self._network.run(self._become(fault))

    def heal(self) -> None:
        """All is well again; connections that were accepted and never served are reset."""
        self._network.run(self._become(None))

    async def _become(self, fault: Fault | None) -> None:
        before, self._fault = self._fault, fault
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if fault is Fault.RESET:
            self._reset(self._pairs)
        elif before is Fault.HALF_OPEN:
            self._reset({pair for pair in self._pairs if pair.deaf})
        if fault is Fault.CUT:
            await self._close_server()
        elif self._server is None:
            await self._listen()

    def _reset(self, pairs: set[_Pair]) -> None:
        for pair in tuple(pairs):
            pair.reset()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._pairs.add(pair)
        try:
            await self._serve(pair, reader)
        except* OSError:
            pair.reset()
        finally:
            self._pairs.discard(pair)
            self._tasks.discard(task)
            for one in (pair.client, pair.service):
                if one is not None:
                    one.close()

    async def _serve(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        if self._fault is Fault.RESET:
            pair.reset()
            return
        if self._fault is Fault.HALF_OPEN:
            pair.deaf = True
            while await reader.read(CHUNK):
                pass
            return
        answers, pair.service = await asyncio.open_connection(self.host, self.target, limit=CHUNK)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pump(reader, pair.service, _TO_SERVICE_STOPS))
            both.create_task(self._pump(answers, pair.client, _TO_CLIENT_STOPS))

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, stops: tuple[Fault, ...]
    ) -> None:
        """Until the source ends. The end of a stream, too, passes only where bytes do."""
        while True:
            data = await source.read(CHUNK)
            if self._fault is Fault.SLOW:
                await asyncio.sleep(SLOW_DELAY_S + len(data) / SLOW_BYTES_PER_S)
            while self._fault in stops:
                await self._changed.wait()
            if not data:
                if sink.can_write_eof():
                    sink.write_eof()
                return
            sink.write(data)
            await sink.drain()

    async def close(self) -> None:
        """The end of the proxy."""
        await self._close_server()
        self._reset(self._pairs)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Network:
    """The proxies, in a thread of their own."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty-network", daemon=True)

    def link(self, name: str, host: str, target: int, port: int = 0) -> Link:
        """A way to the service at `host:target`; `port` 0 takes any free one. The service may come later."""
        link = Link(name, host, target, port, self)
        self.run(link._become(None))
        self.links[name] = link
        return link

    def heal(self) -> None:
        """All links are well again."""
        for link in self.links.values():
            if link.fault is not None:
                link.heal()

    @contextlib.contextmanager
    def failing(self, name: str, fault: Fault) -> Iterator[Link]:
        """For the time of the block."""
        link = self.links[name]
        link.fail(fault)
        try:
            yield link
        finally:
            link.heal()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """In the network's own thread, and waits for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_LIMIT_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self.links.values():
            self.run(link.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_LIMIT_S)
        self._loop.close()
