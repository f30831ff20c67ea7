"""The hub: takes observations in batches, merges each batch in one transaction, publishes what follows.

In: messages of the observations topic. Out: rows in the store, desired states on the regions' topics,
hints. Order of a batch: decide, commit, publish, mark as published, acknowledge. Cut off anywhere, it is
taken again: what was committed is then a redelivery, and a row that was not published is sent by its
region's timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from pipeline import wire
from pipeline.agents.acknowledge import Partition
from pipeline.agents.early import Early
from pipeline.agents.guard import Guard
from pipeline.agents.intake import Taken
from pipeline.agents.letters import PER_MINUTE, Letters
from pipeline.agents.merge import Batch, Merger, Seen
from pipeline.agents.publish import Message, Publisher
from pipeline.agents.report import SILENT, Report, tell_merged, tell_sent, timed
from pipeline.core import topics
from pipeline.core.records import Desired, Position
from pipeline.core.soundness import flaw
from pipeline.outbox.hub import DeadLetter, HubStore

QUEUED: Final = 4_000
LETTER_KEPT: Final = 65_536
"""Bytes of a dead letter's body that the table keeps; the topic has the rest."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """When, where and for whom: `epoch` tells this log of observations from an earlier one, `regions` are
    those that take part; `report` is told what is decided; `letters_per_minute`: so many dead letters at
    most."""

    epoch: str
    clock: Callable[[], int]
    regions: frozenset[str]
    report: Report = SILENT
    letters_per_minute: int = PER_MINUTE


@dataclass(frozen=True, slots=True)
class Foreign:
    """Word of a region that was taken out of the settings, or is left out: nothing is wrong with it, and what
    it says must not stop the others."""

    reason: str


Putting = Callable[[bytes | None, bytes, str], Awaitable[None]]


class Hub:
    """The part of the hub that knows no Faust."""

    def __init__(self, store: HubStore, merger: Merger, publisher: Publisher, place: Place) -> None:
        self._store = store
        self._merger = merger
        self._early = Early(store, merger.limited)
        self._publisher = publisher
        self._epoch = place.epoch
        self._clock = place.clock
        self._regions = place.regions
        self._report = place.report
        self._decide = timed(place.report, "merge", self._decide_and_commit)
        self._queue: asyncio.Queue[Taken] = asyncio.Queue(QUEUED)
        self._given_up: set[Partition] = set()
        self._under_way: Counter[Partition] = Counter()
        self.done = 0
        self.letters = Letters(topics.OBSERVATIONS, publisher, place.letters_per_minute)
        self.guard = Guard()
        self.outcomes: Counter[str] = Counter()

    async def take(self, taken: Taken) -> None:
        """A message of the observations topic; waits while too many do."""
        self._given_up.discard(taken.partition)
        self._under_way[taken.partition] += 1
        await self._queue.put(taken)

    async def take_dead_letter(self, taken: Taken) -> None:
        """A message of the dead letters' topic, into the table where people look."""
        letter = DeadLetter(
            topic=taken.partition[0],
            partition=taken.partition[1],
            offset=taken.offset,
            region=_header(taken, topics.HEADER_REGION),
            routing_key=_header(taken, topics.HEADER_ROUTING_KEY),
            reason=_header(taken, topics.HEADER_REASON),
            body=taken.value[:LETTER_KEPT],
            time=self._clock(),
        )
        await self.guard.patiently(
            "dead letter", lambda: asyncio.to_thread(self._store.keep_dead_letters, [letter])
        )
        self._report.dead_letter(letter.region if letter.region in self._regions else "")
        taken.acknowledge()
        self.done += 1

    def give_up(self, partitions: Collection[Partition]) -> None:
        """These partitions belong to another hub now; the store's revisions keep us from its records."""
        self._given_up |= set(partitions)

    @property
    def busy(self) -> Collection[Partition]:
        """Partitions with messages that are not finished."""
        return {partition for partition, count in self._under_way.items() if count > 0}

    @property
    def stopped(self) -> str | None:
        """Why nothing is taken now."""
        return self.letters.stopped

    @property
    def full(self) -> bool:
        return self._queue.full()

    async def run(self, size: int) -> None:
        """Batch after batch of at most `size`, until cancelled. Raises whatever is unknown."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < size and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            ours = [taken for taken in batch if taken.partition not in self._given_up]
            await self._merge(ours)
            for taken in ours:
                taken.acknowledge()
            self._under_way.subtract(taken.partition for taken in batch)
            self.done += len(batch)

    async def _merge(self, batch: Sequence[Taken]) -> None:
        read = [self._read(taken) for taken in batch]
        seen = [one for one in read if isinstance(one, Seen)]
        if self._early.may_be_early(seen):
            put_off = partial(asyncio.to_thread, self._early.put_off, seen)
            seen, hints = await self.guard.patiently("hub", put_off)
            if hints:
                await self.guard.patiently("hints", partial(self._publisher.publish, hints))
        while seen:
            count = await self.guard.patiently("merge", partial(self._once, seen))
            seen = seen[count:]
        for taken, one in zip(
            batch, read, strict=True
        ):  # after all that is good: there may be no room for long
            if isinstance(one, Foreign):
                await self._put_away(taken, one.reason, self.letters.set_aside)
            elif isinstance(one, str):
                await self.letters.room()
                await self._put_away(taken, one, self.letters.bury)

    async def _once(self, seen: Sequence[Seen]) -> int:
        """One transaction and what follows from it; how many observations it took."""
        rows, hints, count = await asyncio.to_thread(self._decide, seen)
        await self._publisher.publish([message for _, message in rows] + hints)
        if rows:
            await asyncio.to_thread(self._store.published, [row for row, _ in rows], self._clock())
        return count

    def _decide_and_commit(
        self, seen: Sequence[Seen]
    ) -> tuple[list[tuple[int, Message]], list[Message], int]:
        batch = self._merger.batch(seen)
        rows = self._store.commit(batch.changes, self._clock(), batch.decisions, batch.unborn)
        keys = self._store.locals({(desired.uuid, desired.region) for _, desired, _ in rows})
        self.outcomes.update(batch.outcomes)
        self._tell(seen, batch, rows)
        messages = [(row, _message(desired, body, keys)) for row, desired, body in rows]
        return messages, batch.below.hints(self._store), batch.taken

    def _tell(self, seen: Sequence[Seen], batch: Batch, rows: Sequence[tuple[int, Desired, bytes]]) -> None:
        """What was decided; after the commit, so that what is decided anew is told once."""
        for one, entity, outcome in zip(seen, batch.entities, batch.outcomes, strict=False):
            tell_merged(self._report, one.observation.region, entity, outcome)
        for conflict in (one for change in (*batch.changes, *batch.unborn) for one in change.conflicts):
            told = self._report.violation if conflict.reason else self._report.conflict
            told(conflict.lost_stamp.region)
        for row, desired, _ in rows:
            tell_sent(desired, row)

    async def _put_away(self, taken: Taken, reason: str, put: Putting) -> None:
        if taken.partition not in self._given_up:
            await self.guard.patiently("dead letter", partial(put, taken.key, taken.value, reason))

    def _read(self, taken: Taken) -> Seen | Foreign | str:
        """What it says, or why it is a dead letter."""
        try:
            observation = wire.observation(taken.value)
        except wire.Unreadable as error:
            return str(error)
        wrong = flaw(observation)
        if wrong is not None:
            return wrong
        if observation.region not in self._regions:
            return Foreign(f"region {observation.region!r} takes no part")
        return Seen(observation, Position(f"{self._epoch}/{taken.partition[1]}", taken.offset))


def _message(desired: Desired, body: bytes, keys: dict[tuple[str, str], str]) -> Message:
    """Keyed by the region's own UUID, as its events are: both meet in one worker."""
    key = keys.get((desired.uuid, desired.region), desired.uuid)
    topic = topics.carrying(desired.region, revokes=desired.revokes)
    return Message(topic, key.encode(), body)


def _header(taken: Taken, name: str) -> str:
    return taken.headers.get(name, b"").decode("utf-8", "replace")
