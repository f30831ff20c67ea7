"""Merges a batch of observations: what merge the function decides, carried out against the store.

In: observations in regions' own UUIDs with their positions. Out: changed records with the desired states that
follow. Called by the hub's loop, in a thread; the caller commits, publishes, and acknowledges in that order.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from pipeline.agents.above import Above
from pipeline.agents.below import Below
from pipeline.agents.entry import Entry, changes_of
from pipeline.agents.hearing import Hearing
from pipeline.agents.naming import is_called, is_twin, locals_of, minted
from pipeline.core.authority import CORRECTIONS_AT_ONCE, heard, is_root_admin, limited, violated
from pipeline.core.entities import ROOT, Kind
from pipeline.core.merge import LIFE, Merged, Outcome, held_below, is_nowhere, is_outdated, merge
from pipeline.core.records import (
    Founder,
    Observation,
    Position,
    Record,
    Stamp,
    Topology,
)
from pipeline.outbox.decisions import Decision, decided
from pipeline.outbox.hub import Change, HubStore, Mapping, NaturalKey
from pipeline.outbox.statements import name_key

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """One observation as it came, in the region's own UUIDs."""

    observation: Observation
    position: Position


@dataclass(slots=True)
class Batch:
    """What came of a batch: of its first `taken` observations, those of these `entities`. The rest is given
    again after the commit (a twin changes what it means), when `below` tells what else is to be read.
    `unborn`: what is not taken from its region, as it would be, each with its line of the ledger."""

    changes: list[Change] = field(default_factory=list)
    unborn: list[Change] = field(default_factory=list)
    below: Below = field(default_factory=Below)
    outcomes: list[Outcome] = field(default_factory=list)
    entities: list[str] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    taken: int = 0


class Merger:
    """Merges batches against one store under one topology."""

    def __init__(self, store: HubStore, topology: Topology) -> None:
        self._store = store
        self._topology = topology

    @property
    def limited(self) -> Collection[str]:
        """The regions that may not say everything."""
        return limited(self._topology.sources)

    def batch(self, seen: Sequence[Seen]) -> Batch:
        """Decides everything and writes nothing, except the link of a twin."""
        work = _Work(self._store, self._topology, [one.observation for one in seen])
        batch = Batch()
        for one in seen:
            observation = work.resolve(one.observation)
            if observation is None:
                if batch.taken:
                    break
                observation = work.link(one.observation)
            batch.outcomes.append(work.merge(one.observation.uuid, observation, one.position))
            batch.entities.append(observation.uuid)
            batch.taken += 1
        batch.changes = work.changes()
        batch.unborn = work.unborn
        batch.decisions = work.decisions
        batch.below = work.below
        return batch


