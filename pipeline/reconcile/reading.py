"""Reads one whole region into digests.

In: the way to a region, and the keys of entities that are to be told in full. Out: a `Holding`. Called by
verify. Streamed: of domains and accounts their place is kept, of users a digest alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from pipeline.cloudstack.resources import Resources
from pipeline.core.digest import ROOT_KEY, digest, key, rolled_up, total
from pipeline.core.entities import ROOT, Fields, Kind, Snapshot
from pipeline.core.makeshift import is_makeshift

DEEPEST: Final = 256
"""Levels of domains; beyond that something is wrong."""


@dataclass(frozen=True, slots=True)
class Line:
    """One entity in full, for a person."""

    kind: Kind
    path: str
    fields: Fields


@dataclass(slots=True)
class Holding:
    """What a region holds: key → digest of each entity, domain's key → digest of its subtree, `paths` of the
    domains, and the entities that were asked for in full."""

    digests: dict[int, int] = field(default_factory=dict)
    subtrees: dict[int, int] = field(default_factory=dict)
    paths: dict[int, str] = field(default_factory=lambda: {ROOT_KEY: ""})
    counts: Counter[Kind] = field(default_factory=Counter)
    lines: dict[int, Line] = field(default_factory=dict)

    @property
    def root(self) -> int:
        """The whole region's digest."""
        return self.subtrees.get(ROOT_KEY, 0)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a domain or an account is: its own key, the key of its domain (its own, for a domain)."""

    key: int
    domain: int
    path: str


class _Reading:
    """One region while it is read."""

    def __init__(self, wanted: Collection[int], left_out: Collection[tuple[Kind, str]]) -> None:
        self.holding = Holding()
        self._wanted = wanted
        self._left_out = left_out
        self._sums: dict[int, int] = {ROOT_KEY: 0}
        self._above: dict[int, int] = {}
        self._places: dict[str, _Place] = {ROOT: _Place(ROOT_KEY, ROOT_KEY, "")}

    def domains(self, found: dict[str, Fields]) -> None:
        """All of them: a child may be listed before its parent."""
        for uuid, fields in found.items():
            place = self._domain(uuid, found, 0)
            if place is None:
                continue
            self._above[place.key] = self._places[fields["parent"]].key
            self.holding.paths[place.key] = place.path
            self._add(Kind.DOMAIN, place, fields)

    def entity(self, seen: Snapshot) -> None:
        """An account, a user or a role. One whose parent is not there (it came or went in between) has a
        place of its own, and so is a difference."""
        if seen.protected or seen.fields is None or is_makeshift(seen):
            return
        above = self._places.get(seen.fields["parent"]) or _Place(-1, ROOT_KEY, "?")
        name = seen.fields["name"]
        place = _Place(key(seen.kind, above.key, name), above.domain, f"{above.path}|{name}")
        if seen.kind is Kind.ACCOUNT:
            self._places[seen.uuid] = place
        self._add(seen.kind, place, seen.fields)

    def ended(self) -> Holding:
        self.holding.subtrees = rolled_up(self._sums, self._above)
        return self.holding

    def _add(self, kind: Kind, place: _Place, fields: Fields) -> None:
        held = self.holding
        fields = {name: text for name, text in fields.items() if (kind, name) not in self._left_out}
        one = digest(place.key, fields)
        held.digests[place.key] = total(held.digests.get(place.key, 0), one)  # twins share a path
        held.counts[kind] += 1
        self._sums[place.domain] = total(self._sums.get(place.domain, 0), one)
        if place.key in self._wanted:
            held.lines[place.key] = Line(kind, place.path or "/", fields)

    def _domain(self, uuid: str, found: dict[str, Fields], depth: int) -> _Place | None:
        """None for one whose parents were not listed, which came or went in between, or that are too many."""
        known = self._places.get(uuid)
        if known is not None or uuid not in found or depth > DEEPEST:
            return known
        above = self._domain(found[uuid]["parent"], found, depth + 1)
        if above is None:
            return None
        name = found[uuid]["name"]
        own = key(Kind.DOMAIN, above.key, name)
        self._places[uuid] = _Place(own, own, f"{above.path}/{name}")
        return self._places[uuid]


async def read_region(
    resources: Resources, wanted: Collection[int] = (), left_out: Collection[tuple[Kind, str]] = ()
) -> Holding:
    """`left_out`: fields of a kind that are not compared. Raises the errors of errors.py."""
    reading = _Reading(wanted, left_out)
    found = {
        seen.uuid: seen.fields
        async for page in resources.domains()
        for seen in page
        if seen.fields is not None and not seen.protected and not is_makeshift(seen)
    }
    reading.domains(found)
    async for page in resources.accounts():
        for seen in page:
            reading.entity(seen)
    async for page in resources.users():
        for seen in page:
            reading.entity(seen)
    if Kind.ROLE in resources.kinds:
        async for page in resources.roles():
            for seen in page:
                reading.entity(seen)
    return reading.ended()
