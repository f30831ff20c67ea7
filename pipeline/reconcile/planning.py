"""Plans what it would take to make one region equal: lists it, rehearses the merge, plans the calls.

In: the way to a region, the records, the rules. Out: a plan, kept by its hash; the region is only read, and
no record changes. Called by `region-sync plan`, `apply` and `join`. It decides nothing of its own: what the
hub and the region's worker would do with these observations is asked of their own code. Streamed: pages are
forgotten, of each entity 8 bytes are remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.agents.desk import Sighting
from pipeline.agents.naming import minted
from pipeline.agents.observe import by_the_log
from pipeline.cloudstack.resources import Resources
from pipeline.core.compare import digest
from pipeline.core.drift import Drift, Step, Tally
from pipeline.core.entities import Kind, Snapshot
from pipeline.core.errors import PermanentError
from pipeline.core.makeshift import is_makeshift
from pipeline.core.merge import is_echo
from pipeline.core.records import Observation, Record, Topology
from pipeline.outbox.directory import Directory
from pipeline.outbox.engine import Engine
from pipeline.outbox.plans import PlanRow, PlanStore
from pipeline.outbox.region import RegionStore
from pipeline.reconcile.places import DEEPEST, Places
from pipeline.reconcile.rehearsal import Rehearsal, RehearsalStore
from pipeline.reconcile.steps import Looked, Stepper

PAGE: Final = 500
AT_ONCE: Final = 8
"""Questions to the event log under way."""
CAUSE: Final = "plan"


def untold(_: int) -> None:
    """For whoever does not want to know."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a plan needs: the way to the region, the database, who wins a conflict, the time in ms."""

    resources: Resources
    engine: Engine
    region: str
    topology: Topology
    clock: Callable[[], int]


