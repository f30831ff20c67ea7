"""A full scan without differences: its list calls against the page cap of the API, its CPU beyond that of
listing alone, and its memory. One region of 112,000 entities, in a process of its own; the records are in
SQLite."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

from pipeline.agents.publish import Publisher
from pipeline.app import now_ms
from pipeline.cloudstack.client import PAGE, ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core.compare import Outcome
from pipeline.core.entities import Kind, Snapshot
from pipeline.core.records import Life, Record, RegionState, Stamp, Value
from pipeline.outbox.engine import Engine
from pipeline.outbox.hub import Change, HubStore, Mapping
from pipeline.outbox.scans import ScanRow, ScanStore
from pipeline.reconcile.asking import Asking
from pipeline.reconcile.scan import Scanner
from tests.benchmarks import stage
from tests.benchmarks.simulated import region

NAME: Final = "r1"
DOMAINS, ACCOUNTS, USERS = 2_000, 10_000, 100_000
BORN: Final = 1_000


class Silent:
    """There is nothing to ask for; a hint would be a difference."""

    async def publish(self, messages: object) -> None:
        raise AssertionError(f"a region without differences is asked for something: {messages}")


def main() -> None:
    with (
        region(NAME, USERS, 0, 16, (DOMAINS, ACCOUNTS)) as simulated,
        stage.database("sqlite") as url,
        stage.engine_of(url) as engine,
    ):
        place = simulated.place
        settings = ClientSettings(place.endpoint, Credentials(place.apikey, place.secretkey))
        asyncio.run(_know(settings, engine))
        listing = asyncio.run(_list(settings))
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the most it holds is counted from here on
        before = _memory_kib("VmRSS")
        cpu, began = time.process_time(), time.perf_counter()
        row = asyncio.run(_scan(settings, engine))
        spent = time.process_time() - cpu, time.perf_counter() - began
        grown = _memory_kib("VmHWM") - before
    _print(row, listing, spent, grown)


@asynccontextmanager
async def _reached(settings: ClientSettings) -> AsyncIterator[Resources]:
    client = CloudStack(settings, clock=now_ms)
    resources = Resources(client)
    await resources.start()
    try:
        yield resources
    finally:
        await client.aclose()


async def _know(settings: ClientSettings, engine: Engine) -> None:
    """The records are as the region is."""
    hub = HubStore(engine, now_ms)
    async with _reached(settings) as resources:
        for pages in (resources.domains(), resources.accounts(), resources.users()):
            async for page in pages:
                hub.commit([_known(seen) for seen in page if not seen.protected], BORN)


def _known(seen: Snapshot) -> Change:
    fields = dict(seen.fields or {})
    stamp = Stamp(BORN, NAME)
    values = {name: Value(text, stamp) for name, text in fields.items()}
    record = Record(seen.kind, seen.uuid, values, Life(True, stamp), 1, {}, {NAME: RegionState(fields)})
    return Change(
        record, None, mapping=Mapping(seen.uuid, NAME, seen.uuid, seen.kind, fields["parent"], True, BORN)
    )


async def _list(settings: ClientSettings) -> float:
    """Seconds of CPU for the same pages and nothing else: the HTTP client and JSON."""
    async with _reached(settings) as resources:
        cpu = time.process_time()
        for command, item, params in (
            ("listDomains", "domain", {"listall": "true", "details": "min"}),
            ("listAccounts", "account", {"listall": "true", "details": "min"}),
            ("listUsers", "user", {"listall": "true"}),
        ):
            async for _ in resources.client.pages(command, params, item):
                pass
        return time.process_time() - cpu


async def _scan(settings: ClientSettings, engine: Engine) -> ScanRow:
    async with _reached(settings) as resources:
        store = ScanStore(engine, NAME, now_ms)
        asking = Asking(cast(Publisher, Silent()), NAME, now_ms)
        return await Scanner(resources, store, asking).run("bench")


def _memory_kib(what: str) -> int:
    """`VmRSS`, what this process holds now, or `VmHWM`, the most it has held."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(what)]
    return int(line.split()[1])


def _print(row: ScanRow, listing: float, spent: tuple[float, float], grown_kib: int) -> None:
    cap = sum(math.ceil((count + 3) / PAGE) for count in (DOMAINS, ACCOUNTS, USERS))  # with the region's own
    differing = sum(row.counts[one] for one in (Outcome.DIFFERENT, Outcome.UNKNOWN, Outcome.MISSING))
    stage.show(
        "a full scan without differences",
        ("what", "measured"),
        [
            ("entities listed", f"{row.entities:,}"),
            ("differences", f"{differing}"),
            ("list calls", f"{row.calls}"),
            ("pages of the API's cap", f"{cap}"),
            ("seconds", f"{spent[1]:.1f}"),
            ("CPU seconds", f"{spent[0]:.1f}"),
            ("of which listing alone takes", f"{listing / spent[0]:.0%}"),
            ("memory it added at its highest", f"{grown_kib / 1024:.0f} MiB"),
        ],
    )
    assert differing == 0, "the region is what the records say"
    assert row.counts[Outcome.EQUAL] >= DOMAINS + ACCOUNTS + USERS - len(Kind)


if __name__ == "__main__":
    main()
