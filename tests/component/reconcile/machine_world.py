"""Two or three simulated regions with the pipeline over them: work in pieces, draining, scanning, people.

Used by the state machine and by the tests beside it. Everything that a person or an accident can do is a
method here; what must be true in the end is in `machine_laws`.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode

from sqlalchemy import event, func, select

from pipeline.agents.publish import Publisher
from pipeline.core import topics
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.engine import migrate, open_database, reading
from pipeline.outbox.holding import Held, HoldStore, NotHeld
from pipeline.outbox.hub import HubStore
from pipeline.outbox.mappings import OPEN
from pipeline.outbox.scans import ScanRow, ScanStore
from pipeline.outbox.schema import outbox
from pipeline.reconcile.asking import Asking
from pipeline.reconcile.scan import Scanner
from pipeline.sandbox.auth import signature
from pipeline.sandbox.region import Region
from tests.component.reconcile.machine_rig import Clock, HubRunner, Kafka, Site, answered
from tests.component.reconcile.virtual import VirtualLoop

NAMES: Final = ("r1", "r2", "r3")
ROUNDS: Final = 400
"""Of draining; what is not at rest then never will be."""
STILL_MS: Final = 200_000
"""At rest: nothing has changed for so long, longer than any row waits that needs nobody's decision."""
SCAN_AFTER_MS: Final = 5_000


class MachineWorld:
    """`first`: how many regions take part from the start; the others join later."""

    def __init__(self, folder: Path, first: int = 2, count: int = 3, seed: int = 1) -> None:
        self.loop = VirtualLoop()
        self.clock = Clock(self.loop)
        self.rng = random.Random(seed)
        self.engine = open_database(f"sqlite:///{_fresh_database(folder)}")
        event.listen(self.engine, "connect", _carelessly)
        self.kafka = Kafka()
        regions = [Region(name, seed, self.clock) for name in NAMES[:count]]
        self.sites = [Site(self.kafka, one, self.engine, self.clock) for one in regions]
        self.joined = list(NAMES[:first])
        store = HubStore(self.engine, self.clock)
        self.hub = HubRunner(self.kafka, store, self.clock, tuple(self.joined))
        self.run(self._start())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self._stop())
        self.engine.dispose()
        self.loop.close()

    # --- the pipeline

    @property
    def active(self) -> list[Site]:
        """The regions that take part."""
        return [one for one in self.sites if one.region.name in self.joined]

    async def join(self, site: Site) -> None:
        """The region takes part from now on; the hub starts again with the new settings."""
        if site.region.name in self.joined:
            return
        self.joined.append(site.region.name)
        site.bus.clear()  # nobody listened
        self.hub.regions = tuple(self.joined)
        await self.hub.restart()
        await site.start()

    async def step(self, site: Site, count: int) -> None:
        await site.work(count, self.rng.randrange)

    async def merge(self, count: int) -> None:
        await self.hub.work(count, self.rng.randrange)

    async def drain(self) -> None:
        """All that was said is heard, and all that follows is carried out, as far as it ever will be."""
        still_since, before = self.clock(), self._state()
        for _ in range(ROUNDS):
            await self._work_off()
            now = self._state()
            if now != before:
                still_since, before = self.clock(), now
            due = self._next_due()
            if due is None or max(due, self.clock()) - still_since > STILL_MS:
                return
            self.clock.ahead += max(0, due - self.clock()) + 1
            for site in self.active:
                await site.send_due()
        raise AssertionError(f"not at rest after {ROUNDS} rounds: {self.open_rows()[:5]}")

    async def _work_off(self) -> None:
        for _ in range(ROUNDS):
            for site in self.active:
                site.relay([False] * len(site.bus))
                await site.work(1000, self.rng.randrange)
            await self.hub.work(1000, self.rng.randrange)
            runners = (self.hub, *self.active)
            if not any(one.consumer.waiting() for one in runners) and not any(one.bus for one in self.active):
                return
        raise AssertionError("messages without end")

    async def scan(self, site: Site) -> ScanRow:
        """The scan alone; what it asks for waits in its topic."""
        self.clock.ahead += SCAN_AFTER_MS
        asking = Asking(cast(Publisher, site.process), site.region.name, self.clock)
        store = ScanStore(self.engine, site.region.name, self.clock)
        return await Scanner(site.desk.resources, store, asking).run("me")

    async def heal(self) -> None:
        """One scan of every region and all that follows from it."""
        await self.drain()
        for site in self.active:
            await self.scan(site)
        await self.drain()

    async def _start(self) -> None:
        for site in self.active:
            await site.start()
        await self.hub.start()

    async def _stop(self) -> None:
        for one in (self.hub, *self.active):
            await one.stop()

    # --- people

    async def call(self, site: Site, command: str, **params: str) -> dict[str, Any]:
        """One call by the region's administrator, and the end of its job. Refusals are answers too."""
        keys = site.region.admin
        pairs = [("command", command), ("apiKey", keys.apikey), ("response", "json"), *params.items()]
        pairs.append(("signature", signature(pairs, keys.secretkey)))
        _, _, body = answered(site.region, "POST", urlencode(pairs))
        await asyncio.sleep(0.002)
        return cast(dict[str, Any], body)

    def holds(self) -> list[Held]:
        return HoldStore(self.engine).holds()

    def decide(self, one: Held, approve: bool) -> None:
        store, by = ActStore(self.engine), By("ann", "said so", self.clock())
        try:
            (store.approve if approve else store.refuse)(one.id, by)
        except NotHeld:
            return

    def retry(self) -> None:
        for site in self.active:
            ActStore(self.engine).retry_region(site.region.name, By("ann", "once more", self.clock()))

    # --- what is there

    def open_rows(self) -> list[tuple[Any, ...]]:
        query = select(outbox.c.region, outbox.c.kind, outbox.c.entity, outbox.c.state, outbox.c.message)
        with reading(self.engine) as connection:
            return [tuple(row) for row in connection.execute(query.where(outbox.c.state.in_(OPEN)))]

    def _next_due(self) -> int | None:
        query = select(func.min(outbox.c.due_time)).where(
            outbox.c.state.in_(OPEN), outbox.c.region.in_(self.joined)
        )
        with reading(self.engine) as connection:
            return cast("int | None", connection.execute(query).scalar_one())

    def _state(self) -> object:
        """Changes whenever anything comes forward."""
        counted = select(outbox.c.region, outbox.c.state, func.count())
        grouped = counted.group_by(outbox.c.region, outbox.c.state).order_by(outbox.c.region, outbox.c.state)
        with reading(self.engine) as connection:
            rows = [tuple(row) for row in connection.execute(grouped)]
        ends = [len(self.kafka.logs[one]) for one in self.kafka.partitions(topics.OBSERVATIONS)]
        return rows, ends, [site.region.calls.writes() for site in self.sites]


_template: dict[Path, Path] = {}


def _fresh_database(folder: Path) -> Path:
    """Migrated once, then copied."""
    if folder not in _template:
        _template[folder] = folder / "template.db"
        migrate(f"sqlite:///{_template[folder]}")
    fresh = folder / "machine.db"
    for end in ("", "-wal", "-shm"):
        Path(f"{fresh}{end}").unlink(missing_ok=True)
    shutil.copyfile(_template[folder], fresh)
    return fresh


def _carelessly(connection: Any, _record: object) -> None:
    """No power failure is tested here."""
    connection.execute("PRAGMA synchronous=OFF")
