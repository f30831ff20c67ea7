"""Whether one change costs the same however many entities there are: 100, 1,000 and 10,000 users.

In: nothing (embedded broker, SQLite). Out: API calls and milliseconds of the pipeline's CPU for a change, one
after the other, what the idle pipeline uses in the same time taken off. All of `region-sync run` is one
process; the two regions are simulated here.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.app import now_ms
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.session import Credentials
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.benchmarks import facts, stage

SIZES: Final = (100, 1_000, 10_000)
CHANGES: Final = 60
IDLE_S: Final = 8.0
LIMIT_S: Final = 60.0
SYNC: Final = "svc-sync"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one change, with so many users in each region."""

    users: int
    calls: float
    cpu_ms: float


def main(changes: int = CHANGES) -> None:
    costs = [asyncio.run(_cost(users, changes)) for users in SIZES]
    stage.show(
        f"flat: the cost of one change, {changes} changes of users, two regions",
        ("users", "calls", "pipeline CPU ms", "of the smallest"),
        [
            (f"{one.users:,}", f"{one.calls:.2f}", f"{one.cpu_ms:.1f}", f"{one.cpu_ms / costs[0].cpu_ms:.2f}")
            for one in costs
        ],
        "calls without the polling of the event log, which does not depend on changes",
    )


async def _cost(users: int, changes: int) -> Cost:
    with stage.database("sqlite") as url, tempfile.TemporaryDirectory() as folder:
        async with simulated_regions(2) as regions:
            for region in regions:
                region.region.rng.seed("the same UUIDs everywhere")
                region.load(5, max(users // 10, 1), users)
            places = [_place(region) for region in regions]
            held = await facts.held(places[0].endpoint, places[0].apikey, places[0].secretkey)
            with stage.engine_of(url) as engine:
                await asyncio.to_thread(facts.Facts(engine, [region.name for region in regions]).agree, held)
            file = stage.written(stage.settings("embedded", url, places), Path(folder))
            with stage.process(Path(folder), ["-m", "pipeline", "run", "-c", str(file)]) as running:
                return await _run(regions, [one.uuid for one in facts.users_of(held)], changes, running)


def _place(region: SimulatedRegion) -> stage.Place:
    keys = region.service
    return stage.Place(region.name, region.endpoint, keys.apikey, keys.secretkey)


async def _run(
    regions: list[SimulatedRegion], users: list[str], changes: int, running: stage.Process
) -> Cost:
    origin, target = regions
    admin = CloudStack(
        ClientSettings(origin.endpoint, Credentials(origin.admin.apikey, origin.admin.secretkey)),
        clock=now_ms,
    )
    try:
        for number in range(5):  # until all is loaded and warm
            await _change(admin, users[number], f"w{number}", target, running)
        await asyncio.sleep(2)
        idle_cpu = running.cpu_s
        await asyncio.sleep(IDLE_S)
        idle_share = (running.cpu_s - idle_cpu) / IDLE_S
        for region in regions:
            region.calls.clear()
        began, cpu = time.perf_counter(), running.cpu_s
        for number in range(changes):
            await _change(admin, users[(number * 7) % len(users)], f"c{number}", target, running)
        await asyncio.sleep(1)  # the last one's read-back
        idle = idle_share * (time.perf_counter() - began)
        cpu_ms = (running.cpu_s - cpu - idle) / changes * 1000
    finally:
        await admin.aclose()
    made = [region.calls.by_command(SYNC) for region in regions]
    calls = sum(sum(one.values()) - one.get("listEvents", 0) for one in made)
    return Cost(len(users), calls / changes, cpu_ms)


async def _change(
    admin: CloudStack, user: str, word: str, target: SimulatedRegion, running: stage.Process
) -> None:
    email = f"{word}@example.org"
    await admin.call("updateUser", {"id": user, "email": email})
    world = target.region.world
    there = world.users[world.by_uuid["User"][user]]
    deadline = time.monotonic() + LIMIT_S
    while there.email != email:
        running.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{user} is not changed: {running.log.read_text()[-2000:]}")
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
