"""Connections that are open and dead: nobody says anything any more, and no packet tells of it. Every client
gives up after a time, calls it temporary, and goes on when the network does."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from sqlalchemy import Engine, make_url, select, text

from bridges import kafka as bridge_kafka
from bridges import rabbitmq
from bridges.bridge import Bridge, BridgeSettings
from bridges.kafka import KafkaSink, Unread
from bridges.relay import Record
from bridges.topology import BusSettings
from pipeline.agents.publish import Message, Publisher
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.errors import Unreachable
from pipeline.cloudstack.session import Credentials
from pipeline.core.errors import TemporaryError
from pipeline.outbox import engine as engine_module
from pipeline.outbox.engine import migrate, open_database, writing
from pipeline.outbox.schema import metadata
from pipeline.reconcile import bus as bus_module
from pipeline.reconcile.bus import TopicReader
from pipeline.sandbox.launch import now_ms, simulated_regions
from tests.component.bridges.rig import Bus, Topics, entities, event
from tests.component.bridges.rig import until as bridge_until
from tests.faults.proxy import Fault, Link, Network
from tests.faults.writers import CASES, kept, prepared
from tests.services.kafka import Kafka
from tests.services.process import wait_until

LIMIT_S: Final = 60.0
DEAD: Final = pytest.mark.parametrize(
    "fault",
    [
        Fault.HALF_OPEN,
        pytest.param(Fault.CUT_TO_CLIENT, marks=pytest.mark.slow),
        pytest.param(Fault.CUT_TO_SERVICE, marks=pytest.mark.slow),
    ],
    ids=lambda one: str(one.name),
)
"""All of them look the same from here."""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as one:
        yield one


# --- the region


@DEAD
async def test_a_region_behind_a_dead_connection(fault: Fault, network: Network) -> None:
    async with simulated_regions(1) as (region,):
        link = network.link("worker-region", "127.0.0.1", region.server.port)
        keys = Credentials(region.service.apikey, region.service.secretkey)
        endpoint = f"http://127.0.0.1:{link.port}/client/api"
        client = CloudStack(ClientSettings(endpoint, keys, timeout_s=0.5), clock=now_ms)
        await client.call("listUsers", {"listall": "true"})
        await asyncio.to_thread(link.fail, fault)
        async with asyncio.timeout(LIMIT_S):
            for _ in range(2):  # over the connection that was open, and over a new one
                with pytest.raises(Unreachable, match="no answer"):
                    await client.call("listUsers", {"listall": "true"})
        await asyncio.to_thread(link.heal)
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    assert await client.call("listUsers", {"listall": "true"})
                    break
                except Unreachable:
                    await asyncio.sleep(0.01)
        await client.aclose()


# --- MariaDB


@pytest.fixture
def through(
    database_url: str, network: Network, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Engine, Link]]:
    """An engine whose way to the database may fail, and who waits a second where it waits a minute else."""
    monkeypatch.setattr(engine_module, "NETWORK_LIMIT_S", 1)
    monkeypatch.setattr(engine_module, "CONNECT_LIMIT_S", 1)
    migrate(database_url)
    url = make_url(database_url)
    link = network.link("hub-mariadb", url.host or "", url.port or 0)
    engine = open_database(url.set(host="127.0.0.1", port=link.port).render_as_string(hide_password=False))
    with writing(engine) as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    yield engine, link
    link.heal()
    engine.dispose()


@pytest.mark.services
@DEAD
def test_a_database_behind_a_dead_connection(fault: Fault, through: tuple[Engine, Link]) -> None:
    engine, link = through
    world = prepared(engine)
    before = kept(engine)
    link.fail(fault)
    with pytest.raises(TemporaryError):
        CASES["RegionStore.settle"](world)
    link.heal()
    assert kept(engine) == before
    CASES["RegionStore.settle"](world)
    assert kept(engine) != before


@pytest.mark.services
def test_a_database_that_falls_silent_in_mid_transaction(through: tuple[Engine, Link]) -> None:
    engine, link = through
    world = prepared(engine)
    before = kept(engine)

    def work() -> None:
        with writing(engine) as connection:
            connection.execute(metadata.tables["watermark"].insert(), {"name": "a", "value": 1, "time": 1})
            link.fail(Fault.HALF_OPEN)
            connection.execute(select(metadata.tables["watermark"])).all()

    with pytest.raises(TemporaryError):
        work()
    link.heal()
    assert kept(engine) == before
    CASES["HubStore.commit"](world)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_no_client_waits_for_ever() -> None:
    """What the tests here make short is there, and bounded, in earnest."""
    assert 0 < engine_module.CONNECT_LIMIT_S <= engine_module.NETWORK_LIMIT_S <= 60
    assert 0 < ClientSettings("http://h", Credentials("k", "s")).timeout_s <= 60
    assert 0 < ClientSettings("http://h", Credentials("k", "s")).job_timeout_s <= 900
    parameters = rabbitmq._parameters(BusSettings("amqp://h/", "exchange", "queue"))
    assert 0 < parameters.heartbeat <= 60
    assert 0 < parameters.socket_timeout <= 60
    assert 0 < parameters.stack_timeout <= 60
    assert 0 < bus_module.TIMEOUT_S <= 60
    assert 0 < bridge_kafka._ANSWER_LIMIT_S <= 60
    asked = inspect.getsource(Unread) + inspect.getsource(TopicReader)
    questions = ("list_topics(", "committed(", "get_watermark_offsets(", "offsets_for_times(", "consume(")
    for line in asked.splitlines():
        if any(question in line for question in questions):
            assert "timeout=" in line, line


# --- Kafka


class Behind(Kafka):
    """A broker that tells its clients to come by way of a link."""

    def __init__(self, folder: Path, cache: Path, network: Network) -> None:
        super().__init__(folder, cache)
        self._network = network
        self.link: Link | None = None

    @property
    def front(self) -> str:
        assert self.link is not None
        return f"127.0.0.1:{self.link.port}"

    def _write_properties(self, data: Path) -> Path:
        if self.link is None:
            self.link = self._network.link("client-kafka", "127.0.0.1", self.ports["kafka"])
        properties = super()._write_properties(data)
        own = f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.ports['kafka']}"
        words = properties.read_text()
        assert own in words
        properties.write_text(words.replace(own, f"advertised.listeners=PLAINTEXT://{self.front}"))
        return properties


@pytest.fixture(scope="module")
def behind(
    tmp_path_factory: pytest.TempPathFactory, services_cache: Path, network: Network
) -> Iterator[Behind]:
    with Behind(tmp_path_factory.mktemp("kafka"), services_cache, network) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.front})
        for made in admin.create_topics(
            [NewTopic("region-sync.events.r1", 1, 1), NewTopic("t", 1, 1)]
        ).values():
            made.result(30)
        yield kafka


@pytest.fixture
def link(behind: Behind) -> Iterator[Link]:
    assert behind.link is not None
    yield behind.link
    behind.link.heal()


SOON: Final = {"socket.timeout.ms": "1500", "reconnect.backoff.max.ms": "300"}


@pytest.mark.services
@DEAD
async def test_producers_behind_a_dead_connection(
    fault: Fault, behind: Behind, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is reported before Kafka has it; all of it is there in the end, and in order."""
    caplog.set_level(logging.INFO)
    publisher = Publisher(behind.front, SOON)
    sink = KafkaSink(behind.front, SOON, 100)
    reports: list[str | None] = []
    await publisher.publish([Message("t", b"k", b"before")])
    await asyncio.to_thread(link.fail, fault)
    work = asyncio.create_task(publisher.publish([Message("t", b"k", b"during")]))
    sink.send(Record("t", b"k", b"relayed", []), reports.append)

    def polled(condition: Callable[[], bool]) -> Callable[[], bool]:
        def met() -> bool:
            sink.poll()
            return condition()

        return met

    quiet = polled(lambda: any("do not" in one or "not take" in one for one in caplog.messages))
    await asyncio.to_thread(wait_until, quiet, LIMIT_S, "a word of it in the log")
    if fault is not Fault.CUT_TO_CLIENT:
        assert not work.done()
    assert reports == []
    await asyncio.to_thread(link.heal)
    async with asyncio.timeout(LIMIT_S):
        await work
    await asyncio.to_thread(wait_until, polled(lambda: bool(reports)), LIMIT_S, "Kafka's report")
    assert reports == [None]
    await asyncio.to_thread(publisher.close)
    sink.close()


