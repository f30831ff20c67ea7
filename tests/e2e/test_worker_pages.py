"""Each region's worker serves pages of its own, on ports next to each other (the hub's: test_acts)."""

from __future__ import annotations

import asyncio
import re
import socket
import time
import uuid
from pathlib import Path

import aiohttp
import pytest

from pipeline.sandbox.launch import simulated_regions
from tests.e2e.harness import Processes, tree

LIMIT_S = 60.0


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    for first in range(20_000, 30_000, 7):
        try:
            held = [socket.create_server(("127.0.0.1", first + step)) for step in range(count)]
        except OSError:
            continue
        for one in held:
            one.close()
        return first
    raise AssertionError("no free ports")


async def page(http: aiohttp.ClientSession, address: str) -> str:
    limit = time.monotonic() + LIMIT_S
    while True:
        try:
            async with http.get(address) as answer:
                return await answer.text()
        except aiohttp.ClientConnectionError:
            assert time.monotonic() < limit, address
            await asyncio.sleep(0.2)


async def standing(http: aiohttp.ClientSession, port: int, wanted: dict[str, bool | None]) -> None:
    """Which regions their workers reach; None: nobody knows, for there is no worker."""
    limit = time.monotonic() + LIMIT_S
    found: dict[str, bool | None] = {}
    while found != wanted:
        assert time.monotonic() < limit, found
        await asyncio.sleep(0.2)
        async with http.get(f"http://127.0.0.1:{port}/api/v1/regions") as answer:
            cards = (await answer.json())["regions"]
        found = {one["region"]: one["workers"]["reachable"] for one in cards if one["region"] in wanted}


@pytest.mark.services
async def test_each_worker_has_pages(tmp_path: Path, kafka_bootstrap: str, database_url: str) -> None:
    first = free_ports(3)
    tag = f"p{uuid.uuid4().hex[:6]}"
    names = (f"{tag}a", f"{tag}b")
    commands = {name: ["worker", "region", "--region", name] for name in names}
    async with simulated_regions(2, names=names) as regions, aiohttp.ClientSession() as http:
        settings = tree(regions, database_url, kafka=kafka_bootstrap, partitions=4, web={"port": first})
        processes = Processes(tmp_path, settings, commands)
        try:
            for step in (1, 2):
                text = await page(http, f"http://127.0.0.1:{first + step}/")
                assert re.findall(r'id="region-(\w+)"', text) == list(names)
            await standing(http, first + 1, dict.fromkeys(names, True))
            await regions[0].stop()
            processes.kill(names[1])
            await standing(http, first + 1, {names[0]: False, names[1]: None})
        except AssertionError as error:
            raise AssertionError(f"{error}\n{processes.logs()}") from error
        finally:
            codes = processes.stop()
    assert codes[names[0]] == 0
