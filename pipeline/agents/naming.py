"""Which UUIDs an observation names, what it shares its name with, and which UUID takes another's place.

In: observations and records. Out: pairs of region and UUID, answers. Pure; called by `merge` and `calls`.
"""

from __future__ import annotations

import uuid
from typing import Final

from pipeline.core.entities import ROOT, Kind
from pipeline.core.records import Observation, Record

_NAMESPACE: Final = uuid.UUID("6f0f3c5e-2f0b-4c57-9a53-0c6b8b5f5c11")


def minted(region: str, used: str) -> str:
    """The UUID that takes the place of one which is used up in a region: always the same."""
    return str(uuid.uuid5(_NAMESPACE, f"{region}/{used}"))


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
