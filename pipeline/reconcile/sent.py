"""Which entities a region was sent since a place in its topic of desired states.

In: readers of that topic and of the one for revocations, and offsets of the first. Out: canonical UUIDs.
Called by `region-sync replay`, in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline import wire
from pipeline.reconcile.bus import Told, TopicReader


def sent_since(reader: TopicReader, revoked: TopicReader, offsets: int | Mapping[int, int]) -> set[str]:
    """`offsets`: of every partition, or partition → offset. What was revoked since Kafka got the first of
    these messages is named too. A message that can't be read names nobody: the region's worker has made a
    dead letter of it. Raises the errors of errors.py."""
    each = dict.fromkeys(reader.partitions(), offsets) if isinstance(offsets, int) else offsets
    reader.start_at(each)
    found, began = _read(reader)
    if began is None:
        return found
    revoked.start(began)
    return found | _read(revoked)[0]


def _read(reader: TopicReader) -> tuple[set[str], int | None]:
    """To its end: who is named, and when Kafka got the first message."""
    reader.mark_end()
    found: set[str] = set()
    began: int | None = None
    while batch := reader.batch():
        for told in batch:
            found |= _named(told)
            began = told.time if began is None else min(began, told.time)
    return found, began


def _named(told: Told) -> set[str]:
    try:
        return {wire.desired(told.value).uuid}
    except wire.Unreadable:
        return set()
