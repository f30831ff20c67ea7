"""The pages on a server of aiohttp's own, over a SQLite database, without Faust."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import Engine

from pipeline.core.records import Topology
from pipeline.outbox.audit import AuditStore, RegionRow
from pipeline.outbox.engine import migrate, open_database
from pipeline.views.access import COOKIE, Access
from pipeline.views.requeue import Put
from pipeline.views.server import BODY_MAX, Views
from pipeline.views.sources import Lag, Sources
from tests.unit.outbox.builders import NOW, Clock

TOKEN = "a token that nobody guesses"
REGIONS = ("r1", "r2", "r3")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'views.db'}"
    migrate(url)
    opened = open_database(url)
    AuditStore(opened).save_regions(
        [RegionRow(name, f"http://{name}", "/client/api", "", "", False) for name in REGIONS]
    )
    yield opened
    opened.dispose()


@pytest.fixture
def sources(engine: Engine) -> Sources:
    return Sources(
        engine,
        Clock(),
        Topology(REGIONS),
        dict.fromkeys(REGIONS, "apply"),
        lambda: Lag({"hub": 3, "r1": 1, "r2": 0}, {"r1": NOW - 65_000}, {"r1": 1, "r2": 7}),
    )


@dataclass
class Site:
    """A browser without windows: it keeps cookies, sends the origin, and fills in forms."""

    client: TestClient[Any, Any]
    access: Access
    clock: Any
    put: list[Put] = field(default_factory=list)

    async def page(self, path: str) -> str:
        answer = await self.client.get(path)
        text = await answer.text()
        assert answer.status == 200, text
        return text

    async def json(self, path: str) -> Any:
        answer = await self.client.get(f"/api/v1{path}")
        assert answer.status == 200, await answer.text()
        return await answer.json()

    @property
    def origin(self) -> str:
        return str(self.client.make_url("/")).rstrip("/")

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> ClientResponse:
        sent = {"Origin": self.origin, **{name.replace("_", "-"): text for name, text in headers.items()}}
        return await self.client.post(path, data=fields, headers=sent, allow_redirects=False)

    async def sign_in(self, who: str = "ann", token: str = TOKEN) -> ClientResponse:
        return await self.post("/sign-in", {"who": who, "token": token, "back": "/holds"})

    @property
    def key(self) -> str:
        """What a form of this session carries."""
        cookies = self.client.session.cookie_jar.filter_cookies(self.client.make_url("/"))
        return self.access.form_key(cookies[COOKIE].value)

    async def act(self, path: str, reason: str = "because") -> ClientResponse:
        return await self.post(path, {"reason": reason, "key": self.key})

    async def call(self, path: str, token: str = TOKEN, **said: Any) -> ClientResponse:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.client.post(f"/api/v1{path}", json=said, headers=headers)


async def opened(sources: Sources, access: Access) -> AsyncIterator[Site]:
    put: list[Put] = []

    async def keep(one: Put) -> None:
        put.append(one)

    views = Views(sources, access, keep)
    app = web.Application(middlewares=[views.guard], client_max_size=BODY_MAX)
    app.add_routes(views.routes())
    async with TestClient(TestServer(app)) as client:
        yield Site(client, access, sources.clock, put)


@pytest.fixture
async def site(sources: Sources) -> AsyncIterator[Site]:
    async for one in opened(sources, Access(TOKEN, "127.0.0.1")):
        yield one


@pytest.fixture
async def closed_site(sources: Sources) -> AsyncIterator[Site]:
    """One without a token."""
    async for one in opened(sources, Access(None, "127.0.0.1")):
        yield one
