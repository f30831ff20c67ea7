"""One simulated region, its worker, the store, and a publisher that keeps what it is given.

The hub is here too, but works only when asked (`merge`); nothing is sent again unless `send_due` is called.
So a test decides what happens when, and what is late or lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Engine

from pipeline import wire
from pipeline.agents.apply import Rules
from pipeline.agents.desk import Desk, Watch
from pipeline.agents.intake import Taken
from pipeline.agents.merge import Merger, Seen
from pipeline.agents.publish import Message, Publisher
from pipeline.agents.region import RegionWorker
from pipeline.agents.report import SILENT, Report
from pipeline.agents.signs import Signs
from pipeline.agents.tenure import Tenure
from pipeline.cloudstack.client import CallRecord, ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core import topics
from pipeline.core.entities import ROOT, Kind
from pipeline.core.events import hint
from pipeline.core.records import Desired, Observation, Position, Topology
from pipeline.core.retry import Backoff
from pipeline.metrics.instruments import Instruments
from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.hub import HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import attempt, outbox, rmap
from pipeline.outbox.terms import Terms
from pipeline.sandbox.launch import SimulatedRegion, now_ms, simulated_regions
from tests.contract.sandbox.api import Api
from tests.unit.outbox.builders import Clock, row, rows

HERE, FAR = "r2", "r1"
"""The simulated region, and one that only its observations tell of."""
SERVICE = "svc-sync"
LIMIT_S = 90.0
FAST = Backoff(first_s=0.005, cap_s=0.05)


class Killed(RuntimeError):
    """The worker's process ended at this point."""


@dataclass
class Topics:
    """Keeps messages instead of sending them. `dies_at`: the topic whose next message is never sent, since
    the process was killed just before."""

    messages: list[Message] = field(default_factory=list)
    dies_at: str = ""

    async def publish(self, messages: Sequence[Message]) -> None:
        if any(one.topic == self.dies_at for one in messages):
            self.dies_at = ""
            raise Killed
        self.messages += messages

    def take(self, topic: str) -> list[Message]:
        found = [one for one in self.messages if one.topic == topic]
        self.messages = [one for one in self.messages if one.topic != topic]
        return found


