"""What an agent takes from Kafka: a value, its place, and the way to acknowledge it.

In: Faust events. Out: plain values for the lanes and the hub, so that nothing else has to know Faust.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faust.types import EventT

from pipeline.agents.acknowledge import Partition


@dataclass(frozen=True, slots=True)
class Taken:
    """One consumed message."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]
    acknowledge: Callable[[], object]


def taken(event: EventT[bytes]) -> Taken:
    """The message behind a Faust event, bytes as they came."""
    message = event.message
    return Taken(
        partition=(message.tp.topic, message.tp.partition),
        offset=message.offset,
        key=message.key,
        value=message.value or b"",
        headers=_headers(message.headers),
        acknowledge=event.ack,
    )


def _headers(headers: object) -> dict[str, bytes]:
    pairs = headers.items() if isinstance(headers, dict) else headers
    return dict(pairs) if isinstance(pairs, list | tuple) or hasattr(pairs, "__iter__") else {}
