"""A region's worker and a hub are stopped for longer than their sessions, in the middle of their work, and
go on when others have taken it over: Kafka, MariaDB, processes as a user starts them, SIGSTOP and SIGCONT."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.outbox.engine import open_database
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.e2e.harness import (
    LOOK_EVERY_S,
    SYNC,
    Person,
    Processes,
    parts,
    people,
    settled,
    tree,
    until,
)
from tests.services.kafka import Kafka

pytestmark = pytest.mark.services

USERS = 12
LATENCY_MS = 100
"""Of each call in the region whose worker is stopped: some are always under way."""
BREATH_S = 0.2
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
            await asyncio.sleep(LATENCY_MS / 4000)


async def test_workers_that_wake_after_their_successors_bring_nothing_back(
    tmp_path: Path, services_cache: Path, database_url: str
) -> None:
    """A Kafka of their own: that of all tests holds what others said."""
    with Kafka(tmp_path / "kafka", services_cache) as kafka:
        await woken_late(tmp_path, kafka.address, database_url)


async def woken_late(tmp_path: Path, kafka: str, database_url: str) -> None:
    names = tuple(f"z{uuid.uuid4().hex[:6]}{number}" for number in (1, 2))
    async with simulated_regions(2, names=names) as regions, people(regions) as persons:
        settings = tree(
            regions, database_url, kafka=kafka, partitions=4, web={"port": None}, log_level="info"
        )
        commands = parts(regions)
        commands["hub-2"], commands["worker-2"] = commands["hub"], commands[f"worker-{names[1]}"]
        engine = open_database(database_url)
        processes = Processes(tmp_path, settings, commands)
        zombies = ("hub", f"worker-{names[1]}")
        watch = Watch(regions)
        looking = asyncio.create_task(watch.look())
        try:
            counting = await begun(regions, persons[0])
            regions[1].faults.latency_ms = LATENCY_MS
            stop = asyncio.Event()
            going = asyncio.create_task(counting.go_on(stop))
            await reached(watch, regions[1], counting, "both workers are at work")
            for name in zombies:
                processes.signal(name, signal.SIGSTOP)
            await counting_goes_on(counting)
            await reached(watch, regions[1], counting, "others have taken over")
            for name in zombies:
                processes.signal(name, signal.SIGCONT)
            await counting_goes_on(counting)
            stop.set()
            await going
            await settled(regions, engine)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            looking.cancel()
            codes = processes.stop()
            engine.dispose()
    assert watch.fell == []
    assert [watch.counts(region) for region in regions] == [[counting.round] * USERS] * 2
    assert set(codes.values()) == {0}, "and the watchdogs left them alone"


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
