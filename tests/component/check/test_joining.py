"""What `join` asks of a region before anything else, against simulated regions and a real RabbitMQ."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pika
import pytest

from pipeline.check import selftest
from pipeline.check.finding import Finding, Verdict
from pipeline.check.joining import examine_joining
from pipeline.core.entities import Kind
from pipeline.core.makeshift import PROBE
from pipeline.outbox.engine import Engine, migrate, open_database
from pipeline.outbox.hub import HubStore
from pipeline.sandbox.commands import COMMANDS
from pipeline.sandbox.errors import internal, invalid
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.server import RegionServer
from pipeline.sandbox.settings_commands import throttling
from pipeline.settings import Settings
from tests.contract.sandbox.api import PERSON, Api
from tests.unit.outbox.builders import Clock, Value, keep, record

LIMIT_S = 90.0
OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
ALL = {
    "settings",
    "api",
    "clock",
    "permissions",
    "pages",
    "event log",
    "version",
    "throttling",
    "horizon",
    "roles",
}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    migrate(url)
    return open_database(url)


@pytest.fixture
async def simulated() -> AsyncIterator[SimulatedRegion]:
    """Its events are heard by nobody."""
    async with simulated_regions(1) as regions:
        yield regions[0]


@pytest.fixture
async def on_bus(amqp_url: str) -> AsyncIterator[SimulatedRegion]:
    """With an exchange of its own on a real broker."""
    async with simulated_regions(1, amqp_url, names=(f"j-{uuid.uuid4().hex[:8]}",)) as regions:
        yield regions[0]
        _forget(amqp_url, regions[0].exchange)


@pytest.fixture
def silent_exchange(amqp_url: str) -> Any:
    """Nobody publishes to it."""
    name = f"silent-{uuid.uuid4().hex[:8]}"
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        connection.channel().exchange_declare(name, exchange_type="topic", durable=True)
    yield name
    _forget(amqp_url, name)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "EVENT_LIMIT_S", 0.5)


def _forget(url: str, exchange: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().exchange_delete(exchange)


def settings(one: SimulatedRegion, **more: Any) -> Settings:
    """The region is not active yet; another one is."""
    keys = {"api_key": one.service.apikey, "secret_key": one.service.secretkey}
    host = one.endpoint.removesuffix("/client/api")
    region = {"name": one.name, "host": host, "timeout_s": 5, "active": False, **keys, **more}
    other = {"name": "far", "host": "http://127.0.0.1:1", "api_key": "k", "secret_key": "s"}
    return Settings.parse({"regions": [region, other]}, {})


def bus(url: str, exchange: str) -> dict[str, Any]:
    return {"bus": {"source": "amqp", "url": url, "exchange": exchange}}


async def examined(
    one: SimulatedRegion, engine: Engine, *, self_test: bool = False, **more: Any
) -> dict[str, list[Finding]]:
    chosen = settings(one, **more)
    found: dict[str, list[Finding]] = {}
    for finding in await examine_joining(chosen, chosen.region(one.name), engine, self_test):
        assert finding.region == one.name
        found.setdefault(finding.what, []).append(finding)
    return found


def worst(found: dict[str, list[Finding]]) -> set[str]:
    return {what for what, findings in found.items() for one in findings if one.verdict is FAIL}


def domains(one: SimulatedRegion) -> list[str]:
    return [domain.name for domain in one.region.world.live_domains.values() if domain.parent is not None]


async def until(condition: Callable[[], bool], words: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


# -- what is asked


async def test_a_region_that_may_join_and_is_not_active(simulated: SimulatedRegion, engine: Engine) -> None:
    before = simulated.dump()
    found = await examined(simulated, engine)
    assert set(found) == ALL
    assert worst(found) == set()
    assert found["settings"][0].detail == "not active yet; would join far"
    assert (found["version"][0].verdict, found["version"][0].detail) == (OK, "CloudStack 4.22.0.0-SNAPSHOT")
    assert found["throttling"][0].detail == "off"
    assert found["horizon"][0].verdict is OK
    assert found["roles"][0].detail == "the records name no role yet"
    assert simulated.dump() == before
    assert simulated.calls.writes() == 0


async def test_an_active_region_and_one_without_others(simulated: SimulatedRegion, engine: Engine) -> None:
    found = await examined(simulated, engine, active=True)
    assert found["settings"][0].verdict is WARN
    chosen = settings(simulated, active=True)
    alone = chosen.model_copy(update={"regions": chosen.regions[:1]})
    (first, *_) = await examine_joining(alone, alone.regions[0], engine, self_test=False)
    assert (first.verdict, first.detail) == (WARN, "no other region is active: there is nothing to join")


async def test_an_old_version(simulated: SimulatedRegion, engine: Engine) -> None:
    simulated.region.version = "4.16.1.0"
    (finding,) = (await examined(simulated, engine))["version"]
    assert finding.verdict is FAIL
    assert "resourceid came with 4.17" in finding.detail


async def test_the_version_by_the_capabilities_where_they_are_told(
    simulated: SimulatedRegion, engine: Engine
) -> None:
    simulated.region.version = "4.19.3.0"
    simulated.region.configuration |= throttling(most=10, interval_s=2)
    found = await examined(simulated, engine, rate_per_s=50)
    assert found["version"][0].detail.startswith("CloudStack 4.19.3.0: ")
    assert simulated.calls.by_command("svc-sync").get("listManagementServers") is None
    assert (found["throttling"][0].verdict, "set it to 5 or less" in found["throttling"][0].detail) == (
        WARN,
        True,
    )


async def test_the_configuration_of_the_region_is_what_is_judged(
    simulated: SimulatedRegion, engine: Engine
) -> None:
    api = Api(simulated)
    for name, value in (("event.purge.delay", "1"), ("enforce.post.requests.and.timestamps", "true")):
        await api("updateConfiguration", name=name, value=value)
    found = await examined(simulated, engine, post=False)
    assert found["horizon"][0].verdict is WARN
    assert worst(found) == {"requests"}


async def test_roles_that_are_missing_there(simulated: SimulatedRegion, engine: Engine) -> None:
    def account(name: str, role: str) -> Any:
        one = record(Kind.ACCOUNT, name, name)
        return replace(one, fields={**one.fields, "role": Value(role, one.fields["role"].stamp)})

    accounts = [account("a", "User"), account("b", "Shop"), account("c", "Shop")]
    keep(HubStore(engine, Clock()), *accounts)
    found = (await examined(simulated, engine))["roles"]
    assert [(one.verdict, one.detail) for one in found] == [
        (FAIL, "there is no role named 'Shop', which 2 accounts need: make one of that name")
    ]
    await Api(simulated)("createRole", name="Shop", type="User")
    (finding,) = (await examined(simulated, engine))["roles"]
    assert (finding.verdict, finding.detail) == (OK, "all role names that the records use are there: 2")


async def test_a_region_that_is_away_is_asked_nothing_more(
    simulated: SimulatedRegion, engine: Engine
) -> None:
    await simulated.stop()
    found = await examined(simulated, engine, self_test=True)
    assert set(found) == {"settings", "api"}
    assert worst(found) == {"api"}


async def test_a_database_that_can_t_be_read_is_a_finding(simulated: SimulatedRegion, tmp_path: Path) -> None:
    found = await examined(simulated, open_database(f"sqlite:///{tmp_path / 'empty.db'}"))
    assert worst(found) == {"roles"}


# -- the self-test


async def test_the_event_log_is_heard_and_the_probe_is_gone(
    simulated: SimulatedRegion, engine: Engine
) -> None:
    before = simulated.dump()
    (finding,) = (await examined(simulated, engine, self_test=True))["self-test"]
    assert finding.verdict is OK
    assert finding.detail.startswith("the event log told of a new domain ")
    assert simulated.dump() == before
    made = [row for row in simulated.region.log.rows if row.type == "DOMAIN.CREATE"]
    assert [row.entity.name.startswith(PROBE) for row in made] == [True]


async def test_an_event_log_that_tells_nothing(
    simulated: SimulatedRegion, engine: Engine, impatient: None
) -> None:
    simulated.region.log.rows = _Hidden()
    (finding,) = (await examined(simulated, engine, self_test=True))["self-test"]
    assert (finding.verdict, finding.detail) == (
        FAIL,
        "the event log told nothing of a new domain within 0.5 s",
    )
    assert domains(simulated) == []


class _Hidden(list[Any]):
    """Rows that nobody gets to see."""

    def __iter__(self) -> Any:
        return iter(())


@pytest.mark.services
async def test_the_bus_is_heard_and_the_probe_is_gone(
    on_bus: SimulatedRegion, engine: Engine, amqp_url: str
) -> None:
    before = on_bus.dump()
    found = await examined(on_bus, engine, self_test=True, **bus(amqp_url, on_bus.exchange))
    assert worst(found) == set()
    (finding,) = found["self-test"]
    assert finding.detail.startswith("the bus told of a new domain ")
    assert int(finding.detail.split()[7]) < 5000
    assert on_bus.dump() == before


@pytest.mark.services
async def test_what_the_bridge_waits_for_is_left_to_it(
    on_bus: SimulatedRegion, engine: Engine, amqp_url: str
) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, on_bus.exchange, "*.ActionEvent.*.Domain.*")
        await examined(on_bus, engine, self_test=True, **bus(amqp_url, on_bus.exchange))
        bodies = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(4)]
    assert [b"DOMAIN.CREATE" in one for one in bodies] == [True, False, False, False]
    assert b"DOMAIN.DELETE" in bodies[3]


@pytest.mark.services
async def test_a_bus_that_is_connected_and_tells_nothing(
    simulated: SimulatedRegion, engine: Engine, amqp_url: str, silent_exchange: str, impatient: None
) -> None:
    found = await examined(simulated, engine, self_test=True, **bus(amqp_url, silent_exchange))
    assert worst(found) == {"self-test"}
    (finding,) = found["self-test"]
    assert finding.detail.startswith(
        "the bus is connected and told nothing of a new domain within 0.5 s, though"
    )
    assert "META-INF/cloudstack/event" in finding.detail
    assert domains(simulated) == []


@pytest.mark.services
async def test_a_bus_and_a_log_that_tell_nothing(
    simulated: SimulatedRegion, engine: Engine, amqp_url: str, silent_exchange: str, impatient: None
) -> None:
    simulated.region.log.rows = _Hidden()
    found = await examined(simulated, engine, self_test=True, **bus(amqp_url, silent_exchange))
    assert found["self-test"][0].detail.endswith(" within 0.5 s, nor did the event log")


@pytest.mark.services
async def test_a_bus_that_names_somebody_else(
    on_bus: SimulatedRegion, engine: Engine, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cloudstack.resources.Resources.own_user", "somebody-else")
    found = await examined(on_bus, engine, self_test=True, **bus(amqp_url, on_bus.exchange))
    assert found["self-test"][0].verdict is FAIL
    assert "not that our user made it" in found["self-test"][0].detail


class Wire:
    """Between us and the broker; it can be cut."""

    def __init__(self, url: str) -> None:
        self._behind = pika.URLParameters(url)
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        who = self._behind.credentials
        return f"amqp://{who.username}:{who.password}@127.0.0.1:{port}/%2F"

    async def __aexit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for one in self._writers:
            one.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far, out = await asyncio.open_connection(self._behind.host, self._behind.port)
        self._writers += [writer, out]
        await asyncio.gather(_pumped(reader, out), _pumped(far, writer), return_exceptions=True)


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)


@pytest.mark.services
async def test_a_bus_that_is_lost_meanwhile(
    simulated: SimulatedRegion, engine: Engine, amqp_url: str, silent_exchange: str
) -> None:
    wire = Wire(amqp_url)
    async with wire as url:
        running = asyncio.ensure_future(
            examined(simulated, engine, self_test=True, **bus(url, silent_exchange))
        )
        await until(lambda: bool(domains(simulated)), "no probe was made")
        wire.cut()
        (finding,) = (await running)["self-test"]
    assert finding.verdict is FAIL
    assert finding.detail.startswith("the connection to the bus was lost before the event came: ")
    assert domains(simulated) == []


@pytest.mark.services
async def test_an_exchange_that_is_not_there_makes_no_probe(
    simulated: SimulatedRegion, engine: Engine, amqp_url: str
) -> None:
    found = await examined(simulated, engine, self_test=True, **bus(amqp_url, "nobody-made-it"))
    (finding,) = found["self-test"]
    assert finding.verdict is FAIL
    assert "no exchange 'nobody-made-it'" in finding.detail
    assert simulated.calls.writes() == 0


async def test_no_probe_is_made_where_it_could_not_be_heard(
    simulated: SimulatedRegion, engine: Engine
) -> None:
    found = await examined(simulated, engine, self_test=True, **bus("amqp://127.0.0.1:1", "x"))
    assert worst(found) == {"bus"}
    assert found["self-test"][0].detail == "not made, since something before it failed"
    assert simulated.calls.writes() == 0


async def test_a_region_that_makes_no_domain(
    simulated: SimulatedRegion, engine: Engine, monkeypatch: Any
) -> None:
    def refused(*_: object) -> Any:
        raise internal("no room for domains")

    monkeypatch.setitem(COMMANDS, "createDomain", refused)
    (finding,) = (await examined(simulated, engine, self_test=True))["self-test"]
    assert finding.verdict is FAIL
    assert finding.detail.endswith(": no room for domains")
    assert simulated.calls.by_command("svc-sync").get("deleteDomain") is None


async def test_a_probe_that_is_not_removed_is_named(
    simulated: SimulatedRegion, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> Any:
        raise invalid("not today")

    monkeypatch.setitem(COMMANDS, "deleteDomain", refused)
    heard, stays = (await examined(simulated, engine, self_test=True))["self-test"]
    (left,) = domains(simulated)
    assert (heard.verdict, stays.verdict) == (OK, FAIL)
    assert stays.detail == f"domain {left} under ROOT is not removed, the next run tries again: not today"


async def test_a_removal_without_effect_ends_in_time(
    simulated: SimulatedRegion, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "GONE_LIMIT_S", 0.5)
    monkeypatch.setitem(COMMANDS, "deleteDomain", lambda _call: {"success": True})
    _, stays = (await examined(simulated, engine, self_test=True))["self-test"]
    assert (stays.verdict, stays.detail.endswith(": still there after 0.5 s")) == (FAIL, True)


async def test_a_region_that_fails_now_and_then_gets_rid_of_it(
    simulated: SimulatedRegion, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, failures = COMMANDS["deleteDomain"], iter([1, 2])

    def sometimes(call: Any) -> Any:
        if next(failures, None):
            raise internal("Unable to acquire the lock, try again")
        return delete(call)

    monkeypatch.setitem(COMMANDS, "deleteDomain", sometimes)
    (finding,) = (await examined(simulated, engine, self_test=True))["self-test"]
    assert finding.verdict is OK
    assert domains(simulated) == []


async def test_a_creation_that_is_not_answered_is_taken_back(
    simulated: SimulatedRegion, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = RegionServer._after

    async def cut(server: Any, http: Any, reply: Any, given: Any) -> None:
        if given.get("command") == "createDomain":
            http.transport.abort()
            raise asyncio.CancelledError
        await after(server, http, reply, given)

    monkeypatch.setattr(RegionServer, "_after", cut)
    (finding,) = (await examined(simulated, engine, self_test=True))["self-test"]
    assert finding.verdict is FAIL
    assert "did not reach the region" in finding.detail
    assert [row.type for row in simulated.region.log.rows if row.type == "DOMAIN.CREATE"] == ["DOMAIN.CREATE"]
    assert domains(simulated) == []


@pytest.mark.parametrize("where", ["while it is made", "while its event is waited for"])
async def test_a_cancelled_self_test_leaves_nothing(
    simulated: SimulatedRegion, engine: Engine, where: str
) -> None:
    simulated.region.log.rows = _Hidden()
    if where == "while it is made":
        simulated.faults.latency_ms = 100
    chosen = settings(simulated)
    running = asyncio.ensure_future(examine_joining(chosen, chosen.region(simulated.name), engine, True))
    await until(lambda: bool(domains(simulated)), "no probe was made")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert domains(simulated) == []


async def test_what_a_killed_run_left_is_removed_by_the_next(
    simulated: SimulatedRegion, engine: Engine
) -> None:
    service = Api(simulated, (simulated.service.apikey, simulated.service.secretkey))
    left = f"{PROBE}0123abcd"
    await service.domain(left)
    found = (await examined(simulated, engine, self_test=True))["self-test"]
    assert [(one.verdict, one.detail) for one in found[:1]] == [
        (OK, f"domain {left} of an earlier run is removed")
    ]
    assert [one.verdict for one in found] == [OK, OK]
    assert domains(simulated) == []


async def test_what_only_looks_like_a_probe_stays(simulated: SimulatedRegion, engine: Engine) -> None:
    service = Api(simulated, (simulated.service.apikey, simulated.service.secretkey))
    theirs = f"{PROBE}0123abcd"
    await Api(simulated).domain(theirs)  # not made by our user
    filled = f"{PROBE}89abcdef"
    above = await service.domain(filled)
    await service("createAccount", username="x", domainid=above, accounttype=0, **PERSON)
    await service.domain(f"{PROBE}long-name")
    await service.domain(f"{PROBE}00000000", parentdomainid=await service.domain("top"))
    before = simulated.dump()
    found = (await examined(simulated, engine, self_test=True))["self-test"]
    assert [one.verdict for one in found] == [WARN, WARN, OK]
    assert theirs in found[0].detail and "does not say that an earlier run made it" in found[0].detail
    assert filled in found[1].detail and "have been removed" in found[1].detail
    assert simulated.dump() == before


async def test_without_a_self_test_nothing_is_written(simulated: SimulatedRegion, engine: Engine) -> None:
    service = Api(simulated, (simulated.service.apikey, simulated.service.secretkey))
    await service.domain(f"{PROBE}0123abcd")
    simulated.calls.clear()
    found = await examined(simulated, engine)
    assert "self-test" not in found
    assert simulated.calls.writes() == 0
