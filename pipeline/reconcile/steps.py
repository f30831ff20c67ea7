"""Says what would be done about one entity, in a plan's words.

In: what was seen, and what the hub would make of it. Out: a `Step`. Called by planning, in threads. The calls
are those of the region worker's own code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.agents.calls import founding
from pipeline.agents.target import target_of
from pipeline.core.drift import Drift, Step
from pipeline.core.entities import Fields, Kind, Snapshot
from pipeline.core.merge import LIFE
from pipeline.core.plan import Call, Plan, plan
from pipeline.core.records import Conflict, Desired, Observation, Record
from pipeline.outbox.directory import Directory
from pipeline.outbox.hub import Change
from pipeline.outbox.region import Context, RegionStore
from pipeline.reconcile.places import Places


@dataclass(frozen=True, slots=True)
class Looked:
    """An observation in the region's own UUIDs, the record that it is of, if any, and whether the region is
    known to hold it under that UUID."""

    observation: Observation
    record: Record | None
    known: bool

    @property
    def names(self) -> set[str]:
        """By which a rehearsal may tell of it."""
        return {self.observation.uuid, *([] if self.record is None else [self.record.uuid])}


@dataclass(frozen=True, slots=True)
class Case:
    """One entity with all that was found out about it."""

    looked: Looked
    change: Change
    context: Context
    waits: str

    @property
    def here(self) -> Fields | None:
        """What the region holds, in canonical UUIDs."""
        return self.change.record.region(self.looked.observation.region).confirmed

    @property
    def wanted(self) -> dict[str, str] | None:
        return self.change.record.desired_in(self.looked.observation.region)

    @property
    def is_new(self) -> bool:
        """Nobody knows it."""
        return self.looked.record is None and not self.is_linked

    @property
    def is_linked(self) -> bool:
        """It was found by its name."""
        return not self.looked.known and self.change.record.uuid != self.looked.observation.uuid

    @property
    def is_same(self) -> bool:
        """It has the UUID of a record that was never seen here."""
        return not (self.looked.known or self.is_linked or self.is_new) and self.here is not None

    @property
    def elsewhere(self) -> tuple[str, ...]:
        mine = self.looked.observation.region
        return tuple(sorted(one.region for one in self.change.desired if one.region != mine))


class Stepper:
    """One region's steps. `locals_of`: canonical UUID → the region's own, of what would be linked."""

    def __init__(
        self, store: RegionStore, directory: Directory, places: Places, locals_of: Mapping[str, str]
    ) -> None:
        self._store = store
        self._directory = directory
        self._places = places
        self._locals_of = locals_of
        self._founders: set[str] = set()

    def steps(self, found: Sequence[tuple[Looked, Change]]) -> list[Step]:
        """One for each, in their order. Raises `TemporaryError`."""
        wanted = [_desired(looked, change) for looked, change in found]
        contexts = self._store.contexts(wanted)
        waits = self._directory.under_way(self._store.region, [one.uuid for one in wanted])
        cases = [
            Case(looked, change, self._here(context, looked, change), waits.get(change.record.uuid, ""))
            for (looked, change), context in zip(found, contexts, strict=True)
        ]
        return [self._step(case) for case in cases]

    def _here(self, context: Context, looked: Looked, change: Change) -> Context:
        """The context as it would be after the links of this plan."""
        known = self._locals_of
        context = replace(
            context,
            local=_local(looked, change),
            parents={uuid: known.get(uuid, local) for uuid, local in context.parents.items()},
            parent_local=known.get(context.parent, context.parent_local),
            parent_domain_local=known.get(context.parent_domain_local, context.parent_domain_local),
        )
        if looked.observation.fields is None:
            return replace(context, present=False, applied=None)
        return context

    def _step(self, case: Case) -> Step:
        seen, record = case.looked.observation, case.change.record
        planned = plan(target_of(_desired(case.looked, case.change), case.context, _snapshot(seen)))
        calls, words = self._calls(case, planned)
        collision = self._collision(case)
        fields = case.wanted or case.here or {name: value.text for name, value in record.fields.items()}
        return Step(
            kind=record.kind,
            uuid=record.uuid,
            local=_local(case.looked, case.change),
            path=self._places.path(record.kind, fields["name"], fields["parent"]),
            drift=Drift.CONFLICT if collision else _drift(case),
            here=case.here,
            wanted=case.wanted,
            calls=calls,
            elsewhere=case.elsewhere,
            note="; ".join(note for note in (*_notes(case, planned), collision, words) if note),
            linked=case.is_linked or case.is_same,
            never_here=case.here is None and _never_was(case.looked),
            depth=self._places.depth(fields["parent"]),
        )

    def _calls(self, case: Case, planned: Plan) -> tuple[tuple[Call, ...], str]:
        """With what an account takes along: it is made with its first user, and its users go with it."""
        calls, record = planned.calls, case.change.record
        if record.kind is Kind.USER and case.wanted is None and case.context.parent_removed and calls:
            return (), "goes with its account"
        if not calls or calls[0].command not in ("createAccount", "createUser"):
            return calls, ""
        create, *rest = calls
        if record.kind is Kind.USER:
            made = record.uuid in self._founders
            return (tuple(rest), "made with its account") if made else (calls, "")
        founder = self._store.founder(record.uuid)
        if founder is None:
            return (
                *calls,
                Call("deleteUser", {"id": "(the stand-in)"}),
            ), "made with a stand-in, since it has no user"
        self._founders.add(founder.uuid)
        return (replace(create, params={**create.params, **founding(founder)}), *rest), ""

    def _collision(self, case: Case) -> str:
        """Names are unique without case: what CloudStack, or the merge, would stumble over."""
        wanted, kind = case.wanted, case.change.record.kind
        if wanted is None:
            return ""
        where = (kind, wanted["name"], wanted["parent"])
        if case.here is None and self._places.is_taken_here(*where):
            return "another one has its name there"
        if case.is_new and self._places.is_taken_elsewhere(*where):
            return "its name is another one's elsewhere"
        return ""


def _desired(looked: Looked, change: Change) -> Desired:
    """What the region would get, once what it holds has been told."""
    record, region = change.record, looked.observation.region
    here = record.region(region).confirmed
    return Desired(region, record.kind, record.uuid, record.version, record.desired_in(region), here)


def _local(looked: Looked, change: Change) -> str:
    """The UUID that it has there, or gets in the place of one that is used up."""
    mapping = change.mapping
    return mapping.instead if mapping is not None and mapping.instead else looked.observation.uuid


def _never_was(looked: Looked) -> bool:
    record, region = looked.record, looked.observation.region
    return record is not None and record.region(region).confirmed is None


def _snapshot(seen: Observation) -> Snapshot:
    return Snapshot(seen.kind, seen.uuid, seen.fields)


def _drift(case: Case) -> Drift:
    if case.change.conflicts:
        return Drift.CONFLICT
    if case.here is None:
        return Drift.MISSING
    if case.is_new or case.wanted is None:
        return Drift.EXTRA
    return Drift.DIFFERENT if case.here != case.wanted or case.elsewhere else Drift.MATCHED


def _notes(case: Case, planned: Plan) -> list[str]:
    notes = [case.waits]
    if case.is_linked:
        notes.append("linked by its name")
    elif case.is_same:
        notes.append("linked by its UUID")
    if case.here is None and case.wanted is None:
        notes.append("removed there")
    if case.here is not None and case.wanted is None and case.is_new:
        notes.append("removed elsewhere since it was made here")
    if case.here is not None and case.wanted is not None:
        notes += _unreachable(case.here, case.wanted, planned)
    notes += [
        _not_taken(one)
        if one.reason
        else f"{one.field}: {one.kept!r} of {one.kept_stamp.region} wins over {one.lost!r} of "
        f"{one.lost_stamp.region}"
        for one in case.change.conflicts
    ]
    return notes


def _not_taken(one: Conflict) -> str:
    if one.field == LIFE:
        return f"{one.reason}: it stays {one.kept}"
    return f"{one.reason}: {one.field} stays {one.kept!r}, not {one.lost!r}"


def _unreachable(here: Fields, wanted: Fields, planned: Plan) -> list[str]:
    if planned.calls:
        return []
    return [f"no call can change its {name}" for name in wanted if here.get(name) != wanted[name]]
