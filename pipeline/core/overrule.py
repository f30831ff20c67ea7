"""Lets the loser of a conflict win: a person's word counts as a change made in knowledge of the winner.

In: the record, the conflict's line, the time, the topology. Out: the record with the loser's value under a
stamp later than the winner's, and the desired states that follow. Pure; called by the outbox in the
transaction that keeps it. A region that still holds the winner's value tells nothing new by it (merge, rule
2), so nothing takes the person's word back but a change that is made later.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.core.authority import ROOT_ADMINISTRATORS
from pipeline.core.entities import NEVER_CLEARED
from pipeline.core.errors import PermanentError
from pipeline.core.merge import LIFE, PARENT, Merged, Outcome, send
from pipeline.core.records import Conflict, Record, Stamp, Topology, Value


def overrule(record: Record, line: Conflict, now: int, topology: Topology) -> Merged:
    """Raises `PermanentError`, in a sentence for a person, where it can't be done."""
    reason = objection(record, line)
    if reason is not None:
        raise PermanentError(reason)
    stamp = Stamp(max(now, line.kept_stamp.time + 1), line.lost_stamp.region)
    fields = {**record.fields, line.field: Value(line.lost, stamp)}
    return send(replace(record, fields=fields), Outcome.CHANGED, (), topology)


def objection(record: Record, line: Conflict) -> str | None:
    """Why the loser can't be made to win any more; None: it can."""
    if line.reason == ROOT_ADMINISTRATORS:
        return "a root administrator is made by hand, in each region"
    if line.field == LIFE:
        may_not = "what a region may not make or remove is made or removed where that may be said"
        return may_not if line.reason else "a removal stands: CloudStack never takes a used UUID back"
    return _stale(record, line)


def _stale(record: Record, line: Conflict) -> str | None:
    """Why the record is not to be given that value any more."""
    if not record.life.present:
        return "the entity is removed by now"
    if line.field == PARENT:
        return "what was moved is moved back in a region, where CloudStack checks the place"
    current = record.fields.get(line.field)
    if current != Value(line.kept, line.kept_stamp):
        return "the value was changed again since then"
    if line.field in NEVER_CLEARED and not line.lost:
        return "no call makes this field empty again"
    return None
