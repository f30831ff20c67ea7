"""Whose word counts about what: a region can be limited to be the source of some domains and kinds.

In: what a region was made the source of, where an entity is by its record, what a merge took from one of its
observations. Out: what of that it may not say, the observation without it, and the ledger's lines about it.
Pure; called by the hub around every merge (CONTRIBUTING, "Merging", rule 9).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pipeline.core.entities import ROOT_ADMIN_ROLE, ROOT_ADMIN_TYPE, Fields, Kind
from pipeline.core.merge import LIFE, PARENT, Merged, Outcome, is_echo, is_ours
from pipeline.core.records import Conflict, Observation, Record, Source, Sources, Stamp, Value

NAME: Final = "name"
ROLE: Final = "role"
TYPE: Final = "type"

Place = tuple[str, ...] | None
"""The names of the domains from below ROOT to where something is; None: nobody knows where that is."""

ROOT_ADMINISTRATORS: Final = "root administrators are taken from no region"

CORRECTIONS_AT_ONCE: Final = 10
"""Of one entity in one region, within an hour: so often what it may not say is taken back at once. Whoever
goes on saying it may be a program that answers to each correction."""
CORRECTION_DELAY_MS: Final = 600_000
"""So long each further one waits; the newest is the one that is made."""

_QUIET: Final = frozenset({Outcome.NOTHING_NEW, Outcome.MISSED, Outcome.LOST})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What of an observation is not heard (names of fields, `LIFE` for a birth or a removal), and why."""

    names: frozenset[str]
    reason: str


@dataclass(frozen=True, slots=True)
class Where:
    """Of one entity: where its record has it, and where it would be by what was seen. The same for a birth
    and for a removal."""

    before: Place
    after: Place


def may_say(sources: Sources, kind: Kind, place: Place) -> bool:
    """Whether a region that is the source of these may say anything of that kind there. What nobody knows the
    place of is only for those who may say everything."""
    if sources is None:
        return True
    return any(kind in one.kinds and _is_in(place, one) for one in sources)


def said(record: Record | None, seen: Observation, merged: Merged) -> frozenset[str]:
    """What the merge took for news from that region: names of fields, whether they won or lost, and `LIFE`.
    Not what it was known to hold, and not what follows from what others said."""
    if record is None:
        return frozenset() if merged.record is None else frozenset({LIFE})
    if merged.record is None or merged.outcome in (Outcome.REDELIVERED, Outcome.OUTDATED):
        return frozenset()
    if seen.fields is None:
        return frozenset({LIFE}) if _is_removal(record, seen, merged) else frozenset()
    state, now = record.region(seen.region), merged.record.fields
    lost = {one.field for one in merged.conflicts if one.lost_stamp.region == seen.region}
    news = {
        name
        for name, text in seen.fields.items()
        if name in now and (name in lost or (now[name] != record.fields.get(name) and now[name].text == text))
    }
    return frozenset(n for n in news if not (is_ours(seen, n) or is_echo(state, n, seen.fields[n])))


def refusal(seen: Observation, news: frozenset[str], sources: Sources, where: Where) -> Refusal | None:
    """What of the `news` the region may not say; None: it may say all of it. A move or a renamed domain must
    be its own before and after. Of what has become a root administrator's only that is refused which made it
    so: that somebody disables it there must count, above all."""
    if not may_say(sources, seen.kind, where.before):
        return Refusal(news, _reason(seen, sources, where.before))
    moved = news & ({PARENT, NAME} if seen.kind is Kind.DOMAIN else {PARENT})
    if may_say(sources, seen.kind, where.after):
        moved = frozenset()
    raised: frozenset[str] = frozenset()
    if is_root_admin(seen):
        raised = news if seen.kind is Kind.ROLE else news & {ROLE, PARENT}
    if not (moved or raised):
        return None
    reason = ROOT_ADMINISTRATORS if raised else _reason(seen, sources, where.after)
    return Refusal(moved | raised, reason)