class _Work:
    """The state of one batch: mappings and records as they become."""

    def __init__(self, store: HubStore, topology: Topology, observations: Sequence[Observation]) -> None:
        self._store = store
        self._topology = topology
        locals_ = {pair for seen in observations for pair in locals_of(seen)}
        self._canonical = store.canonical(locals_)
        # A region that was copied from another one has its UUIDs, whatever the entity is called by here.
        self._canonical |= store.copied(locals_ - self._canonical.keys(), topology.priority)
        self._entries: dict[str, Entry] = {}
        self._load({self._uuid(*pair) for pair in locals_})
        self._replaced = store.locals(
            {
                (seen.uuid, seen.region)
                for seen in observations
                if seen.fields is None and (seen.region, seen.uuid) not in self._canonical
            }
        )
        self._asked = {key for seen in observations if (key := self._natural_key(seen)) is not None}
        self._namesakes = store.namesakes(self._asked)
        self._above = Above(self._record)
        self._hearing = Hearing(topology, self._above)
        self.below = Below()
        self.decisions: list[Decision] = []
        self.unborn: list[Change] = []

    def resolve(self, seen: Observation) -> Observation | None:
        """The observation in canonical UUIDs; None when it must be linked to a twin first."""
        known = (seen.region, seen.uuid) in self._canonical
        uuid = self._uuid(seen.region, seen.uuid)
        new = not known and seen.fields is not None and self._entry(uuid).record is None
        if new and not is_root_admin(seen) and self._twin(seen) is not None:
            return None
        return replace(seen, uuid=uuid, fields=self._fields(seen), unheard=())

    def link(self, seen: Observation) -> Observation:
        """Two regions made the same entity, each with a UUID of its own: from now on it is one."""
        twin = self._twin(seen)
        if twin is not None:
            self._canonical[(seen.region, seen.uuid)] = twin
            for uuid in self._store.adopt(seen.uuid, twin):
                self._entries.pop(uuid, None)
            self._load({twin})
        resolved = self.resolve(seen)
        assert resolved is not None  # noqa: S101 - it is in the map of canonical UUIDs now
        return resolved

    def merge(self, local: str, seen: Observation, position: Position) -> Outcome:
        entry = self._entry(seen.uuid)
        if self._is_ignored(entry, seen, local):
            self.decisions.append(decided(seen, position, Merged(entry.record, Outcome.NOTHING_NEW)))
            return Outcome.NOTHING_NEW
        was_there = entry.record is not None and entry.record.region(seen.region).confirmed is not None
        merged, unheard = self._decide(entry.record, seen, position)
        self.decisions.append(decided(seen, position, merged))
        if merged.record is None or merged.outcome is Outcome.REDELIVERED:
            self.below.note(seen, merged.record)
            if merged.record is not None and is_outdated(merged.record, seen):
                self.below.outdated[seen.region, local] = (seen.kind, seen.time)
            return merged.outcome
        entry.record = merged.record
        entry.touched = True
        late = bool(unheard) and self._store.violations(seen.uuid, seen.region) >= CORRECTIONS_AT_ONCE
        for one in merged.desired:
            put_off = late and one.region == seen.region
            (entry.later if put_off else entry.desired).append(replace(one, changed=seen.time))
        if merged.outcome is Outcome.OUTDATED:  # nothing of it is believed
            self.below.outdated[seen.region, local] = (seen.kind, seen.time)
            return merged.outcome
        entry.conflicts += merged.conflicts
        if seen.fields is not None or was_there:  # else: what was made there since then stays
            parent, present = (seen.fields or {}).get("parent"), seen.fields is not None
            # What it may not remove it gets again, and no region takes a used UUID back.
            instead = minted(seen.region, local) if LIFE in unheard else None
            entry.mappings[seen.region] = Mapping(
                seen.uuid, seen.region, local, seen.kind, parent, present, seen.time, instead=instead
            )
        self.below.note(seen, merged.record)
        if merged.outcome is Outcome.CREATED and seen.founder is not None:
            self._found(seen, seen.founder, position)
        return merged.outcome

    def _is_ignored(self, entry: Entry, seen: Observation, local: str) -> bool:
        linked = entry.mappings.get(seen.region)
        replaced = self._replaced.get((seen.uuid, seen.region), local)
        if seen.fields is None and (linked.uuid if linked and linked.present else replaced) != local:
            return True  # word of a UUID that the entity had here before it got another one
        if entry.record is not None and entry.record.kind is not seen.kind:
            # The same UUID can't be two things in earnest: nothing follows from it.
            log.warning(
                "%s is a %s, and %s tells of a %s", seen.uuid, entry.record.kind, seen.region, seen.kind
            )
            return True
        return self._hearing.is_left_alone(entry.record, seen)

    def _decide(
        self, record: Record | None, seen: Observation, position: Position
    ) -> tuple[Merged, frozenset[str]]:
        """What it comes to, and what of it the region may not say."""
        merged = merge(record, seen, position, self._topology, self._graves(record, seen))
        refused = self._hearing.refusal(record, seen, merged)
        if refused is None:
            return merged, frozenset()
        rest, born = heard(seen, refused), merged.record
        merged = merge(record, rest, position, self._topology, self._graves(record, rest))
        merged = violated(record, rest, merged, refused)
        if record is None and born is not None:
            self.unborn.append(Change(born, None, (), merged.conflicts))
        return merged, refused.names

    def _found(self, account: Observation, founder: Founder, position: Position) -> None:
        """An account's listing names its oldest user, whom the other regions are to make it with: where the
        user's own observation has not come yet, this is one. A later word of the user is asked for: it may
        have been dropped already, as that of an unknown one's absence."""
        local = founder.uuid
        user = self._uuid(account.region, local)
        if self._entry(user).record is not None:
            return
        fields = founder.fields | {"parent": account.uuid}
        seen = Observation(account.region, Kind.USER, user, fields, account.time, "its account")
        self.merge(local, seen, position)
        self.below.doubtful[account.region, local] = account.time

    def changes(self) -> list[Change]:
        return [change for entry in self._entries.values() if entry.touched for change in changes_of(entry)]

    def _graves(self, record: Record | None, seen: Observation) -> dict[str, Stamp]:
        """Which of the parents that may matter are removed: at a birth, at a move, and where the entity is
        absent from a region that it never reached."""
        there = ROOT if seen.fields is None else seen.fields["parent"]
        if record is None:
            asked = {there}
        elif seen.fields is None:
            never = seen.lost or record.region(seen.region).confirmed is None
            asked = {record.parent} if never else set()
        else:
            asked = {there, record.parent, *held_below(record)} if there != record.parent else set()
        asked.discard(ROOT)
        self._load(asked - set(self._entries))
        above = {uuid: self._entry(uuid).record for uuid in asked}
        graves = {
            uuid: one.life.stamp for uuid, one in above.items() if one is not None and not one.life.present
        }
        if record is not None and seen.kind is Kind.DOMAIN and self._above.is_below(there, record.uuid):
            graves.setdefault(there, record.life.stamp)  # two moves made a ring: this one is taken back
        if record is not None and seen.lost and is_nowhere(record, seen.region, above):
            graves[record.parent] = Stamp(seen.time, seen.region)
        # A role's creation time is a guess: a new one must not go because an older one of its name went.
        dated = record is None and seen.kind is not Kind.ROLE
        if dated and seen.fields is not None and seen.created is not None:
            graves |= self._namesake_removed(seen, seen.fields, seen.created)
        return graves

    def _namesake_removed(self, seen: Observation, fields: dict[str, str], created: int) -> dict[str, Stamp]:
        """What a scan found and nobody knows may be what is left of an entity that was removed elsewhere
        since: the same kind, parent and name, in canonical UUIDs."""
        parent, name = fields["parent"], fields["name"]
        stamps = [
            one.life.stamp
            for one in (entry.record for entry in self._entries.values() if entry.touched)
            if one is not None and not one.life.present and is_called(one, seen.kind, parent, name)
        ]
        stored = self._store.namesake_removed(seen.kind, parent, name, created)
        stamps += [stored] if stored is not None else []
        found = max((stamp for stamp in stamps if stamp.time > created), default=None)
        return {} if found is None else {seen.uuid: found}

    def _twin(self, seen: Observation) -> str | None:
        fields = self._fields(seen)
        if fields is None:
            return None
        parent, name = fields["parent"], fields["name"]
        for uuid, entry in self._entries.items():
            if entry.touched and is_twin(entry.record, seen, parent, name):
                return uuid
        key = (parent, seen.kind, name_key(name))
        if key in self._asked and key not in self._namesakes:
            return None
        return self._store.twin(seen.kind, parent, name, seen.region)

    def _natural_key(self, seen: Observation) -> NaturalKey | None:
        """What an entity that is new would share with its twin; None for one that is known."""
        fields = self._fields(seen)
        if fields is None or self._uuid(seen.region, seen.uuid) in self._entries:
            return None
        return fields["parent"], seen.kind, name_key(fields["name"])

    def _fields(self, seen: Observation) -> dict[str, str] | None:
        if seen.fields is None:
            return None
        return seen.fields | {"parent": self._uuid(seen.region, seen.fields["parent"])}

    def _uuid(self, region: str, local: str) -> str:
        return local if local == ROOT else self._canonical.get((region, local), local)

    def _record(self, uuid: str) -> Record | None:
        if uuid not in self._entries:
            self._load({uuid})
        return self._entry(uuid).record

    def _entry(self, uuid: str) -> Entry:
        return self._entries.setdefault(uuid, Entry(None, None))

    def _load(self, uuids: set[str]) -> None:
        if not uuids:
            return  # even an empty transaction has its price
        for uuid, stored in self._store.load(uuids).items():
            self._entries[uuid] = Entry(stored.record, stored.revision)
