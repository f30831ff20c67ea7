"""Asks regions to be read: puts hints on `events.<region>`, the one road there is to a region.

In: what is to be read, where Kafka is. Out: nothing, after Kafka has all of them. `changed` finds what a
region's own event log says has changed. Called by `region-sync sync` and `reread`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bridges.rows import message
from pipeline.agents.publish import BrokenProducer, Message, Publisher
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.errors import TemporaryError
from pipeline.core.events import KNOWN, SCAN, Unreadable, hint, parse_time

TAKEN_WITHIN_S: Final = 15
"""A person waits: Kafka that takes nothing for so long is said to be away."""
BATCH: Final = 1_000
"""Hints under way at a time."""

SWEPT: Final = frozenset({"DOMAIN.MOVE", "USER.MOVE"})
"""Their UUID is not the moved entity's (cloudstack.md): passed on as they are, they make observe look
around."""

_QUIET: Final = "0"
_KINDS: Final = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Hint:
    """One entity to be read in one region; `uuid` is that region's own. `time` in milliseconds. `event`
    is the region's own event where that one says more than an entity's name."""

    region: str
    kind: Kind
    uuid: str
    time: int
    event: bytes | None = None


def waited_for() -> dict[str, str]:
    """Options of a producer that a person waits for."""
    return {"message.timeout.ms": str(TAKEN_WITHIN_S * 1000), "log_level": _QUIET}


async def send(brokers: str, options: Mapping[str, str], hints: Sequence[Hint]) -> None:
    """Returns when Kafka has all. Raises `TemporaryError` when it takes them not within `TAKEN_WITHIN_S`."""
    publisher = Publisher(brokers, {**options, **waited_for()})
    try:
        for start in range(0, len(hints), BATCH):
            await publisher.publish([_message(one) for one in hints[start : start + BATCH]])
    except BrokenProducer as error:
        raise TemporaryError(f"Kafka at {brokers} does not take messages: {error}") from error
    except TemporaryError as error:
        raise TemporaryError(f"{error} (at {brokers})") from error
    finally:
        publisher.close(1.0)


async def changed(region: str, rows: AsyncIterator[Mapping[str, object]]) -> list[Hint]:
    """One hint for each entity that the rows of `region`'s event log may have changed, in the order of their
    last event, which is the hint's time. An event that names no entity hints at none."""
    found: dict[tuple[Kind, str], Hint] = {}
    async for row in rows:
        one = _of_row(region, row)
        if one is not None:
            found.pop((one.kind, one.uuid), None)
            found[one.kind, one.uuid] = one
    return list(found.values())


def _of_row(region: str, row: Mapping[str, object]) -> Hint | None:
    kind, uuid = row.get("resourcetype"), row.get("resourceid")
    if kind not in _KINDS or not isinstance(uuid, str) or not uuid:
        return None
    if row.get("state") != "Completed" or not KNOWN.get(str(row.get("type")), True):
        return None
    try:
        time = parse_time(str(row.get("created")))
    except Unreadable:
        return None
    event = message(row)[1] if row.get("type") in SWEPT else None
    return Hint(region, Kind(str(kind)), uuid, time, event)


def _message(one: Hint) -> Message:
    headers = {topics.HEADER_REGION: one.region, topics.HEADER_SOURCE: "person"}
    # As a scan asks: a person who has an entity read that a region lost does not want it removed everywhere.
    body = one.event or hint(one.kind, one.uuid, one.time, SCAN)
    return Message(topics.events(one.region), one.uuid.encode(), body, headers)
