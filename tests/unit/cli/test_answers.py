"""The commands that show and decide, said to a process that serves its pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import Engine

from pipeline.cli.answers import ANSWER_MAX
from pipeline.core.entities import Kind
from pipeline.core.records import Topology
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.schema import audit
from pipeline.views.access import Access
from pipeline.views.requeue import Put
from pipeline.views.server import BODY_MAX, Views
from pipeline.views.sources import Sources
from tests.unit.cli.conftest import Call, Ended
from tests.unit.outbox.builders import NOW, Clock, at, record, row
from tests.unit.views.world import furnish

TOKEN = "a token that nobody guesses"
MODES = {"berlin": "apply", "tokyo": "apply"}
SHOWN = (
    ["history", "u1"],
    ["conflicts"],
    ["conflicts", "--limit", "1"],
    ["outbox", "list"],
    ["outbox", "list", "--state", "dead", "--kind", "User", "--limit", "1"],
    ["outbox", "show", "1"],
    ["holds"],
    ["holds", "--decided"],
    ["exposure"],
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("REGION_SYNC_WEB_TOKEN", raising=False)


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """With a little of everything in it."""
    furnish(engine)
    return engine


@pytest.fixture
async def there(engine: Engine) -> AsyncIterator[str]:
    """The address of a process that serves its pages."""

    async def put(_one: Put) -> None:
        raise AssertionError("nothing goes to Kafka here")

    sources = Sources(engine, Clock(), Topology(tuple(MODES)), MODES)
    views = Views(sources, Access(TOKEN, "127.0.0.1"), put)
    app = web.Application(middlewares=[views.guard], client_max_size=BODY_MAX)
    app.add_routes(views.routes())
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


async def said(region_sync: Call, *arguments: str) -> Ended:
    return await asyncio.to_thread(region_sync, *arguments)


@pytest.mark.parametrize("command", SHOWN, ids=" ".join)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
async def test_the_same_is_said(
    region_sync: Call, config: str, there: str, command: list[str], form: list[str]
) -> None:
    here = await said(region_sync, *command, *form, "-c", config)
    asked = await said(region_sync, *command, *form, "--url", there, "-c", "/no/settings")
    assert (asked.code, asked.err) == (0, here.err)
    assert asked.out == here.out != ""


async def test_status_there(region_sync: Call, config: str, there: str) -> None:
    here = await said(region_sync, "status", "--json", "-c", config)
    asked = await said(region_sync, "status", "--json", "--url", there)
    same = ("stuck", "entities", "conflicts", "dead_letters")
    assert {name: asked.json()[name] for name in same} == {name: here.json()[name] for name in same}
    states = [{one["region"]: one["states"] for one in ended.json()["regions"]} for ended in (here, asked)]
    assert states[0] == states[1] != {}


async def test_an_address_may_be_given_by_the_environment(
    region_sync: Call, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGION_SYNC_URL", there)
    assert (await said(region_sync, "holds")).out.splitlines()[0].startswith("id")


async def test_a_decision_there_needs_the_token_and_is_audited(
    region_sync: Call, engine: Engine, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    retry = ("outbox", "retry", "1", "--reason", "the user is there now", "--url", there)
    ended = await said(region_sync, *retry)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("region-sync: to decide there, give its token: REGION_SYNC_WEB_TOKEN")
    monkeypatch.setenv("REGION_SYNC_WEB_TOKEN", "something else altogether")
    ended = await said(region_sync, *retry)
    assert ended.code == 1
    assert "Bearer TOKEN is missing or wrong" in ended.err
    monkeypatch.setenv("REGION_SYNC_WEB_TOKEN", TOKEN)
    ended = await said(region_sync, *retry)
    assert (ended.code, ended.out) == (0, "1 dead row will be tried again.\n")
    assert row(engine, audit, action="retry")["reason"] == "the user is there now"
    ended = await said(region_sync, *retry)
    assert ended.code == 1
    assert "row 1 has not failed: it is pending" in ended.err


async def test_all_of_a_region_s_dead_rows_there(
    region_sync: Call, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGION_SYNC_WEB_TOKEN", TOKEN)
    retry = ("outbox", "retry", "--all", "--region", "r2", "--url", there, "--json")
    assert (await said(region_sync, *retry)).json() == {"retried": 1}
    assert (await said(region_sync, *retry)).json() == {"retried": 0}


async def test_a_hold_is_decided_there(
    region_sync: Call, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGION_SYNC_WEB_TOKEN", TOKEN)
    [waiting] = (await said(region_sync, "holds", "--json", "--url", there)).json()
    number = str(waiting["id"])
    ended = await said(region_sync, "holds", "refuse", number, "--reason", "in use", "--url", there)
    assert (ended.code, ended.out) == (0, f"Hold {number} is refused: it stays.\n")
    assert (await said(region_sync, "holds", "--json", "--url", there)).json() == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["outbox", "show", "4711"], "there is no outbox row 4711"),
        (["history", "no/body?x=1"], "no entity with the UUID no/body?x=1 is known"),
    ],
)
async def test_what_is_not_there_is_said_in_its_words(
    region_sync: Call, there: str, command: list[str], words: str
) -> None:
    ended = await said(region_sync, *command, "--url", there)
    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err


def test_nobody_at_the_address(region_sync: Call) -> None:
    ended = region_sync("status", "--url", "http://127.0.0.1:1")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("region-sync: http://127.0.0.1:1 does not answer: ")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:6066", "http://", "http://h/?a=b"])
def test_what_is_no_address(region_sync: Call, url: str) -> None:
    ended = region_sync("status", "--url", url)
    assert ended.code == 2
    assert "is no address" in ended.err


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff", b"{" + b" " * ANSWER_MAX], ids=range(4))
async def test_somebody_else_at_the_address(region_sync: Call, body: bytes) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        ended = await said(region_sync, "conflicts", "--url", str(server.make_url("/")))
    assert (ended.code, ended.out) == (1, "")
    assert "answers something else than Region Sync's pages do" in ended.err
    assert len(ended.err) < 300


def test_a_region_s_own_uuid_leads_to_its_entity(region_sync: Call, config: str, engine: Engine) -> None:
    hub = HubStore(engine, Clock())
    for uuid, region in (("d1", "berlin"), ("d2", "berlin"), ("d3", "tokyo")):
        domain = record(Kind.DOMAIN, uuid, f"name of {uuid}")
        hub.commit(
            [Change(domain, None, mapping=at(domain, region, "once" if uuid == "d1" else "twice"))], NOW
        )
    assert region_sync("history", "once", "-c", config).out.startswith("Domain ROOT/name of d1 (d1): present")
    ended = region_sync("history", "twice", "-c", config)
    assert ended.code == 1
    assert ended.err == "region-sync: regions gave the UUID twice to several entities: d2, d3\n"
