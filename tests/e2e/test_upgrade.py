"""A rolling upgrade, and the way back: the release before and this one run together, on this one's tables,
under traffic; each process is replaced in turn, and in the end all regions are equal.

The release before is the one that is kept in `tests/releases`; it runs with what is installed for this one.
"""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine

from pipeline.outbox.engine import migrate, open_database
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from tests.e2e.harness import SYNC, Processes, parts, settled, tree, until
from tests.e2e.test_convergence import BREATH_S, START_LIMIT_S, first_change_arrives

BETWEEN: Final = 10
"""Changes while a process of one version runs beside those of the other."""

pytestmark = pytest.mark.services


class Rolling(Processes):
    """Processes of two releases: those in `old` run the code below `folder`."""

    def __init__(self, code: Path, old: set[str], *args: object) -> None:
        self._code = code
        self.old = old
        super().__init__(*args)  # type: ignore[arg-type]

    def environment(self, name: str) -> dict[str, str]:
        given = super().environment(name)
        return {**given, "PYTHONPATH": str(self._code)} if name in self.old else given

    async def replace(self, *names: str) -> None:
        """By those of the other release, as a Deployment does it: asked to end, waited for, started anew."""
        for name in names:
            self.signal(name, signal.SIGTERM)
        await until(lambda: not self.pids().keys() & set(names), f"the end of {names}")
        for name in names:
            self.old ^= {name}
            self.start(name)


@dataclass(frozen=True, slots=True)
class Installed:
    """The release before, and where it runs; the tables are this one's."""

    code: Path
    amqp: str
    kafka: str
    engine: Engine


@pytest.fixture
def installed(
    release_before: Path, amqp_url: str, kafka_bootstrap: str, database_url: str
) -> Iterator[Installed]:
    migrate(database_url)
    opened = open_database(database_url)
    yield Installed(release_before, amqp_url, kafka_bootstrap, opened)
    opened.dispose()


@pytest.mark.parametrize(
    ("count", "at_once"),
    [
        pytest.param(2, True, id="a kind of process at a time"),
        pytest.param(3, False, id="one at a time", marks=pytest.mark.slow),
    ],
)
async def test_each_process_is_replaced_in_turn_and_back_again_under_traffic(
    installed: Installed, tmp_path: Path, count: int, at_once: bool
) -> None:
    engine = installed.engine
    database = engine.url.render_as_string(hide_password=False)
    names = tuple(f"t{uuid.uuid4().hex[:6]}{number}" for number in range(count))
    async with simulated_regions(count, installed.amqp, names=names) as regions:
        configured = tree(regions, database, installed.amqp, kafka=installed.kafka, partitions=4)
        commands = parts(regions)
        processes = Rolling(installed.code, set(commands), tmp_path, configured, commands)
        try:
            traffic = Traffic(regions, 3, TrafficOptions(silent=False))
            await started(regions)
            await first_change_arrives(regions, traffic)
            for there in (True, False):
                for together in turns(commands, at_once)[:: 1 if there else -1]:
                    await processes.replace(*together)
                    await change(traffic)
                    if together == ("hub",) and not there:  # its last words lie where only new workers look
                        await settled(regions, engine)
                states = await settled(regions, engine)
                assert processes.old == (set() if there else set(commands))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
    assert states["dead"] == 0
    assert set(codes.values()) == {0}


def turns(commands: Iterable[str], at_once: bool) -> list[tuple[str, ...]]:
    """What is replaced together, in the order of an upgrade (docs/runbook.md); back it goes the other way."""
    kinds = [tuple(one for one in commands if one.startswith(kind)) for kind in ("worker", "bridge", "hub")]
    return kinds if at_once else [(name,) for kind in kinds for name in kind]


async def started(regions: list[SimulatedRegion]) -> None:
    await until(
        lambda: all(region.calls.reads(SYNC) for region in regions), "the workers start", START_LIMIT_S
    )


async def change(traffic: Traffic) -> None:
    for _ in range(BETWEEN):
        await traffic.step()
        await asyncio.sleep(BREATH_S)
