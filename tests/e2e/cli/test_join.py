"""`join` as a process: its verdict, and what is left of it when it is interrupted or killed."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.makeshift import PROBE
from pipeline.outbox.engine import migrate
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.e2e.cli.running import LIMIT_S, Desk, administrator, settings, until


class Rows(list[Any]):
    """Of a region's event log, which may tell nothing for a while: then a self-test waits."""

    hidden = False

    def __iter__(self) -> Iterator[Any]:
        return iter(()) if self.hidden else super().__iter__()


@pytest.fixture
async def regions() -> AsyncIterator[list[SimulatedRegion]]:
    async with simulated_regions(2) as running:
        yield running


@pytest.fixture
def joining(regions: list[SimulatedRegion]) -> SimulatedRegion:
    return regions[1]


@pytest.fixture
def rows(joining: SimulatedRegion) -> Rows:
    log = joining.region.log
    log.rows = Rows(log.rows)
    return log.rows


@pytest.fixture
def desk(regions: list[SimulatedRegion], joining: SimulatedRegion, tmp_path: Path) -> Desk:
    """The second region is not active yet."""
    text = settings(regions).replace(f"name: {joining.name}", f"name: {joining.name}\n    active: false")
    (tmp_path / "regions.yaml").write_text(text)
    migrate(f"sqlite:///{tmp_path / 'audit.db'}")
    return Desk(tmp_path)


def probes(one: SimulatedRegion) -> list[str]:
    return [name for name in one.dump()["domains"] if PROBE in name]


async def test_a_region_that_may_join(desk: Desk, joining: SimulatedRegion) -> None:
    ended = await desk.region_sync("join", joining.name, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json()["ok"] is True
    found = {one["what"]: one["verdict"] for one in ended.json()["findings"]}
    assert found["self-test"] == found["version"] == found["roles"] == "ok"
    assert probes(joining) == []

    told = await desk.region_sync("join", joining.name, "--no-self-test")
    assert told.code == 0, "both are empty"
    assert "self-test" not in told.out
    assert "Nothing is to be done: r2 is equal." in told.out
    assert told.out.splitlines()[0].split() == ["region", "what", "result", "detail"]


async def test_a_region_that_may_not_join(desk: Desk, joining: SimulatedRegion) -> None:
    joining.region.version = "4.16.1.0"
    ended = await desk.region_sync("join", joining.name, "--json")
    assert (ended.code, ended.err) == (1, "")
    failed = [one["what"] for one in ended.json()["findings"] if one["verdict"] == "fail"]
    assert (ended.json()["ok"], failed) == (False, ["version"])


async def test_only_its_own_secrets_are_needed(desk: Desk, regions: list[SimulatedRegion]) -> None:
    path = desk.folder / "regions.yaml"
    path.write_text(path.read_text().replace(regions[0].service.secretkey, "${NOT_SET_HERE}"))
    assert (await desk.region_sync("join", regions[1].name)).code == 0


async def test_without_tables_there_is_nothing_to_join(desk: Desk, joining: SimulatedRegion) -> None:
    (desk.folder / "audit.db").unlink()
    ended = await desk.region_sync("join", joining.name)
    assert (ended.code, ended.out) == (1, "")
    assert "no tables yet" in ended.err
    assert joining.calls.writes() == 0


async def test_an_interrupt_takes_the_probe_along(desk: Desk, joining: SimulatedRegion, rows: Rows) -> None:
    rows.hidden = True
    async with desk.started("join", joining.name) as process:
        await until(lambda: bool(probes(joining)), "no probe was made", process)
        process.send_signal(signal.SIGINT)
        said = await asyncio.wait_for(process.communicate(), LIMIT_S)
        assert process.returncode == 130, said
    assert probes(joining) == []


async def test_a_killed_one_s_probe_is_removed_by_the_next(
    desk: Desk, joining: SimulatedRegion, rows: Rows
) -> None:
    rows.hidden = True
    async with desk.started("join", joining.name) as process:
        await until(lambda: bool(probes(joining)), "no probe was made", process)
        process.kill()
        await process.wait()
    (left,) = probes(joining)
    rows.hidden = False
    ended = await desk.region_sync("join", joining.name, "--json")
    assert ended.code == 0, ended.out + ended.err
    found = [one["detail"] for one in ended.json()["findings"] if one["what"] == "self-test"]
    assert found[0] == f"domain {left.removeprefix('ROOT/')} of an earlier run is removed"
    assert probes(joining) == []


async def test_a_probe_spreads_nowhere(
    desk: Desk, regions: list[SimulatedRegion], joining: SimulatedRegion
) -> None:
    path = desk.folder / "regions.yaml"
    path.write_text(path.read_text().replace("active: false", "active: true"))
    async with desk.running() as process, administrator(joining) as person:
        await person.call("createDomain", {"name": f"{PROBE}0123abcd"})
        await person.call("createDomain", {"name": "after"})
        await until(lambda: "ROOT/after" in regions[0].dump()["domains"], "it did not arrive", process)
        assert (await desk.region_sync("join", joining.name)).code == 0
        scanned = await desk.region_sync("scan", "--region", joining.name, "--json")
        assert scanned.code == 0, scanned.err
        await person.call("createDomain", {"name": "last"})
        await until(lambda: "ROOT/last" in regions[0].dump()["domains"], "it did not arrive", process)
    assert set(regions[0].dump()["domains"]) == {"ROOT/after", "ROOT/last"}
    assert "Traceback" not in desk.log.read_text()
    assert json.loads(scanned.out)["scans"][0]["outcomes"]["unknown"] == 0
