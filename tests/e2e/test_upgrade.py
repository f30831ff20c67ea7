"""A rolling upgrade, and the way back: the release before and this one run together, on this one's tables,
under traffic; each process is replaced in turn, and in the end all regions are equal.

The release before is taken from the repository's history, and runs with what is installed for this one.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine

from pipeline.outbox.engine import migrate, open_database
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from tests.e2e.harness import SYNC, Processes, parts, settled, tree, until
from tests.e2e.test_convergence import BREATH_S, START_LIMIT_S, first_change_arrives

PREVIOUS: Final = "83999a85f0babc847b3cd8f0d99ab43521dc3520"
"""The commit of the release before; a release moves it."""
BETWEEN: Final = 20
"""Changes while a process of one version runs beside those of the other."""

pytestmark = [pytest.mark.services, pytest.mark.slow]


class Rolling(Processes):
    """Processes of two releases: those in `old` run the code below `folder`."""

    def __init__(self, code: Path, old: set[str], *args: object) -> None:
        self._code = code
        self.old = old
        super().__init__(*args)  # type: ignore[arg-type]

    def environment(self, name: str) -> dict[str, str]:
        given = super().environment(name)
        return {**given, "PYTHONPATH": str(self._code)} if name in self.old else given

    async def replace(self, name: str) -> None:
        """By one of the other release, as a Deployment does it: asked to end, waited for, started anew."""
        self.signal(name, signal.SIGTERM)
        await until(lambda: name not in self.pids(), f"the end of {name}")
        self.old ^= {name}
        self.start(name)


@pytest.fixture
def release_before(tmp_path: Path) -> Path:
    """Its code, in a folder of its own."""
    root = Path(__file__).parents[2]
    packed = subprocess.run(
        ["git", "archive", PREVIOUS, "pipeline", "bridges"], cwd=root, check=True, capture_output=True
    )
    folder = tmp_path / "release-before"
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    migrate(database_url)
    opened = open_database(database_url)
    yield opened
    opened.dispose()


async def test_each_process_is_replaced_in_turn_and_back_again_under_traffic(
    amqp_url: str, kafka_bootstrap: str, engine: Engine, release_before: Path, tmp_path: Path
) -> None:
    database = engine.url.render_as_string(hide_password=False)
    tag = f"t{uuid.uuid4().hex[:6]}"
    names = tuple(f"{tag}{number}" for number in (1, 2, 3))
    async with simulated_regions(3, amqp_url, names=names) as regions:
        configured = tree(regions, database, amqp_url, kafka=kafka_bootstrap, partitions=4)
        commands = parts(regions)
        processes = Rolling(release_before, set(commands), tmp_path, configured, commands)
        try:
            traffic = Traffic(regions, 3, TrafficOptions(silent=False))
            await started(regions)
            await first_change_arrives(regions, traffic)
            hub, *others = sorted(commands, key=lambda name: (name != "hub", "worker" not in name))
            for turn in ([*others, hub], [hub, *others]):
                for name in turn:
                    await processes.replace(name)
                    await change(traffic)
                before = len(processes.old)
                states = await settled(regions, engine)
            assert before == len(commands), "all are back"
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
    assert states["dead"] == 0
    assert set(codes.values()) == {0}


async def started(regions: list[SimulatedRegion]) -> None:
    await until(
        lambda: all(region.calls.reads(SYNC) for region in regions), "the workers start", START_LIMIT_S
    )


async def change(traffic: Traffic) -> None:
    for _ in range(BETWEEN):
        await traffic.step()
        await asyncio.sleep(BREATH_S)
