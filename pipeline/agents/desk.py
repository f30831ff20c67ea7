"""What every lane of a region worker works with: the region, the store, the publisher, the clock.

In: questions and results of single entities. Out: batched statements and published messages. Used by observe
and apply; built by the region worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline import wire
from pipeline.agents.batch import Batcher
from pipeline.agents.letters import Letters
from pipeline.agents.publish import Message, Publisher
from pipeline.agents.report import SILENT, Report, timed
from pipeline.agents.signs import Signs
from pipeline.agents.tenure import Outdated, Tenure
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.core import topics
from pipeline.core.entities import OPTIONAL, Kind, Snapshot
from pipeline.core.errors import TemporaryError
from pipeline.core.events import HINT, hint
from pipeline.core.makeshift import is_makeshift
from pipeline.core.records import Desired, Founder, Observation
from pipeline.outbox.region import Context, DueRow, RegionStore, Settlement

WRITE_TRIES: Final = 4
"""Of one batch of settlements, at once; after that the region's guard waits."""


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Why an entity was read: what an observation says besides what it saw (see `Observation`)."""

    time: int
    cause: str
    applied: int | None = None
    lost: bool = False
    created: int | None = None
    wrote: bool = False
    unseen: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Who looks at what the worker does: who says whether it may still do it, who counts it, and who notices
    that it does nothing any more."""

    tenure: Tenure
    report: Report = SILENT
    signs: Signs = field(default_factory=Signs)


class Desk:
    """One region worker's access to everything outside of it."""

    def __init__(
        self,
        resources: Resources,
        store: RegionStore,
        publisher: Publisher,
        clock: Callable[[], int],
        watch: Watch,
    ) -> None:
        self.report = report = watch.report
        self.tenure = watch.tenure
        self.signs = watch.signs
        self.resources = resources
        self.store = store
        self.clock = clock
        self._publisher = publisher
        self._contexts: Batcher[Desired, Context] = Batcher(timed(report, "contexts", store.contexts))
        self._settlements: Batcher[Settlement, None] = Batcher(timed(report, "settlements", self._settle))
        self._names: Batcher[str, str] = Batcher(timed(report, "names", self._canonical))
        self._places: Batcher[str, bool] = Batcher(timed(report, "places", self._here))
        self.settled = asyncio.Event()

    @property
    def client(self) -> CloudStack:
        return self.resources.client

    @property
    def region(self) -> str:
        return self.store.region

    async def context(self, desired: Desired) -> Context:
        return await self._contexts.ask(desired)

    async def unchanged(self, desired: Desired, known: Context) -> None:
        """Raises `Outdated` where the row has ended, or something newer is known, since `known` was read."""
        now = await self._contexts.ask(desired)
        if _stage(now) != _stage(known):
            raise Outdated(f"{desired.kind} {desired.uuid}: another worker has been at it")

    async def is_here(self, local: str) -> bool:
        """Whether the region is known to hold the entity by now, from what was observed or applied."""
        return await self._places.ask(local)

    async def settle(self, settlement: Settlement) -> None:
        """Returns when the row is written."""
        await self._settlements.ask(settlement)
        self.settled.set()

    async def publish(self, snapshot: Snapshot, sighting: Sighting, canonical: str | None = None) -> None:
        """What was seen, to the hub; returns when Kafka has it. What is never touched is never told, but for
        what has been made a root administrator. Raises `Lost`, and `Outdated` where it is to be read again
        first."""
        known = snapshot.root_admin and await self.is_here(snapshot.uuid)
        if snapshot.is_left_alone(known=known) or is_makeshift(snapshot):
            return
        key = canonical or await self._names.ask(snapshot.uuid)
        observation = Observation(
            region=self.region,
            kind=snapshot.kind,
            uuid=snapshot.uuid,
            fields=None if snapshot.fields is None else dict(snapshot.fields),
            time=sighting.time,
            cause=sighting.cause,
            applied=sighting.applied,
            founder=_founder(snapshot),
            lost=sighting.lost,
            created=sighting.created,
            term=self.tenure.before_word(),
            wrote=sighting.wrote,
            unseen=sighting.unseen,
            root_admin=snapshot.root_admin,
        )
        await self._publisher.publish([Message(topics.OBSERVATIONS, key.encode(), wire.encode(observation))])

    async def hint(self, kind: Kind, uuids: Sequence[str], time: int, event: str = HINT) -> None:
        """Asks for these entities of this region to be read, by the one road there is. `event`: SCAN where
        nobody said that anything befell them."""
        topic = topics.events(self.region)
        await self._publisher.publish([Message(topic, u.encode(), hint(kind, u, time, event)) for u in uuids])

    def letters(self, topic: str, per_minute: int) -> Letters:
        """Where what can't be read of that topic goes."""
        return Letters(topic, self._publisher, per_minute)

    async def send_due(self, limit: int) -> None:
        """Rows that were parked, or whose publishing crashed, once more to this region's own topics."""
        await self._send(self.store.due, limit)

    async def send_due_revocations(self, limit: int) -> None:
        """Those of them that take access away."""
        await self._send(self.store.due_revocations, limit)

    async def _send(self, due: Callable[[int, int], Sequence[DueRow]], limit: int) -> None:
        leased = self.clock()
        rows = await asyncio.to_thread(due, leased, limit)
        await self._publisher.publish(
            [Message(topics.carrying(self.region, revokes=row.revokes), row.key, row.body) for row in rows]
        )
        if rows:
            ids = [row.id for row in rows]
            await asyncio.to_thread(self.store.republished, ids, leased, self.clock())

    def _settle(self, settlements: Sequence[Settlement]) -> list[None]:
        """The hub writes where the same entities are, in the same moment. Who comes second tries again here:
        otherwise each entity of the batch would be read once more for it."""
        for _ in range(WRITE_TRIES - 1):
            try:
                self.store.settle(settlements, self.clock())
                break
            except TemporaryError as error:
                log.debug("%s: settled once more: %s", self.region, error)
        else:
            self.store.settle(settlements, self.clock())
        return [None] * len(settlements)

    def _canonical(self, locals_: Sequence[str]) -> list[str]:
        known = self.store.canonical(set(locals_))
        return [known.get(local, local) for local in locals_]

    def _here(self, locals_: Sequence[str]) -> list[bool]:
        here = self.store.here(set(locals_))
        return [local in here for local in locals_]


def _stage(context: Context) -> tuple[str | None, int, int]:
    return context.state, context.newest, context.applied_version


def _founder(snapshot: Snapshot) -> Founder | None:
    """The oldest user of an account, whom another region can make the account with."""
    for user in snapshot.users:
        if user.fields is not None and not is_makeshift(user):
            # Keys are told by the user's own observation alone.
            told = {name: text for name, text in user.fields.items() if name not in OPTIONAL[Kind.USER]}
            return Founder(user.uuid, told)
    return None
