"""Somebody who counts every user's first name up in one region, and somebody who watches all regions for a
value that was there before and comes back.

In: simulated regions, and a person in one of them. Out: what fell back. Used where workers are stopped,
exchanged or moved in the middle of their work.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.outbox.engine import open_database
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.e2e.harness import LOOK_EVERY_S, SYNC, Person, Processes, parts, people, settled, tree, until

USERS = 12
BREATH_S = 0.2
LOOK_AGAIN_S = 0.025
"""Oftener than a region answers."""
START_LIMIT_S = 180.0


class Counting:
    """Somebody counts every user's first name up in one region, round after round."""

    def __init__(self, person: Person, uuids: Sequence[str]) -> None:
        self._person = person
        self._uuids = uuids
        self.round = 0

    async def once(self) -> None:
        number = self.round + 1
        for one in self._uuids:
            await self._person.call("updateUser", id=one, firstname=str(number))
        self.round = number

    async def go_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.once()
            await asyncio.sleep(BREATH_S)


class Watch:
    """Sees every first name of every region that is less than one that was there before."""

    def __init__(self, regions: Sequence[SimulatedRegion]) -> None:
        self._regions = regions
        self._most: dict[tuple[str, str], int] = {}
        self.fell: list[str] = []

    def counts(self, region: SimulatedRegion) -> list[int]:
        found = region.dump()["users"].values()
        return [int(one["firstname"]) for one in found if str(one["firstname"]).isdecimal()]

    async def look(self) -> None:
        """Until cancelled, between any two requests that a region answers."""
        while True:
            for region in self._regions:
                for path, one in region.dump()["users"].items():
                    if not str(one["firstname"]).isdecimal():
                        continue
                    key, number = (region.name, path), int(one["firstname"])
                    if number < self._most.get(key, 0):
                        self.fell.append(f"{path} in {region.name}: {number} after {self._most[key]}")
                    self._most[key] = max(number, self._most.get(key, 0))
            await asyncio.sleep(LOOK_AGAIN_S)


async def begun(regions: Sequence[SimulatedRegion], person: Person) -> Counting:
    """The users are in both regions."""
    started = [region.calls.reads for region in regions]
    await until(lambda: all(reads(SYNC) for reads in started), "the workers start", START_LIMIT_S)
    domain = await person.domain("dom")
    await person.account("acc", domain)
    counting = Counting(person, [await person.user(f"user{n}", "acc", domain) for n in range(USERS)])
    await counting.once()
    await until(lambda: len(regions[1].dump()["users"]) > USERS, "all users arrive")
    return counting


async def counting_goes_on(counting: Counting) -> None:
    """At least one whole round more."""
    now = counting.round
    await until(lambda: counting.round > now + 1, "people go on")


async def reached(watch: Watch, region: SimulatedRegion, counting: Counting, what: str) -> None:
    """Every user in that region has what was said after this moment."""
    now = counting.round + 1
    await until(lambda: min(watch.counts(region), default=0) >= now, what)
    await asyncio.sleep(LOOK_EVERY_S)


@dataclass
class World:
    """Two regions, the whole pipeline between them, and somebody who counts in the first. `states`: of the
    outbox's rows, once all is at rest."""

    regions: Sequence[SimulatedRegion]
    settings: dict[str, Any]
    processes: Processes
    watch: Watch
    counting: Counting
    states: Counter[str] = field(default_factory=Counter)


@asynccontextmanager
async def counted(
    folder: Path, names: tuple[str, str], services: Mapping[str, Any], more: Mapping[str, list[str]]
) -> AsyncIterator[World]:
    """While somebody counts. `services`: the database's URL, and settings of Kafka; `more`: processes
    besides. At the end all is settled, nothing fell back, both regions hold the last count, and all processes
    end well."""
    async with simulated_regions(2, names=names) as regions, people(regions) as persons:
        settings = tree(regions, web={"port": None}, **services)
        engine = open_database(services["database"])
        processes = Processes(folder, settings, {**parts(regions), **more})
        watch = Watch(regions)
        looking = asyncio.create_task(watch.look())
        try:
            counting = await begun(regions, persons[0])
            stop = asyncio.Event()
            going = asyncio.create_task(counting.go_on(stop))
            world = World(regions, settings, processes, watch, counting)
            yield world
            stop.set()
            await going
            world.states = await settled(regions, engine)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            looking.cancel()
            codes = processes.stop()
            engine.dispose()
    assert watch.fell == []
    assert [watch.counts(region) for region in regions] == [[counting.round] * USERS] * 2
    assert set(codes.values()) == {0}, "and the watchdogs left them alone"
