"""Merges what a region was seen to hold into the record: the heart of the sync, and pure.

In: the record as stored (or None), one observation in canonical UUIDs with its position, the topology and
the regions that want the entity. Out: the new record, the desired states to send, the conflicts to write
down. Called by the hub, once per observation, in the order of the log. The rules are numbered as in
CONTRIBUTING, "Merging"; taking any one of them away makes tests/unit/core/test_schedules.py fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pipeline.core.entities import NEVER_CLEARED
from pipeline.core.first import as_found, first_told, giving_way, is_left_by_creation, is_only_found
from pipeline.core.records import (
    Conflict,
    Desired,
    Life,
    Observation,
    Position,
    Record,
    RegionState,
    Sent,
    Stamp,
    Topology,
    Value,
    remembered,
)
from pipeline.core.urgency import marked

PARENT: Final = "parent"
LIFE: Final = "life"
NO_GRAVES: Final[Mapping[str, Stamp]] = MappingProxyType({})


class Outcome(StrEnum):
    """What an observation turned out to be, for the timeline and the metrics."""

    REDELIVERED = "redelivered"
    NOTHING_NEW = "nothing new"
    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"
    LOST = "lost"
    MISSED = "missed"
    OUTDATED = "outdated"
    VIOLATION = "violation"


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of one merge. `record` is None only where nothing was and nothing is known."""

    record: Record | None
    outcome: Outcome
    desired: tuple[Desired, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


def merge(
    record: Record | None,
    seen: Observation,
    at: Position,
    topology: Topology,
    graves: Mapping[str, Stamp] = NO_GRAVES,
) -> Merged:
    """One observation into the record. `topology.priority` names every region that takes part; `graves` says
    of the parents that the record and the observation name which are removed, when and where; of an entity
    that is new it says under its own UUID which removed one it is what is left of."""
    if record is None:
        if seen.fields is None or LIFE in seen.unheard:
            return Merged(None, Outcome.NOTHING_NEW)
        record = _born(seen, at)
        grave = graves.get(record.parent) or graves.get(record.uuid)
        if grave is None:
            return send(record, Outcome.CREATED, (), topology)
        buried, conflicts = _bury(record, grave)
        return send(buried, Outcome.REMOVED, conflicts, topology)
    if is_redelivery(record, at):
        return Merged(record, Outcome.REDELIVERED)
    if is_outdated(record, seen):
        return _outdated(record, seen, at)
    if seen.fields is None:
        changed, outcome, conflicts = _absent(record, seen, graves.get(record.parent))
    else:
        changed, outcome, conflicts = _present(record, seen, topology, graves)
    return send(_confirm(changed, seen, at), outcome, conflicts, topology)


def is_redelivery(record: Record, at: Position) -> bool:
    """Rule 1: an observation that is not after the last merged one of its log was merged already."""
    return at.offset <= record.merged.get(at.log, -1)


def is_outdated(record: Record, seen: Observation) -> bool:
    """Rule 8: the word of a worker after whom another one has spoken is no news, however late it comes: it
    was stopped, or cut off, after it had read."""
    return 0 < seen.term < record.region(seen.region).term


def is_ours(seen: Observation, name: str) -> bool:
    """Rule 2a: what apply has just brought there was sent, maybe too long ago to be remembered."""
    return seen.unseen is not None and name not in seen.unseen


def is_echo(state: RegionState, name: str, text: str) -> bool:
    """Rule 2a: what the region was known to hold, or what was sent to it, is no news from it."""
    if state.confirmed is not None and state.confirmed.get(name) == text:
        return True
    return any(sent.fields is not None and sent.fields.get(name) == text for sent in state.sent)


def is_causal(state: RegionState, name: str, current: Value) -> bool:
    """Rule 2b: the region held the record's very value when it changed it, so the change is a successor.
    So is everything of an empty value that nobody can have put there."""
    if name in NEVER_CLEARED and not current.text:
        return True
    return state.confirmed is not None and state.confirmed.get(name) == current.text


def _outdated(record: Record, seen: Observation, at: Position) -> Merged:
    """Rule 8, what follows: its calls may have come late too, after those of the worker behind it. So what it
    wrote is no news from that region, as if it were on its way, and the region gets the record once more.
    What it only read is dropped. The hub has either read again."""
    passed, wanted = _passed(record, at), record.desired_in(seen.region)
    if not seen.wrote or seen.applied is None or seen.fields in (None, wanted):
        return Merged(passed, Outcome.OUTDATED)
    state, version = record.region(seen.region), record.version + 1
    sent = remembered(Sent(seen.applied, seen.fields), *state.sent, Sent(version, wanted))
    regions = record.regions | {seen.region: replace(state, sent=sent)}
    known, settled = seen.fields, state.settled
    again = Desired(seen.region, record.kind, record.uuid, version, wanted, known, settled=settled)
    outdated = replace(passed, version=version, regions=regions)
    return Merged(outdated, Outcome.OUTDATED, (marked(again, sent),))


def _born(seen: Observation, at: Position) -> Record:
    stamp = Stamp(seen.time, seen.region)
    fields = {name: Value(text, stamp) for name, text in (seen.fields or {}).items()}
    record = Record(seen.kind, seen.uuid, fields, Life(True, stamp))
    return _confirm(record, seen, at)


def _bury(record: Record, grave: Stamp) -> tuple[Record, tuple[Conflict, ...]]:
    """Rule 6: a removal wins over what was made below it meanwhile; the ledger says what was lost."""
    stamp = Stamp(max(grave.time, record.life.stamp.time + 1), grave.region)
    lost = Conflict(record.uuid, LIFE, None, "removed", stamp, "present", record.life.stamp)
    return replace(record, life=Life(False, stamp)), (lost,)


def _absent(
    record: Record, seen: Observation, grave: Stamp | None
) -> tuple[Record, Outcome, tuple[Conflict, ...]]:
    """Rule 3: gone from a region that had it, with no removal on its way there, is a removal made there,
    unless the region is known to have lost it. What is below a removed one went with it."""
    state = record.region(seen.region)
    if not record.life.present:
        return record, Outcome.NOTHING_NEW, ()
    if state.confirmed is None or seen.lost:
        if grave is None:
            return record, Outcome.MISSED if seen.lost else Outcome.NOTHING_NEW, ()
        buried, conflicts = _bury(record, grave)
        return buried, Outcome.REMOVED, conflicts
    if any(sent.fields is None for sent in state.sent):
        return record, Outcome.NOTHING_NEW, ()
    stamp = Stamp(max(seen.time, record.life.stamp.time + 1), seen.region)
    return replace(record, life=Life(False, stamp)), Outcome.REMOVED, ()


def _present(
    record: Record, seen: Observation, topology: Topology, graves: Mapping[str, Stamp]
) -> tuple[Record, Outcome, tuple[Conflict, ...]]:
    """Rule 2, field by field. A removed entity keeps its last values: a removal wins over changes. What a
    scan saw for the first time gives way.

    Rule 7: nothing is moved below what is removed, and what was is taken back to where it is seen to live; if
    that is removed too, and so wherever else it is, it goes.
    """
    if not record.life.present:
        return record, Outcome.NOTHING_NEW, ()
    homes = {(seen.fields or {})[PARENT], record.parent, *held_below(record, but=seen.region)}
    if homes <= graves.keys():
        buried, losses = _bury(record, graves[record.parent])
        return buried, Outcome.REMOVED, losses
    state = record.region(seen.region)
    seen = giving_way(seen, record) if state.confirmed is None else seen
    merged = record.fields | (told := first_told(record, seen))
    conflicts: list[Conflict] = []
    outcome = Outcome.CHANGED if any(one.text for one in told.values()) else Outcome.NOTHING_NEW
    for name, text in (seen.fields or {}).items():
        current = merged.get(name)
        orphaned = name == PARENT and current is not None and current.text in graves and text not in graves
        known = is_ours(seen, name) or is_echo(state, name, text)
        if current is None or text == current.text or (known and not orphaned):
            continue
        if name in seen.unheard or is_left_by_creation(record, seen, name):
            continue
        offered, barred = as_found(record, seen, name, current), name == PARENT and text in graves
        if orphaned or (is_causal(state, name, current) and not barred):
            merged[name] = _after(current, offered)
            outcome = Outcome.CHANGED
            continue
        wins = topology.order(offered.stamp) > topology.order(current.stamp)
        wins = wins and not (barred or is_only_found(record, seen, name))
        merged[name], lost = (offered, current) if wins else (current, offered)
        conflicts.append(_conflict(record.uuid, name, state, merged[name], lost))
        outcome = Outcome.CHANGED if wins or outcome is Outcome.CHANGED else Outcome.LOST
    return replace(record, fields=merged), outcome, tuple(conflicts)


def held_below(record: Record, but: str | None = None) -> set[str]:
    """The parents below which the regions hold the entity, as far as known; `but` one region."""
    return {
        state.confirmed[PARENT]
        for name, state in record.regions.items()
        if name != but and state.confirmed is not None
    }


def is_nowhere(record: Record, region: str, above: Mapping[str, Record | None]) -> bool:
    """What `region` lost can be made again nowhere: no other region holds it, and of what it was in nobody
    was ever told (`above`: the parents that were looked for). It went with that."""
    untold = record.parent in above and above[record.parent] is None
    return untold and not held_below(record, but=region)


def _after(current: Value, offered: Value) -> Value:
    """A successor's stamp is greater than what it replaces, whatever the clocks say."""
    stamp = Stamp(max(offered.stamp.time, current.stamp.time + 1), offered.stamp.region)
    return Value(offered.text, stamp)


def _conflict(uuid: str, name: str, state: RegionState, kept: Value, lost: Value) -> Conflict:
    base = state.confirmed.get(name) if state.confirmed else None
    return Conflict(uuid, name, base, kept.text, kept.stamp, lost.text, lost.stamp)


def _confirm(record: Record, seen: Observation, at: Position) -> Record:
    """Rule 4: the region is now known to hold what was seen; an apply's result settles what it answers. What
    was on its way to something that is lost there is void: rule 5 sends all of it anew."""
    state = record.region(seen.region)
    sent = () if seen.lost else state.sent
    if seen.applied is not None:
        sent = tuple(one for one in sent if one.version > seen.applied)
    settled = max(state.settled, seen.applied or 0)
    confirmed = RegionState(seen.fields, sent, max(state.term, seen.term), settled)
    return replace(_passed(record, at), regions=record.regions | {seen.region: confirmed})


def _passed(record: Record, at: Position) -> Record:
    """Rule 1: this place of its log is merged. Partitions of one log share its identity, the part before the
    slash; an older log's are forgotten."""
    own = at.log.partition("/")[0]
    merged = {log: offset for log, offset in record.merged.items() if log.partition("/")[0] == own}
    return replace(record, merged=merged | {at.log: at.offset})


def send(record: Record, outcome: Outcome, conflicts: tuple[Conflict, ...], topology: Topology) -> Merged:
    """Rule 5: every region that will not hold the record gets it. One new version serves them all."""
    regions = [(name, record.region(name)) for name in topology.priority]
    behind = [name for name, state in regions if not state.will_hold(record.desired_in(name))]
    if not behind:
        return Merged(record, outcome, (), conflicts)
    sent, desired = _addressed(record, behind)
    return Merged(sent, outcome, desired, conflicts)


def send_again(record: Record, region: str) -> Merged:
    """The record as it is, once more to a region that may hold it already, under a new version as rule 5
    gives it: what is on its way there is replaced by it, and nothing else of the record changes."""
    sent, desired = _addressed(record, [region])
    return Merged(sent, Outcome.NOTHING_NEW, desired)


def _addressed(record: Record, names: Sequence[str]) -> tuple[Record, tuple[Desired, ...]]:
    version = record.version + 1
    regions = dict(record.regions)
    desired = []
    for name in names:
        state, wanted = record.region(name), record.desired_in(name)
        sent = remembered(*state.sent, Sent(version, wanted))
        regions[name] = replace(state, sent=sent)
        what = (record.kind, record.uuid, version, wanted)
        desired.append(marked(Desired(name, *what, state.confirmed, settled=state.settled), state.sent))
    return replace(record, version=version, regions=regions), tuple(desired)
