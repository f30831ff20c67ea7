"""Several simulated regions and the whole pipeline over them, in one process and in virtual time.

Everything is the real code: the relay's judgement, each region's worker, the hub, the scanner, the stores on
SQLite. In place of Kafka there are lists that keep the order of a partition, in place of HTTP a call of the
region's own dispatcher, in place of the bus a list that a test lets through, or loses. Nothing happens unless
it is asked for. A process that dies loses what it had in memory; what it had not acknowledged comes again.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import parse_qsl

import httpx

from bridges.sieve import Hint, judge
from pipeline.agents.apply import Rules
from pipeline.agents.desk import Desk, Watch
from pipeline.agents.hub import Hub, Place
from pipeline.agents.intake import Taken
from pipeline.agents.merge import Merger
from pipeline.agents.publish import Message, Publisher
from pipeline.agents.region import RegionWorker
from pipeline.agents.tenure import Tenure
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core import topics
from pipeline.core.records import Topology
from pipeline.outbox.engine import Engine
from pipeline.outbox.hub import HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.terms import Terms
from pipeline.sandbox.dispatch import Request, dispatch
from pipeline.sandbox.region import Region

PARTITIONS: Final = 3
BATCH: Final = 100
LANES: Final = 4
CALL_S: Final = 0.004
"""What an API call takes: long enough for lanes to overtake each other."""
LIMIT_S: Final = 900.0
"""Virtual seconds in which everything that was taken must be acknowledged."""
BASE_MS: Final = 1_790_000_000_000

Partition = tuple[str, int]


class Killed(RuntimeError):
    """The process ended at this point."""


@dataclass
class Clock:
    """One clock for all: the loop's virtual time, and what a test adds to it."""

    loop: asyncio.AbstractEventLoop
    ahead: int = 0

    def __call__(self) -> int:
        return BASE_MS + int(self.loop.time() * 1000) + self.ahead


@dataclass
class Kafka:
    """Topics as lists; a group's place in each partition."""

    logs: defaultdict[Partition, list[Message]] = field(default_factory=lambda: defaultdict(list))
    committed: defaultdict[Partition, int] = field(default_factory=lambda: defaultdict(int))

    def put(self, messages: Sequence[Message]) -> None:
        for one in messages:
            self.logs[one.topic, zlib.crc32(one.key or b"") % PARTITIONS].append(one)

    def partitions(self, *names: str) -> list[Partition]:
        return [(name, number) for name in names for number in range(PARTITIONS)]


@dataclass
class Process:
    """What may die: after `left` more steps, before the step's effect or after it. A step is a call of the
    region's API or a publishing. What is dead has no effect on anything."""

    kafka: Kafka
    left: int | None = None
    after: bool = False
    dead: bool = False

    async def publish(self, messages: Sequence[Message]) -> None:
        if messages:
            self.step(lambda: self.kafka.put(messages))

    def step(self, effect: Callable[[], Any]) -> Any:
        if self.left is not None:
            self.left -= 1
        dies = self.left is not None and self.left < 0
        if self.dead or (dies and not self.after):
            self.dead = True
            raise Killed
        result = effect()
        if dies:
            self.dead = True
            raise Killed
        return result


class InProcess(httpx.AsyncBaseTransport):
    """The way to a simulated region, without HTTP."""

    def __init__(self, region: Region, process: Process) -> None:
        self._region = region
        self._process = process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        text = request.url.query.decode() or request.content.decode()
        await asyncio.sleep(CALL_S)
        status, key, body = self._process.step(lambda: answered(self._region, request.method, text))
        return httpx.Response(status, json={key: body})


def answered(region: Region, method: str, text: str) -> tuple[int, str, Any]:
    params = parse_qsl(text, keep_blank_values=True)
    reply = dispatch(region, Request(method, params))
    region.calls.add(reply.account, dict(params).get("command", "-"))
    return reply.status, reply.key, reply.body


@dataclass
class Consumer:
    """Takes messages of some partitions for a process, from where its group had come to."""

    kafka: Kafka
    sources: list[Partition]
    read: dict[Partition, int] = field(default_factory=dict)

    def waiting(self) -> int:
        return sum(len(self.kafka.logs[one]) - self._next(one) for one in self.sources)

    def _next(self, one: Partition) -> int:
        return self.read.get(one, self.kafka.committed[one])

    def unacknowledged(self) -> bool:
        return any(self._next(one) > self.kafka.committed[one] for one in self.sources)

    def take(self, chance: Callable[[int], int], process: Process) -> Taken | None:
        """The next of a partition by `chance`, which picks one of so many; for this process."""
        ready = [one for one in self.sources if len(self.kafka.logs[one]) > self._next(one)]
        if not ready:
            return None
        one = ready[chance(len(ready))]
        offset = self._next(one)
        self.read[one] = offset + 1
        found = self.kafka.logs[one][offset]
        headers = {name: text.encode() for name, text in found.headers.items()}

        def acknowledge() -> None:
            if process.dead:
                return
            assert self.kafka.committed[one] == offset, "acknowledged out of order"
            self.kafka.committed[one] = offset + 1

        return Taken(one, offset, found.key, found.value, headers, acknowledge)


