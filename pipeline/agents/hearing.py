"""Says what of an observation counts: a region may be limited in what it is a source of.

In: what was merged from an observation, and the records above the entity. Out: what of it is not to be heard.
Called by the hub's merge; the decision itself is `pipeline.core.authority`. Where no region is limited and no
root administrator is seen, nothing is looked up.
"""

from __future__ import annotations

from pipeline.agents.above import Above
from pipeline.core.authority import Refusal, Where, is_admins, is_root_admin, refusal, said
from pipeline.core.entities import Kind
from pipeline.core.merge import Merged
from pipeline.core.records import Observation, Record, Topology


class Hearing:
    """Of one batch."""

    def __init__(self, topology: Topology, above: Above) -> None:
        self._sources = topology.sources
        self._above = above

    def is_left_alone(self, record: Record | None, seen: Observation) -> bool:
        """A root administrator's account or user, nobody's business but its region's: one that nobody knows,
        and one that was taken over by an earlier version."""
        if record is not None and is_admins(record.kind, _values(record)):
            return True
        if not is_root_admin(seen):
            return False
        if record is None or seen.kind is not Kind.USER:
            return record is None
        account = self._above.record(record.parent)
        return account is not None and is_admins(account.kind, _values(account))

    def refusal(self, record: Record | None, seen: Observation, merged: Merged) -> Refusal | None:
        """What of the observation is not heard; None: all is."""
        sources = self._sources.get(seen.region)
        if sources is None and not is_root_admin(seen):
            return None
        news = said(record, seen, merged)
        return refusal(seen, news, sources, self._where(record, seen)) if news else None

    def _where(self, record: Record | None, seen: Observation) -> Where:
        fields = seen.fields
        after = None if fields is None else self._above.place(seen.kind, fields["name"], fields["parent"])
        if record is None:
            return Where(after, after)
        before = self._above.place(record.kind, record.fields["name"].text, record.parent)
        return Where(before, before if fields is None else after)


def _values(record: Record) -> dict[str, str]:
    return {name: value.text for name, value in record.fields.items()}