def is_root_admin(seen: Observation) -> bool:
    """By its own worker's word, which knows the type of its role, and by the role that has this name in every
    region."""
    return seen.root_admin or (seen.fields is not None and is_admins(seen.kind, seen.fields))


def is_admins(kind: Kind, fields: Fields) -> bool:
    """Whether these are a root administrator's account's, or a role's that makes one."""
    if kind is Kind.ROLE:
        return fields.get(TYPE) == ROOT_ADMIN_TYPE
    return kind is Kind.ACCOUNT and fields.get(ROLE) == ROOT_ADMIN_ROLE


def heard(seen: Observation, refused: Refusal) -> Observation:
    """The observation as it is to be merged. A removal that the region may not say is a loss: it gets the
    entity again, as after a backup was restored there."""
    lost = seen.lost or (seen.fields is None and LIFE in refused.names)
    return replace(seen, unheard=tuple(sorted(refused.names)), lost=lost)


def violated(record: Record | None, seen: Observation, merged: Merged, refused: Refusal) -> Merged:
    """What the merge came to, with a line for each thing that was not heard; none for an optional field that
    the record does not have yet: nothing stays, and nothing is lost."""
    known = {} if record is None else record.region(seen.region).confirmed or {}
    lines = tuple(
        _line(record, seen, name, known, refused.reason)
        for name in sorted(refused.names)
        if name == LIFE or (seen.fields is not None and record is not None and name in record.fields)
    )
    outcome = Outcome.VIOLATION if merged.outcome in _QUIET else merged.outcome
    return replace(merged, outcome=outcome, conflicts=(*merged.conflicts, *lines))


def told(sources: Sources) -> str:
    """For a person: what a region is the source of."""
    if sources is None:
        return "everything"
    if not sources:
        return "nothing: it is a mirror"
    return ", ".join(_told(one) for one in sources)


def shown(place: Place) -> str:
    """As `/sales/emea`."""
    return "a place that nobody knows" if place is None else f"/{'/'.join(place)}"


def _told(one: Source) -> str:
    if one.kinds == frozenset(Kind):
        return shown(one.domain)
    return f"{shown(one.domain)} ({', '.join(kind for kind in Kind if kind in one.kinds)})"


def _is_in(place: Place, source: Source) -> bool:
    """Names without case, as CloudStack compares them."""
    if not source.domain:
        return True
    if place is None:
        return False
    above = place[: len(source.domain)]
    return [name.casefold() for name in above] == [name.casefold() for name in source.domain]


def _is_removal(record: Record, seen: Observation, merged: Merged) -> bool:
    """Said by this region itself: what went with its parent, or was lost, is none."""
    ended = record.life.present and merged.record is not None and not merged.record.life.present
    return ended and not seen.lost and record.region(seen.region).confirmed is not None


def _reason(seen: Observation, sources: Sources, place: Place) -> str:
    what = shown(place)
    if any(may_say(sources, kind, place) for kind in Kind):
        what = f"{seen.kind}s in {what}"
    return f"{seen.region} is not a source for {what}"


def _line(
    record: Record | None, seen: Observation, name: str, known: Mapping[str, str], reason: str
) -> Conflict:
    """What stays, what is not heard, and what the region held before."""
    given, base = Stamp(seen.time, seen.region), known.get(name)
    if record is None:
        words = f"{reason} ({seen.kind} {(seen.fields or {}).get(NAME, '')})"
        return Conflict(seen.uuid, LIFE, None, "absent", Stamp(seen.time, ""), "present", given, words)
    if name == LIFE:
        kept = Value("present", record.life.stamp)
        return Conflict(seen.uuid, LIFE, None, kept.text, kept.stamp, "removed", given, reason)
    kept = record.fields[name]
    return Conflict(seen.uuid, name, base, kept.text, kept.stamp, (seen.fields or {})[name], given, reason)


def limited(sources: Mapping[str, Sources]) -> Collection[str]:
    """The regions that may not say everything."""
    return frozenset(name for name, one in sources.items() if one is not None)
