"""Limits are the same in every region that takes part: on the embedded default, between four simulated
regions of which one takes no part, and one has other defaults and is too old for some types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.outbox.engine import open_database
from pipeline.outbox.schema import conflict
from pipeline.run import pipeline
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.settings import Settings
from tests.e2e.harness import SYNC, Person, people, rows, settled, tree, until
from tests.unit.outbox.builders import rows as of

NAMES = ("r1", "r2", "r3", "deaf")
VMS, CPUS, GPUS = 0, 8, 16


def configured(regions: Sequence[SimulatedRegion], folder: Path) -> Settings:
    said = tree(regions, f"sqlite:///{folder}/limits.db", web={"port": None})
    for region in said["regions"][:-1]:
        region["limits"] = True
    return Settings.parse(said, {})


async def set_limit(person: Person, kind: int, most: int, **whose: str) -> None:
    await person.call("updateResourceLimit", resourcetype=str(kind), max=str(most), **whose)


def shown(region: SimulatedRegion, kind: str, uuid: str, number: int) -> int | None:
    """The limit that was set there; None where none was."""
    world: Any = region.region.world
    table = world.domains if kind == "Domain" else world.accounts
    found = table.get(world.by_uuid[kind].get(uuid))
    limits: dict[int, int] = {} if found is None else found.limits
    return limits.get(number)


def held(regions: Sequence[SimulatedRegion], kind: str, uuid: str, number: int) -> list[int | None]:
    return [shown(region, kind, uuid, number) for region in regions]


async def test_limits_are_the_same_in_every_region_that_takes_part(tmp_path: Path) -> None:
    async with simulated_regions(len(NAMES), names=NAMES) as regions, people(regions) as persons:
        one, two, three = persons[:3]
        world: Any = regions[2].region.world
        world.limit_defaults, world.unknown_limits = {VMS: 50}, frozenset({GPUS})
        engine = open_database(f"sqlite:///{tmp_path}/limits.db")
        async with pipeline(configured(regions, tmp_path)):
            shop = await one.domain("shop")
            acme = await one.account("acme", shop)
            await until(
                lambda: held(regions, "Account", acme, VMS) == [None, None, 20, None],
                "the third region has what the first has by default",
            )
            await settled(regions, engine)
            assert of(engine, conflict) == [], "defaults are nobody's change"

            # Each in a region of its own, at once.
            await set_limit(one, VMS, 7, account="acme", domainid=shop)
            await set_limit(two, CPUS, 3, account="acme", domainid=shop)
            await set_limit(two, GPUS, 2, account="acme", domainid=shop)
            await set_limit(three, VMS, 70, domainid=shop)
            await until(
                lambda: (
                    held(regions, "Account", acme, VMS) == [7, 7, 7, None]
                    and held(regions, "Account", acme, CPUS) == [3, 3, 3, None]
                    and held(regions, "Account", acme, GPUS) == [2, 2, None, None]
                    and held(regions, "Domain", shop, VMS) == [70, 70, 70, None]
                ),
                "all of them are everywhere",
            )

            await settled(regions, engine)
            calls = [region.calls.by_command(SYNC).get("updateResourceLimit", 0) for region in regions]
            assert calls[3] == 0 and rows(engine, "dead") == []
        engine.dispose()
