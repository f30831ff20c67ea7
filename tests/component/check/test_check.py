"""`check` against neighbours that work, that refuse, and that are away."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import aiohttp
import pika
import pytest
from aiohttp import web
from confluent_kafka.admin import AdminClient, NewTopic
from yarl import URL

from pipeline.broker import announced
from pipeline.check import bus, database, kafka, region, userdb
from pipeline.check.everything import examine, of_settings
from pipeline.check.finding import Finding, Subject, Verdict, blocking
from pipeline.core import topics
from pipeline.embedded import EmbeddedBroker
from pipeline.outbox.engine import migrate
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.usertable import UserTable
from pipeline.settings import Region, Settings

NOWHERE = "http://127.0.0.1:1"
LOGIN = {"api_key": "${KEY}", "secret_key": "${SECRET}"}
SKEW_S = 120


def settings(*regions: dict[str, Any], **more: Any) -> Settings:
    return Settings.parse({**more, "regions": list(regions)}, {"KEY": "k", "SECRET": "s"})


def named(name: str = "berlin", host: str = NOWHERE, **more: Any) -> dict[str, Any]:
    return {"name": name, "host": host, "timeout_s": 5, **LOGIN, **more}


def of(one: SimulatedRegion, **more: Any) -> Region:
    host = one.endpoint.removesuffix("/client/api")
    keys = {"api_key": one.service.apikey, "secret_key": one.service.secretkey}
    return settings(named(one.name, host, **(keys | more))).regions[0]


def by_what(findings: list[Finding]) -> dict[str, Finding]:
    return {one.what: one for one in findings}


def verdicts(findings: list[Finding]) -> dict[str, Verdict]:
    return {one.what: one.verdict for one in findings}


# -- its own database


async def test_where_logins_are_carried_the_region_s_own_database_is_asked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cloud.db"
    place = settings(named(user_database=url)).regions[0]
    (missing,) = await userdb.examine(place)
    assert (missing.verdict, missing.detail) == (Verdict.FAIL, "user_database: no such table: user")
    UserTable(url).close()
    (found,) = await userdb.examine(place)
    assert (found.verdict, found.what) == (Verdict.OK, "user_database")
    away = settings(named(user_database="mysql+pymysql://u:hush@127.0.0.1:1/cloud")).regions[0]
    (refused,) = await userdb.examine(away)
    assert refused.verdict is Verdict.FAIL and "hush" not in refused.detail
    assert await userdb.examine(settings(named()).regions[0]) == []


# -- a region


@pytest.fixture
async def simulated() -> AsyncIterator[SimulatedRegion]:
    async with simulated_regions(1) as regions:
        yield regions[0]


async def test_a_region_that_would_do(simulated: SimulatedRegion) -> None:
    simulated.load(2, 3, 4)
    found = by_what(await region.examine(of(simulated)))
    assert set(found) == {"api", "clock", "permissions", "pages", "event log"}
    assert {name for name, one in found.items() if one.verdict is Verdict.OK} >= {
        "api",
        "clock",
        "permissions",
        "pages",
    }
    assert found["api"].detail.endswith("logged in as svc-sync of account svc-sync")
    assert found["clock"].detail.startswith("less than ")


async def test_a_check_changes_nothing(simulated: SimulatedRegion) -> None:
    before = simulated.dump()
    await region.examine(of(simulated))
    assert simulated.dump() == before
    assert simulated.calls.writes() == 0


async def test_a_log_in_with_user_name_and_password_fails_in_cloudstacks_words(
    simulated: SimulatedRegion,
) -> None:
    one = settings(
        {
            "name": "r1",
            "host": simulated.endpoint.removesuffix("/client/api"),
            "user_name": "nobody",
            "password": "wrong-password-of-nobody",
        }
    ).regions[0]
    (finding,) = await region.examine(one)
    assert finding.verdict is Verdict.FAIL
    assert "wrong-password-of-nobody" not in finding.detail


async def test_a_wrong_key(simulated: SimulatedRegion) -> None:
    (finding,) = await region.examine(of(simulated, secret_key="not-the-key"))
    assert finding.verdict is Verdict.FAIL
    assert "unable to verify user credentials" in finding.detail
    assert "not-the-key" not in finding.detail


async def test_a_region_that_is_away() -> None:
    (finding,) = await region.examine(settings(named()).regions[0])
    assert finding.verdict is Verdict.FAIL
    assert "did not reach the region" in finding.detail


async def test_a_region_without_events_is_a_warning(simulated: SimulatedRegion) -> None:
    found = by_what(await region.examine(of(simulated)))
    assert (found["event log"].verdict, found["event log"].detail) == (
        Verdict.WARN,
        "is empty: what a bus loses could not be found there",
    )


class Between:
    """A proxy before a region: tells another time, takes commands from the list, refuses big pages."""

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self.skew_s = 0
        self.without: set[str] = set()
        self.refuses_pages = False

    async def answer(self, request: web.Request) -> web.Response:
        command = request.query.get("command", "")
        if self.refuses_pages and command == "listUsers" and request.query.get("pagesize") == "500":
            body = {"listusersresponse": {"errorcode": 431, "errortext": "Page size can not exceed 100"}}
            return web.json_response(body, status=431)
        async with aiohttp.ClientSession() as http:
            url = f"{self._behind}?{request.query_string}"
            async with http.get(URL(url, encoded=True)) as reply:
                status, told = reply.status, await reply.read()
        if command == "listApis":
            whole = json.loads(told)
            inner = whole["listapisresponse"]
            inner["api"] = [api for api in inner["api"] if api["name"] not in self.without]
            told = json.dumps(whole).encode()
        headers = {"Date": formatdate(time.time() + self.skew_s, usegmt=True)}
        return web.Response(body=told, status=status, headers=headers, content_type="application/json")


@pytest.fixture
async def between(simulated: SimulatedRegion) -> AsyncIterator[tuple[Between, Region]]:
    proxy = Between(simulated.endpoint)
    app = web.Application()
    app.router.add_get("/client/api", proxy.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield proxy, of(simulated).model_copy(update={"host": f"http://127.0.0.1:{port}"})
    await runner.cleanup()


async def test_a_role_that_lacks_commands(between: tuple[Between, Region]) -> None:
    proxy, one = between
    proxy.without = {"moveUser", "listEvents"}
    finding = by_what(await region.examine(one))["permissions"]
    assert (finding.verdict, finding.detail) == (
        Verdict.FAIL,
        "the role does not allow listEvents, moveUser",
    )


@pytest.mark.parametrize(("skew_s", "word"), [(SKEW_S, "ahead"), (-SKEW_S, "behind")])
async def test_a_clock_that_is_off(between: tuple[Between, Region], skew_s: int, word: str) -> None:
    proxy, one = between
    proxy.skew_s = skew_s
    finding = by_what(await region.examine(one))["clock"]
    assert finding.verdict is Verdict.WARN
    assert f" s {word}: set both by NTP" in finding.detail


async def test_a_refused_log_in_tells_of_the_clock(
    between: tuple[Between, Region], simulated: SimulatedRegion
) -> None:
    proxy, one = between
    proxy.skew_s = SKEW_S
    wrong = of(simulated, secret_key="wrong").model_copy(update={"host": one.host})
    (finding,) = await region.examine(wrong)
    assert "ahead: signatures expire)" in finding.detail


async def test_pages_that_are_refused(between: tuple[Between, Region]) -> None:
    proxy, one = between
    proxy.refuses_pages = True
    finding = by_what(await region.examine(one))["pages"]
    assert finding.verdict is Verdict.FAIL
    assert "default.page.size" in finding.detail


async def test_a_region_that_never_answers_is_left_in_time(
    simulated: SimulatedRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated.faults.hang_ratio = 1.0
    monkeypatch.setattr("pipeline.check.everything.LIMIT_S", 1.0)
    began = time.monotonic()
    found = await examine(Settings(regions=(of(simulated, timeout_s=60),), kafka="embedded", partitions=4))
    assert time.monotonic() - began < 50, "it did not wait for the call's own time-out"
    assert [one.detail for one in found if one.what == "api"] == ["no answer within 1 s"]


# -- the database


async def test_a_sqlite_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    (finding,) = await database.examine(settings(named(), database=url))
    assert (finding.verdict, finding.detail) == (Verdict.OK, f"{url}: made at the first start")
    migrate(url)
    (finding,) = await database.examine(settings(named(), database=url))
    assert finding.detail == f"{url}: reached, its tables are this version's"


async def test_a_place_where_no_file_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    url = f"sqlite:///{tmp_path}/file/x.db"
    (finding,) = await database.examine(settings(named(), database=url))
    assert finding.verdict is Verdict.FAIL


async def test_a_database_server_that_is_away() -> None:
    (finding,) = await database.examine(settings(named(), database="mysql+pymysql://u:hush@127.0.0.1:1/n"))
    assert finding.verdict is Verdict.FAIL
    assert "hush" not in finding.detail


@pytest.mark.services
async def test_a_mariadb(database_url: str) -> None:
    (finding,) = await database.examine(settings(named(), database=database_url))
    assert (finding.verdict, finding.detail.split(": ", 1)[1]) == (
        Verdict.OK,
        "reached, the tables are made at the first start",
    )
    await asyncio.to_thread(migrate, database_url)
    (finding,) = await database.examine(settings(named(), database=database_url))
    assert finding.detail.endswith("its tables are this version's")
    assert "@" not in finding.detail


# -- Kafka


async def test_the_embedded_broker(tmp_path: Path) -> None:
    chosen = settings(named(), database=f"sqlite:///{tmp_path}/x.db")
    (finding,) = await kafka.examine(chosen)
    assert (finding.verdict, "not running now" in finding.detail) == (Verdict.OK, True)
    with EmbeddedBroker() as broker, announced(chosen, broker.address):
        broker.ensure_topics([topics.events("berlin"), topics.desired("berlin")])
        found = await kafka.examine(chosen)
    assert [one.detail for one in found] == [
        "embedded: reached, 1 broker",
        "3 of 5 are made at the first start",
    ]


async def test_kafka_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "CONNECT_S", 1.0)
    (finding,) = await kafka.examine(settings(named(), kafka="127.0.0.1:1"))
    assert finding.verdict is Verdict.FAIL
    assert finding.detail.startswith("127.0.0.1:1: ")


async def test_an_embedded_broker_that_went_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "CONNECT_S", 1.0)
    chosen = settings(named(), database=f"sqlite:///{tmp_path}/x.db")
    with announced(chosen, "127.0.0.1:1"):
        (finding,) = await kafka.examine(chosen)
    assert finding.verdict is Verdict.WARN


EVENTS, DESIRED, REVOKE = topics.of_region("berlin")
ALL_TOPICS = (topics.OBSERVATIONS, topics.DEAD_LETTERS, EVENTS, DESIRED, REVOKE)


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        ({}, Verdict.OK, "5 of 5 are made at the first start"),
        (dict.fromkeys(ALL_TOPICS, 12), Verdict.OK, "5 with 12 partitions each"),
        (
            dict.fromkeys(ALL_TOPICS, 12) | {DESIRED: 6},
            Verdict.FAIL,
            f"{EVENTS} has 12 partitions and {DESIRED} has 6: they must be equal",
        ),
        (
            dict.fromkeys(ALL_TOPICS, 12) | {REVOKE: 6},
            Verdict.FAIL,
            f"{EVENTS} has 12 partitions and {REVOKE} has 6: they must be equal",
        ),
        (
            dict.fromkeys(ALL_TOPICS, 12) | {topics.OBSERVATIONS: 3},
            Verdict.FAIL,
            f"not the 12 partitions of the settings: {topics.OBSERVATIONS}: 3; set `partitions`, "
            "or say `region-sync grow`",
        ),
        ({EVENTS: 12, DESIRED: 12}, Verdict.OK, "3 of 5 are made at the first start"),
    ],
)
def test_topics_that_exist(found: dict[str, int], verdict: Verdict, words: str) -> None:
    (finding,) = kafka.judge(settings(named(), kafka="a:1"), found)
    assert (finding.verdict, finding.detail) == (verdict, words)


@pytest.mark.services
async def test_unequal_topics_of_a_real_kafka(kafka_bootstrap: str) -> None:
    name = f"check-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    made = admin.create_topics([NewTopic(topics.events(name), 3, 1), NewTopic(topics.desired(name), 2, 1)])
    for future in made.values():
        await asyncio.to_thread(future.result, 20)
    try:
        found = await kafka.examine(settings(named(name), kafka=kafka_bootstrap, partitions=3))
    finally:
        for gone in admin.delete_topics(list(made)).values():
            await asyncio.to_thread(gone.result, 20)
    assert found[0].verdict is Verdict.OK
    (wrong,) = [one for one in found if one.verdict is Verdict.FAIL]
    assert (wrong.region, "they must be equal" in wrong.detail) == (name, True)


# -- the bus


def on_bus(url: str, exchange: str, name: str = "berlin") -> Region:
    return settings(named(name, bus={"source": "amqp", "url": url, "exchange": exchange})).regions[0]


@pytest.fixture
def exchange(amqp_url: str) -> Iterator[str]:
    name = f"check-{uuid.uuid4().hex[:8]}"
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    channel.exchange_declare(name, exchange_type="topic", durable=True)
    yield name
    channel.exchange_delete(name)
    connection.close()


@pytest.mark.services
async def test_a_bus_that_would_do(amqp_url: str, exchange: str) -> None:
    found = await bus.examine(on_bus(amqp_url, exchange, exchange))
    assert [one.verdict for one in found] == [Verdict.OK] * 3
    assert found[1].detail == f"exchange {exchange} is there"
    assert found[2].detail == f"queue region-sync.{exchange} is made at the bridge's first start"


@pytest.mark.services
async def test_a_queue_that_waits_is_told_and_an_exchange_that_is_missing(
    amqp_url: str, exchange: str
) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    channel.queue_declare(f"region-sync.{exchange}", durable=True)
    channel.basic_publish("", f"region-sync.{exchange}", b"{}")
    try:
        found = await bus.examine(on_bus(amqp_url, f"{exchange}-no", exchange))
    finally:
        channel.queue_delete(f"region-sync.{exchange}")
        connection.close()
    assert [one.verdict for one in found] == [Verdict.OK, Verdict.WARN, Verdict.OK]
    assert found[2].detail == f"queue region-sync.{exchange}: 1 events wait, 0 bridges connected"


@pytest.mark.services
async def test_a_wrong_password_of_the_bus(amqp_url: str) -> None:
    parts = pika.URLParameters(amqp_url)
    (finding,) = await bus.examine(
        on_bus(f"amqp://nobody:hush@{parts.host}:{parts.port}/%2F", "cloudstack-events")
    )
    assert finding.verdict is Verdict.FAIL
    assert "ACCESS_REFUSED" in finding.detail
    assert "hush" not in finding.detail


async def test_a_bus_that_is_away() -> None:
    (finding,) = await bus.examine(on_bus("amqp://u:hush@127.0.0.1:1/%2F", "x"))
    assert finding.verdict is Verdict.FAIL
    assert finding.detail.startswith("127.0.0.1:1: ")
    assert "hush" not in finding.detail


async def test_a_bus_that_accepts_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "CONNECT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (finding,) = await bus.examine(on_bus(f"amqp://u:p@127.0.0.1:{port}/%2F", "x"))
    assert finding.verdict is Verdict.FAIL
    assert finding.detail.startswith(f"127.0.0.1:{port}: Timeout during AMQP handshake")


# -- all together


def test_what_the_settings_alone_tell() -> None:
    alone = Settings.parse(
        {"regions": [named("berlin", "http://cloud.example.org", api_key="open", secret_key="open")]}, {}
    )
    found = list(of_settings(alone))
    assert [(one.region, one.verdict) for one in found] == [
        ("", Verdict.OK),
        ("", Verdict.WARN),
        ("", Verdict.WARN),
        ("berlin", Verdict.WARN),
    ]
    assert found[2].detail.endswith(": regions[berlin].api_key, regions[berlin].secret_key")
    assert "open," not in found[2].detail.split("instead")[0]


async def test_all_are_asked_at_the_same_time_and_told_in_order(tmp_path: Path) -> None:
    chosen = settings(named(), named("tokyo"), database=f"sqlite:///{tmp_path}/x.db")
    found = await examine(chosen)
    assert [(one.region, one.what) for one in found] == [
        ("", "settings"),
        ("", "kafka"),
        ("", "database"),
        ("berlin", "api"),
        ("tokyo", "api"),
    ]
    assert verdicts(found)["api"] is Verdict.FAIL


async def test_a_probe_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr(database, "examine", broken)
    found = await examine(settings(named(), database=f"sqlite:///{tmp_path}/x.db"))
    assert Subject("", "database").fail("RuntimeError: oh") in found


async def test_a_blocking_probe_gives_its_result_or_its_error() -> None:
    assert await blocking(lambda: 4) == 4
    with pytest.raises(ZeroDivisionError):
        await blocking(lambda: 1 // 0)