class Runner:
    """One process of the pipeline: dies, and starts again over the same store."""

    def __init__(self, kafka: Kafka, *names: str) -> None:
        self.kafka = kafka
        self.names = names
        self.deaths = 0
        self.process = Process(kafka)
        self.consumer = Consumer(kafka, [])
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.process = Process(self.kafka)
        self.consumer = Consumer(self.kafka, self.kafka.partitions(*self.names))
        self._running = asyncio.create_task(await self.begin())

    async def begin(self) -> Any:
        """What runs until the process ends."""
        raise NotImplementedError

    async def hand_over(self, one: Taken) -> None:
        raise NotImplementedError

    def trouble(self) -> str:
        raise NotImplementedError

    async def stop(self) -> None:
        """As by kill -9: whatever it still does has no effect."""
        self.process.dead = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def work(self, count: int, chance: Callable[[int], int]) -> None:
        """Up to `count` messages at once, until all are acknowledged, or until the process dies."""
        running = self._running
        assert running is not None
        for _ in range(count):
            one = self.consumer.take(chance, self.process)
            if one is None:
                break
            await self.hand_over(one)
        for _ in range(int(LIMIT_S * 100)):
            if running.done() or not self.consumer.unacknowledged():
                break
            await asyncio.sleep(0.01)
        if running.done():
            await self._revive(running)
        assert not self.consumer.unacknowledged(), f"{self.names}: not acknowledged: {self.trouble()}"

    async def _revive(self, running: asyncio.Task[None]) -> None:
        error = running.exception()
        if not isinstance(error, Killed):
            raise error or AssertionError(f"{self.names} ended")
        self.deaths += 1
        await self.restart()


class HubRunner(Runner):
    """The hub. `regions`: who takes part."""

    def __init__(self, kafka: Kafka, store: HubStore, clock: Clock, regions: tuple[str, ...]) -> None:
        super().__init__(kafka, topics.OBSERVATIONS)
        self.store = store
        self.clock = clock
        self.regions = regions

    async def begin(self) -> Any:
        place = Place("epoch", self.clock, frozenset(self.regions))
        merger = Merger(self.store, Topology(self.regions))
        self.hub = Hub(self.store, merger, cast(Publisher, self.process), place)
        return self.hub.run(BATCH)

    async def hand_over(self, one: Taken) -> None:
        await self.hub.take(one)

    def trouble(self) -> str:
        return self.hub.guard.last_error


class Site(Runner):
    """One region with its bus and its worker."""

    def __init__(self, kafka: Kafka, region: Region, engine: Engine, clock: Clock) -> None:
        super().__init__(kafka, *topics.of_region(region.name))
        self.region = region
        self.clock = clock
        self.rules = Rules()
        self.store = RegionStore(engine, region.name, clock)
        self.terms = Terms(engine, region.name, clock)
        self.bus: list[tuple[str, str]] = []
        region.publish_to(lambda key, text: self.bus.append((key, text)))

    async def begin(self) -> Any:
        keys = Credentials(self.region.service.apikey, self.region.service.secretkey)
        transport = InProcess(self.region, self.process)
        settings = ClientSettings("http://region/client/api", keys)
        tenure = Tenure(self.terms.next, lambda: 0.0)  # virtual time jumps, and that is no standstill
        client = CloudStack(
            settings, clock=self.clock, transport=transport, before_change=tenure.before_change
        )
        resources = Resources(client)
        await resources.start()
        self.desk = Desk(resources, self.store, cast(Publisher, self.process), self.clock, Watch(tenure))
        self.worker = RegionWorker(self.desk, LANES, self.rules)
        await self.worker.take_up()
        self.worker.start()
        return self.worker.work()

    async def stop(self) -> None:
        await super().stop()
        if self._running is not None:
            await self.worker.stop()

    async def hand_over(self, one: Taken) -> None:
        takes = (self.worker.take_event, self.worker.take_desired, self.worker.take_revocation)
        await takes[self.names.index(one.partition[0])](one)

    def trouble(self) -> str:
        return self.worker.guard.last_error

    async def send_due(self) -> None:
        try:
            await self.desk.send_due(BATCH)
        except Killed:
            self.deaths += 1
            await self.restart()

    def relay(self, lost: Sequence[bool]) -> None:
        """The oldest messages of the bus, as many as `lost` says something of, to Kafka or to nowhere."""
        told, self.bus = self.bus[: len(lost)], self.bus[len(lost) :]
        for (key, text), gone in zip(told, lost, strict=True):
            words = key.split(".")
            if gone or words[1] != "ActionEvent" or words[3] not in ("Domain", "Account", "User"):
                continue
            verdict = judge(key, text.encode())
            if isinstance(verdict, Hint):
                self.kafka.put([Message(self.names[0], verdict.key, text.encode())])
