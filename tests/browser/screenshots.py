"""Makes the README's pictures anew: `python -m tests.browser.screenshots docs/images`.

In: a folder. Out: pictures of the main pages over three simulated regions with traffic, a failed row and a
removal that waits for a person.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from pipeline.outbox.engine import Engine
from pipeline.outbox.holding import HoldStore
from pipeline.outbox.proofs import Proof, keep_proofs
from pipeline.run import pipeline
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from pipeline.settings import Settings
from tests.browser.browser import Browser
from tests.browser.conftest import PACKAGES, SWITCHES, TOKEN
from tests.e2e.harness import Person, people, rows, settled, tree, until
from tests.services import debian

NAMES = ("berlin", "tokyo", "austin")
CHANGES = 150
PROVEN_AGO_MS = 7_200_000
LIMIT_S = 60.0
SIZES = {"regions": (1280, 640), "entity": (1280, 1000), "holds": (1280, 520)}


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as data:
        async with simulated_regions(3, names=NAMES) as regions, people(regions) as (here, *_):
            configured = tree(regions, f"sqlite:///{data}/shots.db", web={"port": 0, "token": TOKEN})
            for region in configured["regions"]:
                region["removals"] = {"per_hour": None, "share": None}
            async with pipeline(Settings.parse(configured, {})) as running:
                assert running.server is not None and running.server.address is not None
                user = await furnish(regions, here, running.wiring.engine)
                await asyncio.to_thread(look, running.server.address.rstrip("/"), user, folder)


async def furnish(regions: list[SimulatedRegion], here: Person, engine: Engine) -> str:
    """A user's UUID, whose page is shown."""
    traffic = Traffic(regions, 3, TrafficOptions(silent=False))
    while traffic.accepted < CHANGES:
        await traffic.step()
    await settled(regions, engine)
    domain = await here.domain("sales")
    await here.account("acme", domain)
    user = await here.user("alice", "acme", domain)
    going = await here.account("globex", domain)
    await settled(regions, engine)
    proven = time.time_ns() // 1_000_000 - PROVEN_AGO_MS
    keep_proofs(engine, [Proof(proven, name, "f", 9, 40, 150, equal=True, differences=0) for name in NAMES])
    await here.call("updateUser", id=user, email="alice@sales.example.org")
    await settled(regions, engine)
    await here.call("createRole", name="Seller", type="User")
    for one in regions[1:]:  # there it is a root administrator's, which nobody is given
        one.region.world.add_role("Seller", "Admin", None)
    await here.account("umbrella", domain, "Seller")
    regions[1].give(going, vms=4, volumes=7)
    await here.call("deleteAccount", id=going)
    await until(lambda: rows(engine, "dead") and HoldStore(engine).holds(), "what is shown", LIMIT_S)
    return user


def look(site: str, user: str, folder: Path) -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = str(debian.require("chromium", PACKAGES))
    for switch in SWITCHES:
        options.add_argument(switch)
    driver = webdriver.Chrome(options=options, service=Service(str(debian.require("chromedriver", PACKAGES))))
    browser = Browser(driver)
    browser.sign_in(site, "ann", TOKEN)
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in {"regions": "/", "entity": f"/entity/{user}", "holds": "/holds"}.items():
        browser.size(*SIZES[name])
        browser.open(f"{site}{path}")
        driver.save_screenshot(str(folder / f"{name}.png"))
    driver.quit()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
