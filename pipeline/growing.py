"""More partitions for topics that are in use, with nothing lost and each entity's order kept.

In: settings that say how many, while no hub and no worker of theirs runs. Out: what was done. Called by the
command `grow`. First the observations that wait are merged here, by a hub in this process: one that was
merged and not acknowledged is known by its place in its partition, so it must not be written again. Then the
topics grow, and what waits in the regions' own is brought to where its keys belong (`moving`). Each step may
be done twice, so that whoever was cut off says it again.

Bridges may go on: they only say that something changed. That may come twice, or for a moment to a worker
that has the entity no more: what it reads then is no news beside what the other reads (terms).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import faust

from pipeline.agents.tenure import SESSION_S
from pipeline.app import Wiring, hub_app
from pipeline.core import topics
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.moving import Mover
from pipeline.outbox.engine import migrate, open_database
from pipeline.reach import Kafka
from pipeline.settings import Settings
from pipeline.worker import STOP_LIMIT_S

LOOK_EVERY_S: Final = 0.3
GONE_LIMIT_S: Final = 2 * SESSION_S
"""Kafka keeps one that was killed in its group for a session's length."""
LOOK_AT_GROUPS_S: Final = 2.0
STILL_LIMIT_S: Final = 120.0
"""So long without an observation merged: something is in the way."""

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Grown:
    """What was done. `merged`: observations; `before`: topic → its partitions, of those that grew; `moved`:
    topic → messages, of those in which some were moved."""

    partitions: int
    merged: int = 0
    before: dict[str, int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)


def grow(settings: Settings, told: Told) -> Grown:
    """Gives all topics as many partitions as the settings say; `told` hears of each step. Raises
    `PermanentError` where that can't be, `TemporaryError` where something is away or still runs."""
    if settings.embedded:
        raise PermanentError("kafka: embedded always has the same partitions: only a real Kafka's can grow")
    kafka, wanted = Kafka(settings.kafka, settings.kafka_options), settings.partitions
    groups = {topics.region_group(one.name): topics.of_region(one.name) for one in settings.regions}
    names = [topics.OBSERVATIONS, topics.DEAD_LETTERS, *(name for of in groups.values() for name in of)]
    sizes = kafka.sizes(names)
    smaller = _smaller(sizes, wanted)
    _wait_until_nobody_runs(kafka, [topics.HUB_GROUP, *groups], told)
    merged = 0
    if topics.OBSERVATIONS in smaller:
        merged = _merge_what_waits(settings, kafka, sizes[topics.OBSERVATIONS], told)
    if smaller:
        told(f"{len(smaller)} topics grow to {wanted} partitions")
        kafka.grow(smaller, wanted)
    moved = {}
    for group, own in groups.items():
        with closing(Mover(settings.kafka, settings.kafka_options, group)) as mover:
            for name in own:
                if name in sizes and (count := mover.move(name, wanted)):
                    told(f"{name}: {count:,} messages are where their keys belong now")
                    moved[name] = count
    return Grown(wanted, merged, {name: sizes[name] for name in smaller}, moved)


def _smaller(sizes: Mapping[str, int], wanted: int) -> list[str]:
    """The topics that are to grow. Raises `PermanentError`."""
    if topics.OBSERVATIONS not in sizes:
        raise PermanentError(
            "there are no topics yet: the hub makes them, with the partitions of the settings"
        )
    for name, size in sizes.items():
        if size > wanted:
            raise PermanentError(
                f"topic {name} has {size} partitions, the settings say {wanted}: Kafka takes none away"
            )
    return [name for name, size in sizes.items() if size < wanted]


def _wait_until_nobody_runs(kafka: Kafka, groups: Sequence[str], told: Told) -> None:
    limit = time.monotonic() + GONE_LIMIT_S
    while running := kafka.members(groups):
        who = ", ".join(f"{group} ({count})" for group, count in running.items())
        if time.monotonic() > limit:
            raise TemporaryError(f"still consumed by {who}: stop the hubs and workers, and say it again")
        told(f"waits until nobody consumes any more: {who}")
        time.sleep(LOOK_AT_GROUPS_S)


def _merge_what_waits(settings: Settings, kafka: Kafka, partitions: int, told: Told) -> int:
    """How many observations waited; all of them are merged and acknowledged then."""
    with closing(Mover(settings.kafka, settings.kafka_options, topics.HUB_GROUP)) as waiting:

        def left() -> int:
            places = waiting.waiting(topics.OBSERVATIONS, partitions).values()
            return sum(place.end - place.committed for place in places)

        if count := left():
            told(f"{count:,} observations are merged first")
            as_it_is = settings.model_copy(update={"partitions": partitions})
            _run_hub(as_it_is, kafka.identity(topics.OBSERVATIONS), left)
        return count


def _run_hub(settings: Settings, epoch: str, left: Callable[[], int]) -> None:
    """Until nothing is left to it."""
    migrate(settings.database.get_secret_value())
    engine = open_database(settings.database.get_secret_value())
    try:
        wiring = Wiring(settings.kafka, engine, epoch, settings.kafka_options)
        asyncio.run(_run_until(lambda: hub_app(settings, wiring), left))
    finally:
        engine.dispose()


async def _run_until(build: Callable[[], faust.App], left: Callable[[], int]) -> None:
    app = build()
    app.finalize()
    await app.start()
    try:
        least, since = left(), time.monotonic()
        while (now := await asyncio.to_thread(left)) > 0:
            if now < least:
                least, since = now, time.monotonic()
            if app.crashed or time.monotonic() - since > STILL_LIMIT_S:
                raise TemporaryError(
                    f"{now:,} observations are not merged: {app.crash_reason or 'nothing moves'}"
                )
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        async with asyncio.timeout(STOP_LIMIT_S):
            await app.stop()
