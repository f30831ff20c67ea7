"""Puts off what a scan found in something that nobody knows yet.

In: observations as they came. Out: those to be merged now, and hints for the others: for what each is in, and
for itself once more. Called by the hub before it merges. A region that joins has domains, accounts and users
under UUIDs of its own, and each may be the same as a known one by its place and name; that can be seen only
from above to below, and they are read in any order. Of a region that may not say everything whatever is in
something unknown is put off, since its place decides whether it counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from pipeline.agents.merge import Seen
from pipeline.agents.publish import Message
from pipeline.core import topics
from pipeline.core.entities import ROOT, Kind
from pipeline.core.events import SCAN, hint
from pipeline.core.records import Observation
from pipeline.outbox.hub import HubStore

TRIES: Final = 20
"""Of one entity; then it is merged all the same: what it is in may be nothing that is ever told."""
TRIES_IN_UNBORN: Final = 3
"""Where what it is in was not taken from its region, which may have been said since."""
REMEMBERED: Final = 50_000

Place = tuple[str, str]
"""(region, UUID there)."""


class Early:
    """The hub's memory of what it put off. `limited`: the regions that may not say everything."""

    def __init__(self, store: HubStore, limited: Collection[str] = ()) -> None:
        self._store = store
        self._limited = limited
        self._tries: dict[Place, int] = {}

    def put_off(self, seen: Sequence[Seen]) -> tuple[list[Seen], list[Message]]:
        """Not for the event loop: asks the database. Raises `TemporaryError`."""
        parents = {parent for one in seen if (parent := self._found_in(one.observation)) is not None}
        unknown = self._unknown(parents) if parents else {}
        early = [
            one
            for one in seen
            if (parent := self._found_in(one.observation)) in unknown and self._may_wait(one, unknown[parent])
        ]
        if not early:
            return list(seen), []
        put_off = {id(one) for one in early}
        hints = [message for one in early for message in _hints(one.observation)]
        return [one for one in seen if id(one) not in put_off], hints

    def may_be_early(self, seen: Sequence[Seen]) -> bool:
        """Whether any of them may be: most batches have none, and need not be asked about."""
        return any(self._found_in(one.observation) is not None for one in seen)

    def _unknown(self, parents: set[Place]) -> dict[Place, int]:
        """How often what is in each of those that nobody knows may be put off."""
        mapped = self._store.canonical(parents)
        rest = parents - mapped.keys()
        recorded = self._store.load({uuid for _, uuid in rest}) if rest else {}
        unknown = {place for place in rest if place[1] not in recorded}
        asked = {(uuid, region) for region, uuid in unknown if region in self._limited}
        unborn = self._store.unborn(asked) if asked else set()
        return {place: TRIES_IN_UNBORN if place[::-1] in unborn else TRIES for place in unknown}

    def _found_in(self, seen: Observation) -> Place | None:
        """What it is in, where it may be too early for it there; None where nothing is to be waited for."""
        if seen.fields is None or seen.fields["parent"] == ROOT or seen.applied is not None:
            return None
        if seen.created is None and seen.region not in self._limited:
            return None
        return seen.region, seen.fields["parent"]

    def _may_wait(self, one: Seen, most: int) -> bool:
        place = one.observation.region, one.observation.uuid
        if len(self._tries) > REMEMBERED:
            self._tries.clear()
        tries = self._tries.pop(place, 0) + 1
        if tries > most:
            return False
        self._tries[place] = tries
        return True


def _hints(seen: Observation) -> Iterable[Message]:
    """The parent first."""
    kind = Kind.ACCOUNT if seen.kind is Kind.USER else Kind.DOMAIN
    parent = (seen.fields or {})["parent"]
    for asked, uuid in ((kind, parent), (seen.kind, seen.uuid)):
        yield Message(topics.events(seen.region), uuid.encode(), hint(asked, uuid, seen.time, SCAN))
