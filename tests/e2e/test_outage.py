"""A region that is down keeps nobody waiting but itself, and once it is back only the newest state of each
entity is applied."""

from __future__ import annotations

from pathlib import Path

from pipeline.run import pipeline
from pipeline.sandbox.launch import simulated_regions
from pipeline.settings import Settings
from tests.e2e.harness import SYNC, people, rows, settled, tree, until

CHANGES = 10


async def test_a_region_that_is_down_keeps_nobody_waiting_but_itself(tmp_path: Path) -> None:
    async with simulated_regions(3) as regions, people(regions) as persons:
        settings = Settings.parse(tree(regions, f"sqlite:///{tmp_path}/outage.db"), {})
        async with pipeline(settings) as running:
            engine = running.wiring.engine
            domain = await persons[0].domain("north")
            await persons[0].account("acme", domain)
            user = await persons[0].user("ann", "acme", domain)
            await settled(regions, engine)
            away, before = regions[2], regions[2].calls.writes(SYNC)
            known = len([row for row in rows(engine) if row.region == away.name])
            await away.stop()
            for number in range(CHANGES):
                await persons[0].call("updateUser", id=user, email=f"{number}@example.org")
                await until(
                    lambda: regions[1].dump() == regions[0].dump(), "the change arrives where nobody is down"
                )
            waiting = [row for row in rows(engine) if row.region == away.name][known:]
            assert len(waiting) == CHANGES
            assert {row.state for row in waiting} <= {"pending", "published", "superseded"}
            await away.start()
            await settled(regions, engine)
            # One is the newest; another may have been on its way when the region came back.
            assert away.calls.writes(SYNC) - before <= 2
            assert not running.broken
