"""What it takes to fill an empty region: calls per entity, lanes' use, entities a second, memory.

In: MariaDB's address from the environment; how many entities. Out: a table. The region came in
while everything had been made elsewhere already: one scan lists it (nothing is there), says so, and the hub
and the region's worker, each a process of its own, do the rest through Kafka. Of 57 entities two are domains,
five are accounts and fifty are users; the oldest user of an account comes with it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from pipeline.agents.publish import Publisher
from pipeline.app import now_ms
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core.entities import ROOT, Kind, Snapshot
from pipeline.outbox.engine import Engine, reading
from pipeline.outbox.hub import HubStore
from pipeline.outbox.mappings import is_present
from pipeline.outbox.scans import ScanRow, ScanStore
from pipeline.outbox.schema import rmap
from pipeline.outbox.statements import chunks
from pipeline.reconcile.asking import Asking
from pipeline.reconcile.scan import Scanner
from tests.benchmarks import facts, simulated, stage

ENTITIES: Final = 5_700
"""The issue's 57,000 take more than six minutes: `python -m tests.benchmarks.fill 57000`."""
DOMAINS, ACCOUNTS, USERS = 2, 5, 50
"""Of each 57."""
LATENCY_MS: Final = 100
LANES: Final = 16
ORIGIN, TARGET = "origin", "target"
LIMIT_S: Final = 1_200.0
LOOK_EVERY_S: Final = 1.0
_NAMES: Final = uuid.UUID(int=57)


@dataclass(frozen=True, slots=True)
class Filled:
    """One run. `calls`: by command, the sync's own; memory: the most that each process has held."""

    entities: int
    calls: dict[str, int]
    scan: ScanRow
    seconds: float
    worker_mib: float
    hub_mib: float
    worker_cpu_s: float
    hub_cpu_s: float


def main(entities: int = ENTITIES) -> None:
    with ExitStack() as stack:
        brokers = stack.enter_context(stage.kafka())
        url = stack.enter_context(stage.database("mariadb"))
        region = stack.enter_context(simulated.region(TARGET, 0, LATENCY_MS, LANES, (0, 0)))
        engine = stack.enter_context(stage.engine_of(url))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = stage.settings(brokers, url, [stage.Place(ORIGIN), region.place])
        stage.make_topics(made)
        known = _know(engine, entities)
        file = str(stage.written(made, folder))
        hub = stack.enter_context(stage.process(folder, ["-m", "pipeline", "worker", "hub", "-c", file]))
        arguments = ["-m", "pipeline", "worker", "region", "--region", TARGET, "-c", file]
        worker = stack.enter_context(stage.process(folder, arguments))
        stage.until(lambda: region.calls().get("listAccounts", 0) > 0, 60, worker)  # it has started
        before = sum(region.calls().values())
        began = time.perf_counter()
        scan = asyncio.run(_scan(region.place, engine, brokers))
        stage.until(lambda: _held(engine) >= known, LIMIT_S, worker, LOOK_EVERY_S)
        seconds = time.perf_counter() - began
        calls = region.calls()
        made_at_start = before + scan.calls
        filled = Filled(known, calls, scan, seconds, worker.peak_mib, hub.peak_mib, worker.cpu_s, hub.cpu_s)
    _print(filled, made_at_start)


def _know(engine: Engine, entities: int) -> int:
    """What the other region holds; how many that are."""
    share = entities // (DOMAINS + ACCOUNTS + USERS)
    hub = HubStore(engine, now_ms)
    found = list(_everything(DOMAINS * share, ACCOUNTS * share, USERS * share))
    for page in chunks(found, facts.BATCH):
        hub.commit([facts.agreed(one, [ORIGIN]) for one in page], now_ms())
    return len(found)


def _everything(domains: int, accounts: int, users: int) -> Iterator[Snapshot]:
    """Parents first."""
    for number in range(domains):
        place = {"name": f"d{number}", "networkdomain": "", "parent": ROOT}
        yield Snapshot(Kind.DOMAIN, _uuid("d", number), place)
    for number in range(accounts):
        above = {
            "networkdomain": "",
            "role": "User",
            "state": "enabled",
            "parent": _uuid("d", number % domains),
        }
        yield Snapshot(Kind.ACCOUNT, _uuid("a", number), {"name": f"a{number}", **above})
    for number in range(users):
        person = {"firstname": "First", "lastname": "Last", "email": f"u{number}@example.org", "timezone": ""}
        above = {"name": f"u{number}", "state": "enabled", "parent": _uuid("a", number % accounts)}
        yield Snapshot(Kind.USER, _uuid("u", number), {**person, **above})


def _uuid(kind: str, number: int) -> str:
    return str(uuid.uuid5(_NAMES, f"{kind}{number}"))


async def _scan(place: stage.Place, engine: Engine, brokers: str) -> ScanRow:
    keys = Credentials(place.apikey, place.secretkey)
    client = CloudStack(ClientSettings(place.endpoint, keys), clock=now_ms)
    publisher = Publisher(brokers, {"log_level": "2"})
    try:
        resources = Resources(client)
        await resources.start()
        store = ScanStore(engine, TARGET, now_ms)
        return await Scanner(resources, store, Asking(publisher, TARGET, now_ms)).run("bench")
    finally:
        await client.aclose()
        await asyncio.to_thread(publisher.close)


def _held(engine: Engine) -> int:
    query = select(func.count()).where(rmap.c.region_id == TARGET, is_present())
    with reading(engine) as connection:
        return int(connection.execute(query).scalar_one())


def _print(one: Filled, at_start: int) -> None:
    calls = sum(one.calls.values()) - at_start
    in_flight = calls * LATENCY_MS / 1000 / one.seconds
    named = ", ".join(f"{n:,} {command}" for command, n in sorted(one.calls.items()) if n > at_start)
    stage.show(
        f"fill: an empty region, calls of {LATENCY_MS} ms, {LANES} lanes, MariaDB",
        ("what", "measured"),
        [
            ("entities", f"{one.entities:,}"),
            ("calls", named),
            ("calls an entity", f"{calls / one.entities:.2f}"),
            ("seconds", f"{one.seconds:.0f}"),
            ("entities/s", f"{one.entities / one.seconds:.0f}"),
            ("calls in flight on average / lanes", f"{in_flight / LANES:.2f}"),
            ("the most that the worker held", f"{one.worker_mib:.0f} MiB"),
            ("the most that the hub held", f"{one.hub_mib:.0f} MiB"),
            ("worker CPU us/entity", f"{one.worker_cpu_s / one.entities * 1e6:.0f}"),
            ("hub CPU us/entity", f"{one.hub_cpu_s / one.entities * 1e6:.0f}"),
        ],
        "from the beginning of the scan to the last entity; a real createUser takes 300 ms",
    )
    assert one.scan.suspended is None, "the scan concluded something"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
