"""What a region costs that was away while others changed: writes made beside entities changed.

In: MariaDB's address from the environment, and how many changes if not 10,000. Out: a table. The region
answers 503 when its worker starts; all changes are in the outbox and in Kafka by the time it is back.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from pipeline.outbox.engine import Engine, reading
from pipeline.outbox.schema import outbox
from tests.benchmarks import facts, simulated, stage

CHANGES: Final = 10_000
ENTITIES: Final = 500
GOAL: Final = 1.2
ORIGIN: Final = "origin"
LIMIT_S: Final = 240.0


def main(changes: int = CHANGES) -> None:
    with (
        stage.kafka() as brokers,
        stage.database("mariadb") as url,
        simulated.region("target", ENTITIES, 0, 16) as region,
        tempfile.TemporaryDirectory() as folder,
        stage.engine_of(url) as engine,
    ):
        made = stage.settings(brokers, url, [stage.Place(ORIGIN), region.place])
        stage.make_topics(made)
        place = region.place
        held = asyncio.run(facts.held(place.endpoint, place.apikey, place.secretkey))
        known = facts.Facts(engine, (ORIGIN, "target"))
        known.agree(held)
        users = facts.users_of(held)
        region.fail(1.0)
        for turn in range(changes // len(users)):
            facts.send(brokers, known.observe(facts.changed(ORIGIN, users, turn)))
        file = stage.written(made, Path(folder))
        arguments = ["-m", "pipeline", "worker", "region", "--region", "target", "-c", str(file)]
        with stage.process(Path(folder), arguments) as worker:
            time.sleep(5)  # it knocks, and is turned away
            region.fail(0.0)
            began = time.perf_counter()
            stage.until(lambda: _open(engine) == 0, LIMIT_S, worker, 0.2)
            seconds = time.perf_counter() - began
        writes, calls = region.writes(), sum(region.calls().values())
    stage.show(
        f"backlog: {changes:,} changes over {len(users)} entities wait for a region that was away",
        ("writes", "per entity", "goal", "all calls", "seconds"),
        [(f"{writes}", f"{writes / len(users):.2f}", f"<= {GOAL}", f"{calls}", f"{seconds:.1f}")],
    )


def _open(engine: Engine) -> int:
    query = select(func.count()).where(
        outbox.c.region == "target", outbox.c.state.in_(("pending", "published"))
    )
    with reading(engine) as connection:
        return int(connection.execute(query).scalar_one())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
