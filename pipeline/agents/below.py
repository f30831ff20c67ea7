"""Finds what a removal took along, so that it is read again: CloudStack says nothing of it (cloudstack.md).

In: what a batch of observations removed, and what it placed below something. Out: hints, in the regions where
the removals were made. Called by the hub after the batch's commit: of two hubs that remove a parent and place
a child below it in the same moment, at least one then finds the other's work.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.agents.publish import Message
from pipeline.core import topics
from pipeline.core.entities import ROOT, Kind
from pipeline.core.events import AGAIN, HINT, hint
from pipeline.core.records import Observation, Record
from pipeline.outbox.hub import HubStore


@dataclass(slots=True)
class Below:
    """Of one batch: its removals, (region, canonical UUID) → when; its parents → what was placed there; the
    users known only by their account's word, and of what a worker told that had lost it, (region, UUID there)
    → when; of the latter also the kind."""

    gone: dict[tuple[str, str], int] = field(default_factory=dict)
    placed: dict[str, dict[str, Kind]] = field(default_factory=dict)
    doubtful: dict[tuple[str, str], int] = field(default_factory=dict)
    outdated: dict[tuple[str, str], tuple[Kind, int]] = field(default_factory=dict)

    def note(self, seen: Observation, record: Record | None) -> None:
        """An observation in canonical UUIDs and the record as it is now, if any; a redelivered one too, so
        that a crash loses no hint. What a region lost or never had was not removed: nothing went along."""
        lost = seen.lost and (record is None or record.life.present)
        if seen.fields is None and seen.kind is not Kind.USER and not lost:
            self.gone[seen.region, seen.uuid] = seen.time
        if record is None:
            return
        if not record.life.present and seen.kind is not Kind.USER:
            # Where it was removed too: what was made below it elsewhere meanwhile never came there, and goes.
            self.gone[record.life.stamp.region, seen.uuid] = record.life.stamp.time
        if record.life.present and seen.fields is not None and record.parent != ROOT:
            self.placed.setdefault(record.parent, {})[record.uuid] = record.kind

    def hints(self, store: HubStore) -> list[Message]:
        """To be asked after the commit."""
        found = {
            (region, user): _hint(region, Kind.USER, user, t) for (region, user), t in self.doubtful.items()
        }
        for (region, parent), time in self.gone.items():
            for kind, _, local in store.children([parent], region):
                found[region, local] = _hint(region, kind, local, time)
        for parent, stamp in store.graves(self.placed).items():
            children = self.placed[parent]
            locals_ = store.locals([(uuid, stamp.region) for uuid in children])
            for uuid, kind in children.items():
                local = locals_.get((uuid, stamp.region), uuid)
                found[stamp.region, local] = _hint(stamp.region, kind, local, stamp.time)
        # As after a scan: nobody says that anything befell it, and the region's log tells when.
        again = [_hint(region, kind, local, t, AGAIN) for (region, local), (kind, t) in self.outdated.items()]
        return [*found.values(), *again]


def _hint(region: str, kind: Kind, local: str, time: int, event: str = HINT) -> Message:
    return Message(topics.events(region), local.encode(), hint(kind, local, time, event))
