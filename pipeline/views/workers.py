"""A region's workers as one: whether any lives, whether the region answers them, how many lanes are busy.

In: their heartbeats and the time. Out: values for the page of regions and for JSON. Pure; used by `regions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.outbox.pulses import STOPPED, Pulse

SILENT_MS: Final = 20_000
"""A worker that was not heard of for so long is taken for gone: four beats."""


@dataclass(frozen=True, slots=True)
class Workers:
    """`count`: those that live. `heard`: when any was heard of last. `reachable`: None where nobody knows;
    False where one of them gets no answer. `since`: since when it is so. `stopped`: what one of them takes
    nothing from, and why."""

    count: int
    heard: int | None
    reachable: bool | None
    since: int | None
    reason: str | None
    lanes: int
    busy: int
    stopped: str | None = None


def workers(pulses: Sequence[Pulse], now: int) -> Workers:
    """Of one region."""
    alive = [one for one in pulses if one.time > now - SILENT_MS]
    reachable = _reachable(alive)
    those = [one for one in alive if one.reachable is reachable]
    return Workers(
        count=len(alive),
        heard=max((one.time for one in pulses), default=None),
        reachable=reachable,
        since=min((one.since for one in those if one.since is not None), default=None),
        reason=next((one.reason for one in [*those, *alive] if one.reason is not None), None),
        lanes=sum(one.lanes for one in alive),
        busy=sum(one.busy for one in alive),
        stopped=next((text for one in alive if (text := one.reason or "").startswith(STOPPED)), None),
    )


def _reachable(alive: Sequence[Pulse]) -> bool | None:
    known = [one.reachable for one in alive if one.reachable is not None]
    return all(known) if known else None
