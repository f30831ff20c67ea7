"""`region-sync run` with no service but SQLite: changes arrive, also after it was killed in mid-traffic."""

from __future__ import annotations

from pathlib import Path

from pipeline.outbox.engine import migrate, open_database
from pipeline.sandbox.launch import simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from tests.e2e.harness import SYNC, Processes, settled, tree, until

START_LIMIT_S = 180.0


async def test_run_catches_up_after_a_kill(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/region-sync.db"
    migrate(database)
    engine = open_database(database)
    async with simulated_regions(3) as regions:
        processes = Processes(tmp_path, tree(regions, database), {"run": ["run"]})
        traffic = Traffic(regions, 7, TrafficOptions(silent=False))

        def written() -> int:
            return sum(region.region.calls.writes(SYNC) for region in regions)

        try:
            await until(
                lambda: all(region.region.calls.reads(SYNC) for region in regions), "the start", START_LIMIT_S
            )
            await traffic.run(40)
            await until(written, "a first change elsewhere")
            await traffic.run(40)
            processes.kill("run")
            await traffic.run(40)  # nobody listens to these: only the regions' event logs know
            before = written()
            processes.start("run")
            await until(lambda: written() > before, "a change after the second start", START_LIMIT_S)
            await traffic.run(40)
            states = await settled(regions, engine)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
            engine.dispose()
    assert states["delivered"] > 80
    assert states["dead"] == 0, states
    assert codes == {"run": 0}
