"""Which entities a region was sent since a place in its topic of desired states.

In: a reader of that topic, and offsets. Out: canonical UUIDs. Called by `region-sync replay`, in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline import wire
from pipeline.reconcile.bus import TopicReader


def sent_since(reader: TopicReader, offsets: int | Mapping[int, int]) -> set[str]:
    """`offsets`: of every partition, or partition → offset. A message that can't be read names nobody: the
    region's worker has made a dead letter of it. Raises the errors of errors.py."""
    each = dict.fromkeys(reader.partitions(), offsets) if isinstance(offsets, int) else offsets
    reader.start_at(each)
    reader.mark_end()
    found: set[str] = set()
    while batch := reader.batch():
        for told in batch:
            try:
                found.add(wire.desired(told.value).uuid)
            except wire.Unreadable:
                continue
    return found
