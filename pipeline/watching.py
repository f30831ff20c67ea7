"""The watchdogs of one app: which there are, and how long each waits.

In: settings, the brokers, the worker, its partitions. Out: what is to be run beside the worker; each raises
`Stuck` when it bites. Called by `pipeline.app`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from pipeline.agents.letters import Letters
from pipeline.agents.publish import PRODUCER
from pipeline.agents.region import KEYS_PER_LANE
from pipeline.agents.signs import Signs
from pipeline.agents.watchdog import LagWatch, Watched, watch_lanes
from pipeline.cloudstack.pace import PAUSE_MAX_S
from pipeline.cloudstack.slots import URGENT_IN_A_ROW
from pipeline.metrics.health import Assigned, Health
from pipeline.metrics.instruments import Instruments
from pipeline.progress import Places
from pipeline.settings import Region, Settings

PUBLISH_MAX_S: Final = int(PRODUCER["message.timeout.ms"]) / 1000
"""Kafka that does not take a message is waited for so long before that is an error."""

Dog = Callable[[], Awaitable[None]]


class Wires(Protocol):
    """What it needs of `pipeline.app.Wiring`."""

    @property
    def brokers(self) -> str: ...
    @property
    def kafka_options(self) -> Mapping[str, str]: ...
    @property
    def instruments(self) -> Instruments: ...
    @property
    def health(self) -> Health: ...
    @property
    def letters(self) -> list[Letters]: ...


def watch_partitions(app: Any, part: str, wires: Wires) -> Assigned:
    """Of a Faust app. So that the process is ready only once it has its partitions."""
    known = Assigned()
    wires.health.checks[f"partitions of {part}"] = known.answer

    async def assigned(_app: Any, /, *args: Any, **_signal: Any) -> None:
        known.partitions = frozenset((tp.topic, tp.partition) for tp in args[0])

    async def revoked(_app: Any, /, *_args: Any, **_signal: Any) -> None:
        known.partitions = None

    app.on_partitions_assigned.connect(assigned, weak=False)
    app.on_partitions_revoked.connect(revoked, weak=False)
    return known


def watch_letters(wires: Wires, *letters: Letters) -> None:
    """Of one app's consumers."""
    for one in letters:
        wires.letters.append(one)
        wires.instruments.watch_letters(one)


def lag_watchdog(
    settings: Settings, wires: Wires, group: tuple[str, str], watched: Watched, known: Assigned
) -> Dog | None:
    """`group`: hub or the region's name, and its consumer group. None where the settings want none."""
    if settings.stall_limit_s is None:
        return None
    part, name = group
    places = Places(wires.brokers, wires.kafka_options, name)
    watch = LagWatch(part, watched, lambda: known.partitions or (), places.read)
    wires.instruments.watch_stall(part, watch)
    return partial(_watching, watch, settings.stall_limit_s, places)


async def _watching(watch: LagWatch, limit_s: float, places: Places) -> None:
    try:
        await watch.run(limit_s)
    finally:
        await asyncio.to_thread(places.close)


def lane_watchdog(settings: Settings, wires: Wires, region: Region, signs: Signs) -> Dog | None:
    """Likewise."""
    wires.instruments.watch_signs(region.name, signs)
    if settings.stall_limit_s is None:
        return None
    return partial(watch_lanes, region.name, signs, longest_s(region))


def longest_s(region: Region) -> float:
    """Longer than that no job of a region can go without a sign of life: its call waits for its turn, for a
    pause that the region asked for, for its answer and its job; then Kafka takes its time."""
    turns = region.lanes / region.rate_per_s if region.rate_per_s else 0.0
    # Each lane of the region's ordinary and of its urgent keys may be ahead, of the latter several times.
    waits_s = KEYS_PER_LANE * (URGENT_IN_A_ROW + 1) * (region.timeout_s + turns)
    return waits_s + PAUSE_MAX_S + region.job_timeout_s + PUBLISH_MAX_S
