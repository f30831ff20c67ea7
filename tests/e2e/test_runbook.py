"""The runbook's tasks, carried out as they are written: its blocks are what is typed here, by a shell in the
folder of an installation that runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from pipeline.outbox.engine import migrate, open_database
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.documents import ROOT, blocks
from tests.e2e.harness import (
    SYNC,
    Person,
    Processes,
    people,
    settled,
    tree,
    until,
)
from tests.e2e.shell import Shell

START_LIMIT_S: Final = 180.0


def written(heading: str) -> list[tuple[str, ...]]:
    """The blocks of that section."""
    found = [block.lines for block in blocks(ROOT / "docs/runbook.md") if block.heading == heading]
    assert found, heading
    return found


class Operator:
    """Somebody at a shell in the installation's folder, with everything running in one process."""

    def __init__(self, folder: Path, regions: Sequence[SimulatedRegion], settings: dict[str, Any]) -> None:
        self.folder, self.regions, self.settings = folder, regions, settings
        self.url = f"sqlite:///{folder}/region-sync.db"
        self._shell = Shell(folder, {"region-sync": "pipeline"})
        migrate(self.url)
        self.settings_file = folder / "regions.yaml"
        self.processes: Processes | None = None

    def active(self, *names: str) -> None:
        """Edits the settings."""
        for region in self.settings["regions"]:
            region["active"] = region["name"] in names
        self.settings_file.write_text(yaml.safe_dump(self.settings))

    async def start(self) -> None:
        """Until every active region has been read."""
        names = {one["name"] for one in self.settings["regions"] if one.get("active", True)}
        those = [one for one in self.regions if one.name in names]
        before = {one.name: one.region.calls.reads(SYNC) for one in those}
        self.processes = Processes(self.folder, self.settings, {"run": ["run"]})
        await until(
            lambda: all(one.region.calls.reads(SYNC) > before[one.name] for one in those),
            "every region is read",
            START_LIMIT_S,
        )

    def stop(self) -> None:
        if self.processes is not None:
            assert self.processes.stop() == {"run": 0}, self.processes.logs()
        self.processes = None

    async def types(self, line: str) -> int:
        """Its exit code."""
        code, _ = await self._shell.types(line)
        return code

    async def types_all(self, lines: Sequence[str]) -> list[int]:
        return [await self.types(line) for line in lines]

    async def types_until_equal(self, lines: Sequence[str]) -> None:
        """The block, again as long as its last line, `verify`, says that something differs."""
        await self._shell.until_equal("\n".join(lines))


@asynccontextmanager
async def operator(folder: Path, count: int, active: int) -> AsyncIterator[tuple[Operator, list[Person]]]:
    async with simulated_regions(count) as regions, people(regions) as those:
        settings = tree(regions, "sqlite:///region-sync.db")
        one = Operator(folder, regions, settings)
        one.active(*(region.name for region in regions[:active]))
        try:
            await one.start()
            yield one, those
        finally:
            one.stop()


async def equal(one: Operator, count: int) -> None:
    """The first so many regions are, and nothing is under way."""
    engine = open_database(one.url)
    try:
        await settled(one.regions[:count], engine)
    finally:
        engine.dispose()


async def test_losing_the_database(tmp_path: Path) -> None:
    _mariadb, saving, copying, migrating, comparing = written("Losing the database")
    async with operator(tmp_path, 3, active=3) as (one, (first, second, _)):
        shop = await first.domain("shop")
        await first.account("acme", shop)
        jo = await first.user("jo", "acme", shop)
        await equal(one, 3)

        assert await one.types_all(saving) == [0]
        await first.call("updateUser", id=jo, firstname="Johanna")
        kim = await first.user("kim", "acme", shop)
        await equal(one, 3)
        await first.call("deleteUser", id=jo)
        await first.call("updateUser", id=kim, lastname="Berg")
        await second.domain("bank")
        await equal(one, 3)
        before = [region.dump() for region in one.regions]

        one.stop()
        (tmp_path / "region-sync.db").unlink()
        await one.types_all(copying)
        await one.types_all(migrating)
        await one.start()
        await one.types_until_equal(comparing)
        await equal(one, 3)
        assert [region.dump() for region in one.regions] == before, "nothing older came back"


async def test_adding_a_region_and_removing_it(tmp_path: Path) -> None:
    looking, joining = written("Adding a region")
    waiting, leaving = written("Removing a region")
    async with operator(tmp_path, 3, active=2) as (one, (first, _, third)):
        shop = await first.domain("shop")
        await first.account("acme", shop)
        bank = await third.domain("bank")
        await equal(one, 2)

        assert await one.types_all(looking) == [2]
        one.stop()
        one.active("r1", "r2", "r3")
        await one.start()
        assert (await one.types(joining[0])) == 0
        await one.types_until_equal(joining[1:])
        await equal(one, 3)
        assert {"ROOT/shop", "ROOT/bank"} <= set(one.regions[0].dump()["domains"])

        assert await one.types_all(waiting) == [0, 0]
        one.stop()
        one.active("r1", "r2")
        await one.start()
        await first.call("updateDomain", id=shop, networkdomain="new.example")
        await third.call("updateDomain", id=bank, networkdomain="own.example")
        kept = one.regions[2].dump()
        await equal(one, 2)
        assert (await one.types(leaving[0])) == 0
        await one.types_until_equal(leaving[1:])
        assert one.regions[2].dump() == kept, "nothing is done there any more"
        assert "new.example" in str(one.regions[1].dump())
        assert "own.example" not in str(one.regions[0].dump())


@pytest.mark.slow
async def test_losing_a_region_that_is_restored_from_an_older_backup(tmp_path: Path) -> None:
    """It comes back under a new name, as one that joins: no value of then replaces one of now."""
    looking, joining = written("Adding a region")
    async with operator(tmp_path, 2, active=2) as (one, (first, _)):
        shop = await first.domain("shop")
        await first.account("acme", shop)
        jo = await first.user("jo", "acme", shop)
        kim = await first.user("kim", "acme", shop)
        await equal(one, 2)
        world, log = one.regions[1].region.world, one.regions[1].region.log
        told = len(log.rows)
        await first.call("updateUser", id=jo, firstname="Johanna")
        await first.call("updateUser", id=kim, firstname="Kimberly")
        await equal(one, 2)

        one.stop()
        for name in ("jo", "kim"):  # as the backup has them
            (user,) = world.find_users(name)
            user.firstname = "F"
        del log.rows[told:]
        one.settings["regions"][1]["name"] = "r3"
        one.active("r1")
        await one.start()
        assert await one.types_all(looking) == [2]
        one.stop()
        one.active("r1", "r3")
        await one.start()
        await one.types(joining[0])
        await one.types_until_equal(joining[1:])
        assert [user.firstname for name in ("jo", "kim") for user in world.find_users(name)] == [
            "Johanna",
            "Kimberly",
        ]
        assert one.regions[0].dump() == one.regions[1].dump()
        assert set(one.regions[0].dump()["users"]) == {
            f"ROOT/shop|acme|{name}" for name in ("acme", "jo", "kim")
        }
