"""The pages over the pipeline while it runs, on Faust's own web server: what is clicked happens in the
regions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from pipeline.outbox.holding import HoldStore
from pipeline.run import pipeline
from pipeline.sandbox.launch import simulated_regions
from pipeline.settings import Settings
from tests.browser.browser import Browser
from tests.browser.conftest import TOKEN
from tests.e2e.harness import people, rows, settled, tree, until

LIMIT_S = 90.0
T = TypeVar("T")


async def by(work: Callable[[], T]) -> T:
    """The browser waits in a thread: the pipeline is in this loop."""
    return await asyncio.to_thread(work)


async def test_what_a_person_clicks_happens(browser: Browser, tmp_path: Path) -> None:
    configured: dict[str, Any] = tree(
        [], f"sqlite:///{tmp_path}/region-sync.db", web={"port": 0, "token": TOKEN}
    )
    async with simulated_regions(2) as regions, people(regions) as (here, there):
        configured["regions"] = tree(regions, "")["regions"]
        async with pipeline(Settings.parse(configured, {})) as running:
            assert running.server is not None and running.server.address is not None
            site, engine = running.server.address.rstrip("/"), running.wiring.engine
            await faust_s_own_pages_are_off(site)
            await by(lambda: browser.sign_in(site, "ann", TOKEN))

            # one change, followed from the search to the read-back by clicking
            domain = await here.domain("sales")
            account = await here.account("acme", domain)
            await settled(regions, engine)
            await by(lambda: browser.open(f"{site}/search"))
            await by(lambda: browser.search("ROOT/sales|acme"))
            await by(lambda: browser.follow("ROOT/sales|acme"))
            told = await by(lambda: browser.text)
            assert "r2 It is here, as it should be." in told
            assert "called createAccount: HTTP 200" in told
            assert "hint ACCOUNT.CREATE had it read" in told
            assert "merged nobody knew it; version 1 goes to r2 (region-sync.observations, partition" in told
            assert "read back version 1 as applied: it says nothing new" in told
            await by(lambda: browser.open(f"{site}/?refresh=on"))
            await until(lambda: "Reachable yes since" in browser.part("#region-r2"), "its worker", LIMIT_S)
            assert "busy" in await by(lambda: browser.part("#region-r2"))
            await by(lambda: browser.open(f"{site}/entity/{account}"))
            await by(lambda: browser.click("css selector", ".timeline li a"))
            assert (await by(lambda: browser.title)).startswith("Outbox row")

            # a hold is approved, and the removal happens
            regions[1].give(account, vms=4)
            await here.call("deleteAccount", id=account)
            await until(lambda: HoldStore(engine).holds(), "a hold", LIMIT_S)
            await by(lambda: browser.open(f"{site}/holds"))
            assert "it would take along 4 VMs" in await by(lambda: browser.text)
            [held] = HoldStore(engine).holds()
            await by(lambda: browser.act(f"/holds/{held.id}/approve", "the customer left"))
            assert "It is approved" in await by(lambda: browser.text)
            await until(lambda: not regions[1].dump()["accounts"], "the removal", LIMIT_S)

            # what failed is tried again, and delivered
            await here.call("createRole", name="Seller", type="User")
            made = await there.call("createRole", name="Seller", type="Admin")
            second = await here.account("umbrella", domain, "Seller")
            await until(lambda: rows(engine, "dead"), "a failed row", LIMIT_S)
            await there.call("updateRole", id=made["role"]["id"], type="User")
            await by(lambda: browser.open(f"{site}/outbox?state=dead"))
            dead = rows(engine, "dead")[0]
            await by(lambda: browser.click("link text", str(dead.id)))
            await by(lambda: browser.act(f"/outbox/{dead.id}/retry", "the role is a user's now"))
            assert "It will be tried again." in await by(lambda: browser.text)
            await until(
                lambda: "ROOT/sales|umbrella" in regions[1].dump()["accounts"], "the account", LIMIT_S
            )
            await settled(regions, engine)
            await by(lambda: browser.open(f"{site}/entity/{second}"))
            told = await by(lambda: browser.text)
            assert f"retry of outbox {dead.id} by ann: the role is a user's now" in told
            await by(lambda: browser.open(site))
            assert "0 dead" in await by(lambda: browser.part("#region-r2"))


async def faust_s_own_pages_are_off(site: str) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("/router/", "/table/", "/table/x", "/graph", "/performance", "/performance/metrics"):
            async with http.get(f"{site}{path}") as answer:
                assert answer.status == 404, path
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        async with http.get(f"{site}/api/v1/regions") as answer:
            found = await answer.json()
            assert [one["region"] for one in found["regions"]] == ["r1", "r2"]
            assert found["lag_error"] is None and isinstance(found["hub_lag"], int)
