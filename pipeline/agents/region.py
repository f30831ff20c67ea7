"""A region worker: answers hints and applies desired states of one region, an entity at a time per lane.

In: messages of `events.<region>` and `desired.<region>`, which have the same key and so meet in one lane.
Out: observations, settled rows, acknowledgements in order. Built by pipeline/app.py, fed by Faust agents.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from pipeline import wire
from pipeline.agents.acknowledge import InOrder, Partition
from pipeline.agents.apply import Applier, Rules
from pipeline.agents.calls import Caller
from pipeline.agents.desk import Desk
from pipeline.agents.guard import Guard
from pipeline.agents.intake import Taken
from pipeline.agents.lanes import Lanes
from pipeline.agents.letters import PER_MINUTE, Letters
from pipeline.agents.observe import SWEPT, Observer
from pipeline.agents.report import tell_event
from pipeline.agents.tenure import Held, Lost
from pipeline.core import topics
from pipeline.core.errors import PermanentError
from pipeline.core.events import AGAIN, UNPROMPTED, Event, Unreadable, parse_event
from pipeline.core.mode import Mode
from pipeline.core.records import Desired
from pipeline.core.soundness import flaw

KEYS_PER_LANE: Final = 4
"""Entities at work for each call that may be under way: while one of them waits for the database, another one
has the region (measured: tests/benchmarks/apply.py)."""
ROOM_PER_LANE: Final = 32
"""How many messages wait in memory for each lane; what is beyond stays in Kafka."""
DUE_ROWS: Final = 200
DUE_EVERY_S: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A hint or a desired state, with the message that brought it."""

    taken: Taken
    wanted: Event | Desired | Echo
    held: Held


@dataclass(frozen=True, slots=True)
class Echo:
    """Word of a call of our own that may be one which was given up, of these entities."""

    locals: tuple[str, ...]


