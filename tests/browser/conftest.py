"""A browser for the whole session, and a site to look at: a little of everything that pages show.

Chromium comes from Debian, by the same road as the services; without it these tests are skipped with the
reason, or fail in CI.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from sqlalchemy import Engine

from pipeline.core.records import Topology
from pipeline.outbox.audit import AuditStore, RegionRow
from pipeline.outbox.engine import migrate, open_database
from pipeline.views.access import Access
from pipeline.views.requeue import Put
from pipeline.views.server import Views
from pipeline.views.sources import Lag, Sources
from tests.browser.browser import Browser
from tests.services import debian
from tests.services.errors import ServiceUnavailable
from tests.services.fixtures import refuse
from tests.unit.outbox.builders import Clock
from tests.unit.views.world import furnish

PACKAGES = ("chromium", "chromium-driver", "fonts-dejavu-core")
SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
REGIONS = ("r1", "r2", "r3")
TOKEN = "a token that nobody guesses"
START_LIMIT_S = 90.0


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    try:
        program = debian.require("chromium", PACKAGES)
        service = debian.require("chromedriver", PACKAGES)
    except ServiceUnavailable as error:
        refuse(str(error))
    options = webdriver.ChromeOptions()
    options.binary_location = str(program)
    for switch in SWITCHES:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=Service(str(service)))
    yield running
    running.quit()


@pytest.fixture
def browser(driver: webdriver.Chrome) -> Iterator[Browser]:
    """Wide, light, with no cookies."""
    one = Browser(driver)
    one.size(1280, 900)
    one.scheme("light")
    yield one
    driver.delete_all_cookies()
    assert one.complaints() == []  # of the console: refused by the policy, not found, ...


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'views.db'}"
    migrate(url)
    opened = open_database(url)
    AuditStore(opened).save_regions(
        [RegionRow(name, f"http://{name}", "/client/api", "", "", False) for name in REGIONS]
    )
    furnish(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def site(engine: Engine) -> Iterator[str]:
    """The address of the pages over `engine`, served by a thread of their own."""
    modes = dict.fromkeys(REGIONS, "apply")
    sources = Sources(engine, Clock(), Topology(REGIONS), modes, lambda: Lag({"hub": 3, "r1": 1}))
    started, loop = threading.Event(), asyncio.new_event_loop()
    address: list[str] = []

    async def put(_one: Put) -> None:
        return

    async def serve() -> None:
        views = Views(sources, Access(TOKEN, "127.0.0.1"), put)
        app = web.Application(middlewares=[views.guard])
        app.add_routes(views.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        started.set()
        await stop.wait()
        await runner.cleanup()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(START_LIMIT_S)
    yield address[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(START_LIMIT_S)
    loop.close()