@dataclass
class Rig:
    region: SimulatedRegion
    engine: Engine
    desk: Desk
    kafka: Topics
    clock: Clock
    worker: RegionWorker
    hub: HubStore
    merger: Merger
    api: Api
    _offsets: count[int] = field(default_factory=count)
    _running: asyncio.Task[None] | None = None

    def begin(self, rules: Rules | None = None) -> None:
        """A fresh worker over the same store and region."""
        self.begin_with(RegionWorker(self.desk, 4, rules))

    async def restart(self, rules: Rules | None = None) -> None:
        """The worker ends, and a fresh one starts as in earnest, under these rules."""
        await self.end()
        self.begin(rules)
        await self.worker.take_up()

    def begin_with(self, worker: RegionWorker) -> None:
        self.worker = worker
        self.worker.guard.backoff = FAST
        self.worker.start()
        self._running = asyncio.create_task(self.worker.work())

    async def read_by(self, resources: Resources) -> None:
        """A fresh worker that reads the region so; what was called before is forgotten."""
        await self.end()
        await resources.start()
        watch = Watch(self.desk.tenure, self.desk.report, self.desk.signs)
        self.desk = Desk(resources, self.desk.store, cast(Publisher, self.kafka), self.clock, watch)
        self.begin()
        self.region.calls.clear()

    async def end(self) -> None:
        await self.worker.stop()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)

    # --- what comes from Kafka

    async def give(self, *desired: Desired) -> None:
        """Through the worker until it is acknowledged; raises what ended the worker."""
        for one in desired:
            take = self.worker.take_revocation if one.revokes else self.worker.take_desired
            await self._through([one], take, topics.carrying(HERE, revokes=one.revokes))

    async def hear(self) -> None:
        """All that the region said on its bus since, one after the other."""
        said, self.api.events[:] = list(self.api.events), []
        for _, body in said:
            value = json.dumps(body).encode()
            await self._acknowledged(self.worker.take_event, topics.events(HERE), body["entity"], value)

    async def look(self, kind: Kind, uuid: str) -> None:
        """A hint to read one entity."""
        value = hint(kind, uuid, self.clock())
        await self._acknowledged(self.worker.take_event, topics.events(HERE), uuid, value)

    async def _through(self, desired: Sequence[Desired], take: Any, topic: str) -> None:
        for one in desired:
            key = self.hub.locals([(one.uuid, HERE)]).get((one.uuid, HERE), one.uuid)
            await self._acknowledged(take, topic, key, wire.encode(one))

    async def _acknowledged(self, take: Any, topic: str, key: str, value: bytes) -> None:
        done = asyncio.Event()
        await take(Taken((topic, 0), next(self._offsets), key.encode(), value, {}, done.set))
        waiting = asyncio.create_task(done.wait())
        assert self._running is not None
        await asyncio.wait({waiting, self._running}, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            waiting.cancel()
            self._running.result()
        assert waiting.done(), f"not acknowledged: {self.worker.guard.last_error}"

    # --- the hub

    def merge(self, *observations: Observation) -> list[Desired]:
        """What the far region saw becomes records; the desired states of the simulated region."""
        seen = [Seen(one, Position("log/0", next(self._offsets))) for one in observations]
        sent: list[Desired] = []
        while seen:
            batch = self.merger.batch(seen)
            sent += [one for _, one, _ in self.hub.commit(batch.changes, self.clock(), (), batch.unborn)]
            seen = seen[batch.taken :]
        return [one for one in sent if one.region == HERE]

    async def tell(self, *observations: Observation) -> list[Desired]:
        """Merged, and applied in the simulated region; the hub then hears of the results."""
        desired = self.merge(*observations)
        await self.give(*desired)
        self.merge(*self.observed())
        return desired

    async def learn(self, kind: Kind, uuid: str) -> None:
        """The hub knows what the region holds of this entity."""
        await self.look(kind, uuid)
        self.merge(*self.observed())

    async def send_due(self) -> None:
        """Rows whose time has come, through the worker once more."""
        await self.desk.send_due(200)
        for topic in (topics.revoke(HERE), topics.desired(HERE)):
            for message in self.kafka.take(topic):
                await self.give(wire.desired(message.value))

    # --- what came of it

    def observed(self) -> list[Observation]:
        """The observations since the last time."""
        return [wire.observation(one.value) for one in self.kafka.take(topics.OBSERVATIONS)]

    def hinted(self) -> set[str]:
        return {(one.key or b"").decode() for one in self.kafka.take(topics.events(HERE))}

    def outbox(self, desired: Desired) -> dict[str, Any]:
        return row(self.engine, outbox, entity=desired.uuid, region=HERE, version=desired.version)

    def commands(self, desired: Desired) -> list[str]:
        """The calls that are written down for the row."""
        own = self.outbox(desired)["id"]
        return [one["command"] for one in rows(self.engine, attempt) if one["outbox_id"] == own]

    def local(self, canonical: str) -> str:
        return str(row(self.engine, rmap, source=canonical, region_id=HERE)["uuid"])

    def writes(self) -> dict[str, int]:
        """Changes that the worker made since the last time."""
        made = self.region.calls.by_command(SERVICE)
        self.region.calls.clear()
        return {name: n for name, n in made.items() if not name.startswith(("list", "get", "query"))}

    async def state(self, kind: Kind, uuid: str) -> str:
        fields = (await self.desk.resources.read(kind, uuid)).fields
        assert fields is not None
        return fields["state"]


@asynccontextmanager
async def rigged(
    folder: Path, report: Report = SILENT, url: str = "", timeout_s: float = 5.0
) -> AsyncIterator[Rig]:
    """Over SQLite, or the empty database at `url`. `timeout_s`: how long the worker waits for one answer of
    the region."""
    url = url or f"sqlite:///{folder / 'rig.db'}"
    migrate(url)
    engine = open_database(url)
    clock = Clock(now_ms())
    async with simulated_regions(1, names=(HERE,)) as (region,):
        keys = Credentials(region.service.apikey, region.service.secretkey)
        told = report.calls_of(HERE) if isinstance(report, Instruments) else lambda _: None
        signs = Signs()

        def called(call: CallRecord) -> None:
            signs.give()
            told(call)

        tenure = Tenure(Terms(engine, HERE, clock).next)
        client = CloudStack(
            ClientSettings(region.endpoint, keys, timeout_s=timeout_s),
            clock=now_ms,
            on_call=called,
            before_change=tenure.before_change,
        )
        resources = Resources(client)
        await resources.start()
        kafka = Topics()
        watch = Watch(tenure, report, signs)
        desk = Desk(resources, RegionStore(engine, HERE, clock), cast(Publisher, kafka), clock, watch)
        hub = HubStore(engine, clock)
        merger = Merger(hub, Topology((FAR, HERE)))
        rig = Rig(region, engine, desk, kafka, clock, RegionWorker(desk, 4), hub, merger, Api(region))
        rig.begin()
        region.calls.clear()
        try:
            yield rig
        finally:
            await rig.end()
            await client.aclose()
            engine.dispose()


__all__ = ["FAR", "HERE", "ROOT", "SERVICE", "Killed", "Rig", "Topics", "rigged"]
