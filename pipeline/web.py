"""Puts the pages, the numbers and the health on a Faust app's own web server.

In: an app that is not started yet, settings, the wiring, which process it is. Out: the app serves pages, and
nothing of Faust's own (tables, router, statistics). Called by `pipeline.worker` and `pipeline.run`. A port
that is taken, or that can't be had, costs the pages and not the sync.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from typing import Any, Final, cast

import faust
from aiohttp.web import Application, AppRunner, BaseSite, TCPSite
from faust.web.base import BlueprintManager
from faust.web.drivers.aiohttp import Web

from pipeline.agents.publish import BrokenProducer, Message, Publisher
from pipeline.app import Wiring
from pipeline.core import topics
from pipeline.core.errors import TemporaryError
from pipeline.measuring import Measuring
from pipeline.progress import Lags
from pipeline.settings import Settings
from pipeline.settings import Web as WebSettings
from pipeline.views.access import Access
from pipeline.views.requeue import Put
from pipeline.views.server import BODY_MAX, Views
from pipeline.views.sources import Lag, Sources

CLOSE_S: Final = 2.0
"""How long a page under way may hold up the end of the process."""
WAITED_FOR: Final = {"message.timeout.ms": "15000", "log_level": "0"}
"""A person waits for the one message: Kafka that does not take it for so long is said to be away."""
LAG_FOR_S: Final = 5.0
"""So old may a lag be: however many look, the broker is asked once."""

log = logging.getLogger(__name__)


class Server(Web):
    """Faust's, with our routes alone, on our address."""

    def __init__(self, app: faust.App, views: Views, settings: WebSettings) -> None:
        app.conf.web_application_options = {"middlewares": [views.guard], "client_max_size": BODY_MAX}
        super().__init__(app)
        self.blueprints = BlueprintManager()  # none of Faust's own pages
        self.web_app.add_routes(views.routes())
        self._runner = AppRunner(self.web_app, access_log=None, shutdown_timeout=CLOSE_S)
        self.settings = settings
        self.address: str | None = None

    def _create_site(self) -> BaseSite:
        return TCPSite(self._runner, self.settings.host, self.settings.port)

    async def start_server(self) -> None:
        host, port = self.settings.host, self.settings.port
        try:
            await super().start_server()
        except OSError as error:
            log.warning("no pages: %s:%s can't be had: %s", host, port, error.strerror or error)
            return
        port = self._runner.addresses[0][1]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        log.info("pages: %s", self.address)

    def invitation(self) -> str:
        """For a person at a terminal of this machine."""
        if self.address is None:
            return "No pages: their port is taken."
        token = self.settings.token
        told = (
            "" if token is None else f"\nTo change something there, sign in with {token.get_secret_value()}"
        )
        return f"Watch it at {self.address}{told}"


class LagReader:
    """How far the consumer groups are behind, asked of the broker now and then."""

    def __init__(self, settings: Settings, wiring: Wiring) -> None:
        self._consumed = {topics.HUB_GROUP: [topics.OBSERVATIONS]}
        for region in settings.active:
            self._consumed[topics.region_group(region.name)] = [*topics.of_region(region.name)]
        self._regions = [region.name for region in settings.active]
        self._names = {topics.region_group(name): name for name in self._regions}
        self._names[topics.HUB_GROUP] = "hub"
        self._lags = Lags(wiring.brokers, wiring.kafka_options, settings.partitions)
        self._turn = threading.Lock()
        self._last = Lag()
        self._asked = float("-inf")

    def __call__(self) -> Lag:
        """What was found last, while somebody else asks: a broker that is away keeps one page waiting."""
        if self._turn.acquire(blocking=False):
            try:
                if time.monotonic() - self._asked > LAG_FOR_S:
                    self._last = self._ask()
                    self._asked = time.monotonic()
            finally:
                self._turn.release()
        return self._last

    async def close(self, _application: Application) -> None:
        await asyncio.to_thread(self._lags.close)

    def _ask(self) -> Lag:
        try:
            left = self._lags.read(self._consumed)
        except TemporaryError as error:
            return Lag(error=str(error))
        since = {group: [left[name].since for name in names] for group, names in self._consumed.items()}
        return Lag(
            {
                self._names[group]: sum(left[name].left for name in names)
                for group, names in self._consumed.items()
            },
            {
                self._names[group]: min(one for one in times if one is not None)
                for group, times in since.items()
                if any(one is not None for one in times)
            },
            {name: left[topics.events(name)].committed for name in self._regions},
        )


def serve(app: faust.App, settings: Settings, wiring: Wiring, region: str | None = None) -> Server | None:
    """To be called before the app starts. `region`: whose worker it is; None for the hub's. None where no
    pages are wanted."""
    port = settings.web_port(region)
    if port is None:
        return None
    web = settings.web
    lag = LagReader(settings, wiring)
    sources = Sources(
        wiring.engine,
        wiring.clock,
        settings.rules(),
        {one.name: one.mode.value for one in settings.active},
        lag,
        lambda: [words for one in wiring.letters if (words := one.stopped) is not None],
    )
    token = web.token.get_secret_value() if web.token is not None else None

    async def put(what: Put) -> None:
        publisher = Publisher(wiring.brokers, {**wiring.kafka_options, **WAITED_FOR})
        try:
            await publisher.publish([Message(*what)])
        except BrokenProducer as error:
            raise TemporaryError(f"Kafka does not take messages: {error}") from error
        finally:
            publisher.close(1.0)

    views = Views(sources, Access(token, web.host, web.names), put)
    server = Server(app, views, web.model_copy(update={"port": port}))
    server.web_app.on_cleanup.append(lag.close)
    Measuring(settings, wiring).serve(server.web_app, shared=region is None)
    owner = cast(Any, app)
    owner.web = server
    owner.boot_strategy.enable_web = True
    return server


def port_near(wanted: int) -> int:
    """That port where it is free; 0, any, where it is not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
    return wanted
