"""What one change costs: API calls of the sync in the region where it was made and in each of the others, and
the time from the call to the last region, on the embedded default (where each hop waits for a fetch)."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from pipeline.app import now_ms
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.session import Credentials
from pipeline.run import pipeline
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.staging import sandbox_settings
from pipeline.verdict import differences

CHANGES: Final = 30
LIMIT_S: Final = 60.0
SYNC: Final = "svc-sync"


def main() -> None:
    asyncio.run(_measure())


async def _measure() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with simulated_regions(3) as regions, pipeline(sandbox_settings(regions, Path(folder))):
            origin = regions[0]
            keys = Credentials(origin.admin.apikey, origin.admin.secretkey)
            admin = CloudStack(ClientSettings(origin.endpoint, keys), clock=now_ms)
            user = await _user(admin)
            await _equal(regions)
            await asyncio.sleep(2 * LIMIT_S / 60)
            for region in regions:
                region.calls.clear()
            waits = [await _change(admin, user, number, regions) for number in range(CHANGES)]
            await admin.aclose()
    _print(regions, waits)


async def _user(admin: CloudStack) -> str:
    person = {"firstname": "A", "lastname": "B", "email": "a@example.org", "password": "Passw0rd!x"}
    domain = (await admin.call("createDomain", {"name": "shop"}))["domain"]["id"]
    account = {"account": "acme", "username": "ann", "domainid": domain, "accounttype": "0", **person}
    made = await admin.call("createAccount", account)
    return str(made["account"]["user"][0]["id"])


async def _change(admin: CloudStack, user: str, number: int, regions: list[SimulatedRegion]) -> float:
    began = time.perf_counter()
    await admin.call("updateUser", {"id": user, "email": f"a{number}@example.org"})
    await _equal(regions)
    return time.perf_counter() - began


async def _equal(regions: list[SimulatedRegion]) -> None:
    limit = time.monotonic() + LIMIT_S
    while differences([region.dump() for region in regions]):
        assert time.monotonic() < limit, "the regions did not become equal"
        await asyncio.sleep(0.01)


def _print(regions: list[SimulatedRegion], waits: list[float]) -> None:
    origin, *targets = regions
    reads = [
        region.calls.reads(SYNC) - region.calls.by_command(SYNC).get("listEvents", 0) for region in regions
    ]
    writes = [region.calls.writes(SYNC) for region in regions]
    print(f"reads a change: origin {reads[0] / CHANGES:.2f}", end="")
    print(
        "".join(
            f", {region.name} {count / CHANGES:.2f}" for region, count in zip(targets, reads[1:], strict=True)
        )
    )
    print(f"writes a change: {origin.name} {writes[0] / CHANGES:.2f}", end="")
    print(
        "".join(f", {one.name} {count / CHANGES:.2f}" for one, count in zip(targets, writes[1:], strict=True))
    )
    print(
        f"from the call to the last region: median {statistics.median(waits):.2f} s, most {max(waits):.2f} s"
    )
