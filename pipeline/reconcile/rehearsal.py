"""What the hub would decide, without its deciding: the real merge over the real records, and nothing written.

In: observations of one region that were not published. Out: a `Change` for each. Called by planning. What an
entity would be linked to by its name is remembered here, so that what comes later finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from pipeline.agents.merge import Merger, Seen
from pipeline.core.entities import Kind
from pipeline.core.records import Observation, Position, Topology
from pipeline.outbox.engine import Engine
from pipeline.outbox.hub import Change, HubStore

_LOG: Final = "plan/0"
"""A log of its own: no observation in it was merged before."""


class RehearsalStore(HubStore):
    """The hub's store, reading alone. `linked`: a region's own UUID → the record that it would be linked
    to; `locals_of`: the other way round."""

    def __init__(self, engine: Engine, clock: Callable[[], int], region: str) -> None:
        super().__init__(engine, clock)
        self._region = region
        self.linked: dict[str, str] = {}
        self.locals_of: dict[str, str] = {}

    def canonical(self, locals: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """With what would be linked."""
        found = super().canonical(locals)
        return found | {
            (region, uuid): self.linked[uuid]
            for region, uuid in locals
            if region == self._region and uuid in self.linked
        }

    def twin(self, kind: Kind, parent: str, name: str, region: str) -> str | None:
        """One that nothing else would be linked to."""
        found = super().twin(kind, parent, name, region)
        return None if found in self.locals_of else found

    def adopt(self, old_parent: str, new_parent: str) -> set[str]:
        """Nothing is rewritten."""
        self.linked[old_parent] = new_parent
        self.locals_of[new_parent] = old_parent
        return set()


class Rehearsal:
    """One region's observations, one batch after the other."""

    def __init__(self, store: RehearsalStore, topology: Topology) -> None:
        self.store = store
        self._merger = Merger(store, topology)
        self._offset = 0

    def merge(self, observations: Sequence[Observation]) -> dict[str, Change]:
        """The region's own UUID (of what is absent, the canonical one) → what would follow; without those of
        which nothing would. What would not be taken is as it is there, with its line of the ledger."""
        seen = []
        for one in observations:
            self._offset += 1
            seen.append(Seen(one, Position(_LOG, self._offset)))
        found: dict[str, Change] = {}
        while seen:
            batch = self._merger.batch(seen)
            for change in (*batch.changes, *batch.unborn):
                found[change.mapping.uuid if change.mapping is not None else change.record.uuid] = change
            seen = seen[batch.taken :]
        return found
