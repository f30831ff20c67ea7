"""Full scans of three regions at once, without differences: their list calls against the page cap of the API,
their CPU beyond that of listing alone, and their memory. Each region has 112,000 entities and a process of
its own; the scans share one; the records are in SQLite.
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, cast

from pipeline.agents.publish import Publisher
from pipeline.app import now_ms
from pipeline.cloudstack.client import PAGE, ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core.compare import HINTED, Outcome
from pipeline.core.entities import Kind, Snapshot
from pipeline.outbox.engine import Engine
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.scans import ScanRow, ScanStore
from pipeline.reconcile.asking import Asking
from pipeline.reconcile.scan import Scanner
from tests.benchmarks import facts, stage
from tests.benchmarks.simulated import region

NAMES: Final = ("r1", "r2", "r3")
DOMAINS, ACCOUNTS, USERS = 2_000, 10_000, 100_000


class Silent:
    """There is nothing to ask for; a hint would be a difference."""

    async def publish(self, messages: object) -> None:
        raise AssertionError(f"a region without differences is asked for something: {messages}")


def main() -> None:
    with (
        ExitStack() as stack,
        stage.database("sqlite") as url,
        stage.engine_of(url) as engine,
    ):
        sizes = (DOMAINS, ACCOUNTS)
        running = [stack.enter_context(region(name, USERS, 0, 16, sizes)) for name in NAMES]
        settings = {name: _settings(one.place) for name, one in zip(NAMES, running, strict=True)}
        asyncio.run(_know(settings[NAMES[0]], engine))
        listing = asyncio.run(_list_all(settings))
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the most it holds is counted from here on
        before = stage.memory_kib("VmRSS")
        cpu, began = time.process_time(), time.perf_counter()
        rows = asyncio.run(_scan_all(settings, engine))
        spent = time.process_time() - cpu, time.perf_counter() - began
        grown = stage.memory_kib("VmHWM") - before
    _print(rows, listing, spent, grown)


def _settings(place: stage.Place) -> ClientSettings:
    return ClientSettings(place.endpoint, Credentials(place.apikey, place.secretkey))


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
    """The records are as the regions are, which were all loaded alike, with the same UUIDs."""
    hub = HubStore(engine, now_ms)
    async with _reached(settings) as resources:
        for pages in (resources.domains(), resources.accounts(), resources.users()):
            async for page in pages:
                hub.commit([one for seen in page if not seen.protected for one in _known(seen)], facts.BORN)


def _known(seen: Snapshot) -> list[Change]:
    first = facts.agreed(seen, NAMES)
    others = [Change(first.record, None, mapping=facts.located(seen, name)) for name in NAMES[1:]]
    return [first, *others]


async def _list_all(settings: Mapping[str, ClientSettings]) -> float:
    return sum([await _list(one) for one in settings.values()])


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


async def _scan_all(settings: Mapping[str, ClientSettings], engine: Engine) -> list[ScanRow]:
    return await asyncio.gather(*(_scan(name, one, engine) for name, one in settings.items()))


async def _scan(name: str, settings: ClientSettings, engine: Engine) -> ScanRow:
    async with _reached(settings) as resources:
        store = ScanStore(engine, name, now_ms)
        asking = Asking(cast(Publisher, Silent()), name, now_ms)
        return await Scanner(resources, store, asking).run("bench")


def _print(rows: Sequence[ScanRow], listing: float, spent: tuple[float, float], grown_kib: int) -> None:
    cap = sum(math.ceil((count + 3) / PAGE) for count in (DOMAINS, ACCOUNTS, USERS))  # with the region's own
    differing = sum(row.counts[one] for row in rows for one in HINTED)
    entities = sum(row.entities for row in rows)
    stage.show(
        f"full scans of {len(rows)} regions at once, without differences",
        ("what", "measured"),
        [
            ("entities listed", f"{entities:,}"),
            ("differences", f"{differing}"),
            ("list calls of each", ", ".join(str(row.calls) for row in rows)),
            ("pages of the API's cap", f"{cap}"),
            ("seconds", f"{spent[1]:.1f}"),
            ("CPU seconds", f"{spent[0]:.1f}"),
            ("of which beyond the HTTP client's", f"{1 - listing / spent[0]:.0%}"),
            ("CPU us an entity", f"{spent[0] / entities * 1e6:.0f}"),
            ("memory they added at their highest", f"{grown_kib / 1024:.0f} MiB"),
        ],
    )
    assert differing == 0, "the regions are what the records say"
    assert [row.calls for row in rows] == [cap] * len(rows), "no call but for the pages"
    assert all(row.counts[Outcome.EQUAL] >= DOMAINS + ACCOUNTS + USERS - len(Kind) for row in rows)


if __name__ == "__main__":
    main()