class Planner:
    """One plan of one region."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self._seen: set[bytes] = set()
        self._places = Places()
        self._directory = Directory(means.engine)
        self._store = RehearsalStore(means.engine, means.clock, means.region)
        self._rehearsal = Rehearsal(self._store, means.topology)
        store = RegionStore(means.engine, means.region, means.clock)
        self._stepper = Stepper(store, self._directory, self._places, self._store.locals_of)

    async def make(self, told: Callable[[int], None] = untold) -> PlanRow:
        """The whole plan, kept. `told` hears how many entities are done. Raises the errors of errors.py."""
        plans = PlanStore(self.means.engine, self.means.region, self.means.clock)
        number = await asyncio.to_thread(plans.begin)
        tally = Tally()
        async for found, steps in self._looked():
            tally.drifts[Drift.MATCHED] += found - len(steps)
            tally.add(steps)
            await asyncio.to_thread(plans.add, number, steps)
            told(tally.drifts.total())
        seconds = tally.seconds(await asyncio.to_thread(plans.measured_ms))
        return await asyncio.to_thread(plans.end, number, tally, seconds)

    async def _looked(self) -> AsyncIterator[tuple[int, list[Step]]]:
        """Page by page, how many entities were looked at, and what is to be done about some of them."""
        await asyncio.to_thread(self._learn)
        resources = self.means.resources
        if Kind.ROLE in resources.kinds:
            async for page in resources.roles():
                yield await self._listed(page)
        domains = parents_first([seen async for page in resources.domains() for seen in page])
        for start in range(0, len(domains), PAGE):
            yield await self._listed(domains[start : start + PAGE])
        async for page in resources.accounts():
            yield await self._listed(page)
        async for page in resources.users():
            yield await self._listed(page)
        for kind in resources.kinds:
            after = ""
            while found := await asyncio.to_thread(self._directory.present, kind, after, PAGE):
                after = found[-1].uuid
                absent = [one.uuid for one in found if digest(one.uuid) not in self._seen]
                if absent:
                    yield await self._absent(kind, absent)

    def _learn(self) -> None:
        for kind in Kind:
            after = ""
            while found := self._directory.present(kind, after, PAGE):
                after = found[-1].uuid
                for one in found:
                    self._places.record(kind, one.uuid, one.name, one.parent)

    async def _listed(self, page: Sequence[Snapshot]) -> tuple[int, list[Step]]:
        """What the region was seen to hold. What moved to a later page meanwhile counts once."""
        plain = [one for one in page if not (one.is_left_alone(known=True) or is_makeshift(one))]
        found = await asyncio.to_thread(self._known, plain)
        found = [one for one in found if not one.seen.is_left_alone(known=one.record is not None)]
        fresh = [one for one in found if self._is_fresh(one.uuid)]
        for one in fresh:
            self._places.listed(one.seen.kind, one.uuid, one.fields["name"], one.fields["parent"])
        differing = [one for one in fresh if not one.is_as_known(self.means.region)]
        steps = await self._decided(differing)
        self._seen.update(digest(step.uuid) for step in steps)  # what would be linked by its name
        return len(fresh), steps

    async def _absent(self, kind: Kind, uuids: Sequence[str]) -> tuple[int, list[Step]]:
        """Records that the region does not hold."""
        found = await asyncio.to_thread(self._unseen, kind, uuids)
        return len(found), await self._decided(found)

    async def _decided(self, found: Sequence[_Found]) -> list[Step]:
        looked: list[Looked] = []
        for start in range(0, len(found), AT_ONCE):
            looked += await asyncio.gather(*(self._looked_at(one) for one in found[start : start + AT_ONCE]))
        return await asyncio.to_thread(self._rehearsed, looked)

    def _rehearsed(self, looked: Sequence[Looked]) -> list[Step]:
        changes = self._rehearsal.merge([one.observation for one in looked])
        pairs = [(one, changes[name]) for one in looked for name in one.names if name in changes]
        return self._stepper.steps(pairs)

    async def _looked_at(self, found: _Found) -> Looked:
        """The event log is asked where it decides: when a change was made that no event told, and whether
        what is missing was removed."""
        now = self.means.clock()
        sighting: Sighting | None = Sighting(now, CAUSE, created=found.seen.created)
        if found.is_lost_or_removed(self.means.region) or found.has_news(self.means.region):
            sighting = await by_the_log(self.means.resources, found.seen, now)
        elif not found.seen.present:
            sighting = Sighting(now, CAUSE, lost=True)
        if sighting is None:
            raise PermanentError(
                f"the event log of {self.means.region} does not tell what befell {found.uuid}"
            )
        seen = found.seen
        observation = Observation(
            region=self.means.region,
            kind=seen.kind,
            uuid=seen.uuid,
            fields=None if seen.fields is None else dict(seen.fields),
            time=sighting.time,
            cause=CAUSE,
            lost=sighting.lost,
            created=sighting.created,
            root_admin=seen.root_admin,
        )
        return Looked(observation, found.record, found.known)

    def _is_fresh(self, uuid: str) -> bool:
        one = digest(uuid)
        if one in self._seen:
            return False
        self._seen.add(one)
        return True

    def _known(self, page: Sequence[Snapshot]) -> list[_Found]:
        region = self.means.region
        here = [(region, one.uuid) for one in page]
        above = [(region, one.fields["parent"]) for one in page if one.fields]
        canonical = self._store.canonical({*here, *above})
        records = self._store.load({canonical.get(pair, pair[1]) for pair in here})
        found = []
        for one in page:
            if one.fields is None:
                continue
            parent = one.fields["parent"]
            uuid = canonical.get((region, one.uuid), one.uuid)
            fields = {**one.fields, "parent": canonical.get((region, parent), parent)}
            stored = records.get(uuid)
            known = (region, one.uuid) in canonical
            record = None if stored is None else stored.record
            found.append(_Found(one, uuid, fields, record, known))
        return found

    def _unseen(self, kind: Kind, uuids: Sequence[str]) -> list[_Found]:
        pairs = [(uuid, self.means.region) for uuid in uuids]
        locals_ = self._store.locals(pairs)
        taken = self._store.canonical(
            {(region, uuid) for uuid, region in pairs if (uuid, region) not in locals_}
        )
        records = self._store.load(uuids)
        found = []
        for pair in pairs:
            if pair[0] in records:
                free = minted(self.means.region, pair[0]) if pair[::-1] in taken else pair[0]
                seen = Snapshot(kind, locals_.get(pair, free), None)
                found.append(_Found(seen, pair[0], {}, records[pair[0]].record, pair in locals_))
        return found


@dataclass(frozen=True, slots=True)
class _Found:
    """What was seen of one entity, and what is known of it. `fields` in canonical UUIDs, as far as known;
    `known`: the region's own UUID of it is."""

    seen: Snapshot
    uuid: str
    fields: Mapping[str, str]
    record: Record | None
    known: bool

    def is_as_known(self, region: str) -> bool:
        """It is as it should be, and known to be."""
        record = self.record
        if record is None or record.desired_in(region) != self.fields:
            return False
        return record.region(region).confirmed == self.fields

    def has_news(self, region: str) -> bool:
        """It holds something that was neither known to be here nor is under way to here."""
        if self.record is None or not self.seen.present:
            return False
        state = self.record.region(region)
        if state.confirmed is None:
            return False  # never seen here: nothing that was here before was changed
        agreed = self.record.fields
        return any(
            (name not in agreed or agreed[name].text != text) and not is_echo(state, name, text)
            for name, text in self.fields.items()
        )

    def is_lost_or_removed(self, region: str) -> bool:
        """It was here, and is not."""
        held = self.record is not None and self.record.region(region).confirmed is not None
        return held and not self.seen.present


def parents_first(domains: Sequence[Snapshot]) -> list[Snapshot]:
    """A domain after the one that it is in, so that its parent's name has been found by then."""
    above = {one.uuid: one.fields["parent"] for one in domains if one.fields}

    def depth(uuid: str) -> int:
        steps = 0
        while uuid in above and steps < DEEPEST:
            uuid, steps = above[uuid], steps + 1
        return steps

    return sorted(domains, key=lambda one: depth(one.uuid))