class RegionWorker:
    """The part of a region worker that knows no Faust."""

    def __init__(
        self, desk: Desk, lanes: int, rules: Rules | None = None, letters_per_minute: int = PER_MINUTE
    ) -> None:
        rules = rules or Rules()
        self._desk = desk
        self._mode = rules.mode
        self._tenure = desk.tenure
        self._in_order = InOrder()
        self._finished = 0
        self._given_up: Counter[Partition] = Counter()
        self.guard = Guard()
        self.events = desk.letters(topics.events(desk.region), letters_per_minute)
        self.desired = desk.letters(topics.desired(desk.region), letters_per_minute)
        self.lanes: Lanes[Job] = Lanes(lanes * KEYS_PER_LANE, lanes * ROOM_PER_LANE, self._work)
        self._observer = Observer(desk)
        self._applier = Applier(desk, Caller(desk, self._exclusive), rules)

    @property
    def done(self) -> int:
        """Messages that were finished, and calls for others that were made."""
        return self._finished + self._desk.signs.given

    @property
    def busy(self) -> Collection[Partition]:
        """Partitions with messages that are not finished."""
        return self._in_order.busy

    @property
    def full(self) -> bool:
        return self.lanes.full

    @property
    def letters(self) -> tuple[Letters, Letters]:
        """Of both topics."""
        return self.events, self.desired

    @property
    def stopped(self) -> str | None:
        """Why nothing is taken from a topic now."""
        return self.events.stopped or self.desired.stopped

    async def run(self) -> None:
        """Until cancelled, or until something unknown goes wrong, which it raises."""
        await self.guard.patiently("rows of mode plan", self.take_up)
        self.lanes.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.lanes.run())
                group.create_task(self._send_due_rows())
                group.create_task(self._tenure.run())
        finally:
            await self.lanes.stop()

    async def take_up(self) -> None:
        """What mode plan only worked out is carried out now, if this worker may."""
        if self._mode is Mode.APPLY:
            await asyncio.to_thread(self._desk.store.release_planned, self._desk.clock())

    async def take_event(self, taken: Taken) -> None:
        """A message of the region's events: what can't have changed anything is done with at once."""
        if not await self._begun(taken, self.events):
            return
        try:
            event = parse_event(taken.value)
        except Unreadable as error:
            tell_event(self._desk.report, self._desk.region, taken, None, "unreadable")
            await self._bury(taken, str(error), self.events)
            return
        outcome = self._judge(event)
        tell_event(self._desk.report, self._desk.region, taken, event, outcome)
        if event.type == AGAIN:
            self._tenure.renew()
        doubtful = self._applier.doubts.about(event) if outcome == "echo" else ()
        if doubtful:
            await self._put(doubtful[0], taken, Echo(doubtful))
            return
        if event.uuid is None or outcome != "taken":
            self._finish(taken)
            return
        await self._put(event.uuid, taken, event)

    def _judge(self, event: Event) -> Literal["taken", "ignored", "echo"]:
        if event.uuid is None or not event.completed:
            return "ignored"
        return "echo" if self._observer.is_echo(event) else "taken"

    async def take_desired(self, taken: Taken) -> None:
        """A message of the region's desired states."""
        if not await self._begun(taken, self.desired):
            return
        try:
            desired = wire.desired(taken.value)
            key = (taken.key or desired.uuid.encode()).decode()
        except (wire.Unreadable, UnicodeDecodeError) as error:
            await self._bury(taken, str(error), self.desired)
            return
        wrong = flaw(desired)
        if desired.region != self._desk.region:
            wrong = wrong or f"it is for region {desired.region!r}"
        if wrong is not None:
            await self._bury(taken, wrong, self.desired)
            return
        await self._put(key, taken, desired)

    async def _put(self, key: str, taken: Taken, wanted: Event | Desired | Echo) -> None:
        held = await self.guard.patiently("term", partial(self._tenure.take, taken.partition))
        await self.lanes.put(key, Job(taken, wanted, held))

    def give_up(self, partitions: Collection[Partition]) -> None:
        """These partitions belong to another worker now."""
        self._tenure.give_up(partitions)
        self._in_order.forget(partitions)
        self._given_up.update(partitions)
        self.lanes.discard(lambda job: job.taken.partition in partitions)

    async def _work(self, key: str, jobs: list[Job]) -> None:
        """Until it is done, or lost: then it is read again by whoever has it now."""
        while jobs := [job for job in jobs if self._tenure.holds(job.held)]:
            try:
                await self.guard.patiently(f"{self._desk.region}: {key}", partial(self._attempt, key, jobs))
            except Lost:
                log.info("%s: %s belongs to another worker now", self._desk.region, key)
                continue
            for job in jobs:
                self._finish(job.taken)
            return

    async def _attempt(self, key: str, jobs: list[Job]) -> None:
        with self._tenure.at_work([job.held for job in jobs]), self._desk.signs.of(key):
            await self._once(jobs)

    @asynccontextmanager
    async def _exclusive(self, key: str) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            with self._desk.signs.waiting():
                await stack.enter_async_context(self.lanes.exclusive(key))
            yield

    async def _once(self, jobs: list[Job]) -> None:
        """Everything that waits for one entity: apply reads it anyway, and so answers the hints."""
        events = [job.wanted for job in jobs if isinstance(job.wanted, Event)]
        plain = [event.time for event in events if event.type not in SWEPT | UNPROMPTED]
        told = False
        for job in jobs:
            if isinstance(job.wanted, Desired):
                told |= await self._applier.apply(job.wanted, max(plain, default=None))
        for job in jobs:
            if isinstance(job.wanted, Echo):
                await self._applier.doubts.settle(job.wanted.locals)
        unanswered = [event for event in events if not told or event.type in SWEPT]
        try:
            await self._observer.observe(unanswered)
        except PermanentError as error:  # no later try answers it: a person's business
            for job in jobs:
                if job.wanted in unanswered:
                    await self._letter(job.taken, str(error), self.events)

    async def _send_due_rows(self) -> None:
        """Rows that were parked, or whose publishing crashed, once more through Kafka."""
        while True:
            if self._mode is not Mode.PAUSED and not (self.guard.waiting or self.lanes.full):
                await self.guard.patiently("due rows", partial(self._desk.send_due, DUE_ROWS))
            await self._settled_or_later()

    async def _settled_or_later(self) -> None:
        """A settlement may have woken rows that waited for it; a timer is the fallback."""
        self._desk.settled.clear()
        try:
            await asyncio.wait_for(self._desk.settled.wait(), DUE_EVERY_S)
            await asyncio.sleep(DUE_EVERY_S / 10)
        except TimeoutError:
            return

    async def _bury(self, taken: Taken, reason: str, letters: Letters) -> None:
        await self.guard.patiently("dead letter", lambda: self._letter(taken, reason, letters))
        self._finish(taken)

    async def _letter(self, taken: Taken, reason: str, letters: Letters) -> None:
        await letters.bury(taken.key, taken.value, reason, self._desk.region)

    async def _begun(self, taken: Taken, letters: Letters) -> bool:
        """Once there is room for it. False where its partition was given away by then: it is another's."""
        generation = self._given_up[taken.partition]
        await letters.room()
        if self._given_up[taken.partition] != generation:
            return False
        self._in_order.begin(taken.partition, taken.offset, taken.acknowledge)
        return True

    def _finish(self, taken: Taken) -> None:
        self._finished += 1
        self._in_order.finish(taken.partition, taken.offset)
