"""Acknowledges a partition's events in the order of their offsets, whatever order they were finished in.

Faust 0.15.3 commits past an event still in flight when acknowledgements leave out of order (faust-streaming
issue 606). So what finishes early waits here for what came before it. Called by the region worker's lanes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

Partition = tuple[str, int]
"""Topic and partition number."""


@dataclass(slots=True)
class _Pending:
    acknowledge: Callable[[], object]
    finished: bool = False


class InOrder:
    """One tracker for all partitions of a worker. Not thread-safe: it lives in the event loop."""

    def __init__(self) -> None:
        self._partitions: dict[Partition, OrderedDict[int, _Pending]] = {}

    @property
    def in_flight(self) -> int:
        """Events begun and not acknowledged yet."""
        return sum(len(pending) for pending in self._partitions.values())

    @property
    def busy(self) -> set[Partition]:
        """Partitions with such events."""
        return {partition for partition, pending in self._partitions.items() if pending}

    def begin(self, partition: Partition, offset: int, acknowledge: Callable[[], object]) -> None:
        """An event arrived; `acknowledge` is called once it and all before it are finished."""
        pending = self._partitions.setdefault(partition, OrderedDict())
        pending[offset] = _Pending(acknowledge)

    def finish(self, partition: Partition, offset: int) -> None:
        """The event is done with; one of a partition that was given away is forgotten already."""
        pending = self._partitions.get(partition)
        if pending is None or offset not in pending:
            return
        pending[offset].finished = True
        while pending and next(iter(pending.values())).finished:
            _, first = pending.popitem(last=False)
            first.acknowledge()

    def forget(self, partitions: Collection[Partition]) -> None:
        """These partitions belong to somebody else now, who reads their unfinished events again."""
        for partition in partitions:
            self._partitions.pop(partition, None)