@pytest.mark.services
def test_readers_behind_a_dead_connection(
    behind: Behind, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(bridge_kafka, "_ANSWER_LIMIT_S", 1.0)
    reader = TopicReader(behind.front, SOON, "region-sync.events.r1")
    unread = Unread(behind.front, {}, "r1", 10)
    monkeypatch.setattr(bus_module, "TIMEOUT_S", 20.0)
    wait_until(lambda: goes(reader.start, None), LIMIT_S, "the new topic's leaders know of it")
    monkeypatch.setattr(bus_module, "TIMEOUT_S", 1.0)
    link.fail(Fault.HALF_OPEN)
    with pytest.raises(TemporaryError):
        reader.mark_end()
    assert not unread.has_room()
    link.heal()
    wait_until(lambda: goes(reader.mark_end), LIMIT_S, "the topic's end")
    wait_until(unread.has_room, LIMIT_S, "room")
    reader.close()
    unread.close()


def goes(ask: Callable[..., object], *arguments: object) -> bool:
    """Whether Kafka answers."""
    try:
        ask(*arguments)
    except TemporaryError:
        return False
    return True


# --- RabbitMQ


@pytest.fixture
async def bridged(
    amqp_url: str, kafka_bootstrap: str, network: Network
) -> AsyncIterator[tuple[Bus, Topics, Link, Bridge]]:
    """A bridge whose way to its bus may fail; its heartbeat is short."""
    region = f"dead-{now_ms()}"
    url = make_url(amqp_url)
    link = network.link("bridge-rabbitmq", url.host or "", url.port or 5672)
    user = f"{url.username or 'guest'}:{url.password or 'guest'}"
    settings = BridgeSettings(
        region=region,
        kafka=kafka_bootstrap,
        amqp_url=f"amqp://{user}@127.0.0.1:{link.port}/%2F?heartbeat=2",
        exchange=f"cloudstack-events-{region}",
        drain_limit_s=2.0,
    )
    topics_ = Topics(kafka_bootstrap, region)
    bus = Bus(amqp_url, settings)
    await asyncio.to_thread(topics_.create)
    bus.declare()
    bridge = Bridge(settings)
    await bridge.start()
    yield bus, topics_, link, bridge
    await asyncio.to_thread(link.heal)
    await bridge.stop()
    bus.close()
    topics_.delete()


@pytest.mark.services
async def test_a_bus_behind_a_dead_connection(bridged: tuple[Bus, Topics, Link, Bridge]) -> None:
    """The heartbeat finds it; what was delivered and not acknowledged comes again."""
    bus, topics_, link, bridge = bridged
    await asyncio.to_thread(bridge_until, lambda: bridge.counters.connected, "a bridge that consumes")
    bus.publish([event(one) for one in entities(3)])
    await asyncio.to_thread(bridge_until, lambda: topics_.count() == 3, "three events")
    await asyncio.to_thread(link.fail, Fault.HALF_OPEN)
    await asyncio.to_thread(bridge_until, lambda: not bridge.counters.connected, "the end of the session")
    bus.publish([event(one) for one in entities(2)])
    await asyncio.to_thread(link.heal)
    await asyncio.to_thread(bridge_until, lambda: topics_.count() >= 5, "all events")
