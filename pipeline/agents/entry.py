"""One entity of a batch of observations, while they are merged.

In: what each of its observations came to. Out: what the store is to keep of it. Used by the hub's merge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.core.records import Conflict, Desired, Record
from pipeline.outbox.hub import Change, Mapping


@dataclass(slots=True)
class Entry:
    """Its record as it becomes, and what has to be written with it; `later`: what is not to be sent now."""

    record: Record | None
    revision: int | None
    touched: bool = False
    desired: list[Desired] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    mappings: dict[str, Mapping] = field(default_factory=dict)
    later: list[Desired] = field(default_factory=list)


def changes_of(entry: Entry) -> Iterator[Change]:
    """One for each region that the entity was seen in; the first carries all that follows."""
    if entry.record is None:
        return
    seen = list(entry.mappings.values())
    first = seen[0] if seen else None
    sent, later = tuple(entry.desired), tuple(entry.later)
    yield Change(entry.record, entry.revision, sent, tuple(entry.conflicts), first, later)
    for mapping in seen[1:]:
        yield Change(entry.record, entry.revision, mapping=mapping)
