"""Which UUIDs an observation names, and what it shares its name with.

In: observations and records. Out: pairs of region and UUID, answers. Pure; called by `merge`.
"""

from __future__ import annotations

from pipeline.core.entities import ROOT, Kind
from pipeline.core.records import Observation, Record


def locals_of(seen: Observation) -> list[tuple[str, str]]:
    """The entity, its parent and its founder, whose records a merge looks at."""
    found = [(seen.region, seen.uuid)]
    if seen.fields is not None and seen.fields["parent"] != ROOT:
        found.append((seen.region, seen.fields["parent"]))
    if seen.founder is not None:
        found.append((seen.region, seen.founder.uuid))
    return found


def is_twin(record: Record | None, seen: Observation, parent: str, name: str) -> bool:
    """The same natural key, without case as CloudStack compares, in a region that has not got it yet."""
    return (
        record is not None
        and record.life.present
        and is_called(record, seen.kind, parent, name)
        and record.region(seen.region).confirmed is None
    )


def is_called(record: Record, kind: Kind, parent: str, name: str) -> bool:
    named = record.fields["name"].text.casefold() == name.casefold()
    return named and record.kind is kind and record.parent == parent
