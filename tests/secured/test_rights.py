"""What each process needn't do, it can't: in the database, in Kafka, on the bus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pika
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from pika.exceptions import ChannelClosedByBroker
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bridges.address import Trust, parameters
from pipeline.core import topics
from pipeline.core.errors import TemporaryError
from pipeline.moving import Mover, home
from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.schema import metadata
from pipeline.reach import Kafka
from tests.secured import canaries
from tests.secured.installation import options
from tests.secured.services import Secured

pytestmark = pytest.mark.services

DENIED = (1142, 1143, 1044, 1045, 3159)
"""A table, a column, a database, a log-in that is not ours; a connection without TLS (MariaDB's error
numbers)."""
OF_NOBODY = "WHERE 1 = 0"


def refused(secured: Secured, user: str, statement: str) -> bool:
    return refused_at(secured.mariadb.url(user, canaries.DATABASE), statement)


def refused_at(url: str, statement: str = "SELECT 1") -> bool:
    engine = open_database(url)
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
            connection.rollback()
        return False
    except DBAPIError as error:
        assert error.orig is not None and error.orig.args[0] in DENIED, error
        return True
    finally:
        engine.dispose()


READ = [f"SELECT * FROM {name} LIMIT 1" for name in metadata.tables]


@pytest.mark.parametrize(
    ("user", "statement"),
    [
        *(
            ("worker", statement)
            for statement in (
                f"DELETE FROM conflict {OF_NOBODY}",
                f"UPDATE conflict SET field = '' {OF_NOBODY}",
                f"DELETE FROM entity {OF_NOBODY}",
                f"DELETE FROM outbox {OF_NOBODY}",
                f"DELETE FROM audit {OF_NOBODY}",
                f"UPDATE audit SET reason = '' {OF_NOBODY}",
                f"DELETE FROM attempt {OF_NOBODY}",
                f"DELETE FROM decision {OF_NOBODY}",
                "DROP TABLE outbox",
                "CREATE TABLE mine (id INT)",
                "SELECT * FROM mysql.user",
            )
        ),
        *(
            ("operator", f"UPDATE {name} SET {next(iter(table.columns)).name} = NULL {OF_NOBODY}")
            for name, table in metadata.tables.items()
        ),
        *(("operator", f"DELETE FROM {name} {OF_NOBODY}") for name in metadata.tables),
        *(("bridge", one) for one in READ if " watermark " not in one),
        ("bridge", f"DELETE FROM watermark {OF_NOBODY}"),
        ("hub", "CREATE DATABASE another"),
        ("hub", "SELECT * FROM mysql.user"),
    ],
)
def test_the_database_refuses(granted: Secured, user: str, statement: str) -> None:
    assert refused(granted, user, statement)


@pytest.mark.parametrize("user", ["worker", "operator"])
def test_the_database_shows_what_the_pages_show(granted: Secured, user: str) -> None:
    assert not any(refused(granted, user, one) for one in READ)


@pytest.mark.parametrize("user", ["worker", "bridge"])
def test_a_start_beside_existing_tables_needs_no_right_to_make_them(granted: Secured, user: str) -> None:
    migrate(granted.mariadb.url(user, canaries.DATABASE))


def test_nobody_gets_in_without_tls(granted: Secured) -> None:
    url = granted.mariadb.url("worker", canaries.DATABASE).partition("?")[0]
    assert refused_at(f"{url}?ssl_disabled=true")


def write(secured: Secured, user: str, topic: str) -> bool:
    """Whether Kafka took a message from this user."""
    outcome: list[Any] = []
    producer = Producer(
        {
            **options(secured, user),
            "bootstrap.servers": secured.kafka.address,
            "message.timeout.ms": "15000",
            "log_level": "0",
        }
    )
    producer.produce(topic, b"{}", b"key", on_delivery=lambda error, _message: outcome.append(error))
    producer.flush(20)
    (error,) = outcome
    assert error is None or "authorization" in error.str().lower(), error
    return error is None


def read(secured: Secured, user: str, topic: str) -> bool:
    """Whether Kafka lets this user read."""
    consumer = Consumer(
        {
            **options(secured, user),
            "bootstrap.servers": secured.kafka.address,
            "group.id": "region-sync.gap-fill",
            "enable.auto.commit": False,
            "log_level": "0",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = consumer.poll(20)
        assert found is not None, "Kafka said nothing"
        error = found.error()
        return error is None or "authorization" not in error.str().lower()
    finally:
        consumer.close()


EVENTS, DESIRED, REVOKE = topics.events, topics.desired, topics.revoke
MAY: list[tuple[Callable[..., bool], str, str, bool]] = [
    (write, "bridge-r1", EVENTS("r1"), True),
    (write, "bridge-r1", topics.DEAD_LETTERS, True),
    (write, "bridge-r1", EVENTS("r2"), False),
    (write, "bridge-r1", DESIRED("r1"), False),
    (write, "bridge-r1", topics.OBSERVATIONS, False),
    (read, "bridge-r1", EVENTS("r1"), False),
    (read, "bridge-r1", topics.OBSERVATIONS, False),
    (read, "worker-r1", EVENTS("r1"), True),
    (read, "worker-r1", DESIRED("r1"), True),
    (read, "worker-r1", REVOKE("r1"), True),
    (write, "worker-r1", REVOKE("r1"), True),
    (read, "worker-r1", REVOKE("r2"), False),
    (write, "worker-r1", REVOKE("r2"), False),
    (write, "worker-r1", topics.OBSERVATIONS, True),
    (read, "worker-r1", DESIRED("r2"), False),
    (write, "worker-r1", DESIRED("r2"), False),
    (write, "worker-r1", EVENTS("r2"), False),
    (read, "worker-r1", topics.OBSERVATIONS, False),
    (read, "hub", topics.OBSERVATIONS, True),
    (write, "hub", DESIRED("r2"), True),
    (write, "hub", REVOKE("r2"), True),
    (read, "hub", REVOKE("r1"), False),
    (write, "bridge-r1", REVOKE("r1"), False),
    (read, "hub", DESIRED("r1"), False),
    (read, "hub", EVENTS("r1"), False),
    (write, "operator", EVENTS("r1"), True),
    (write, "operator", DESIRED("r1"), False),
    (write, "operator", topics.OBSERVATIONS, False),
    (read, "operator", EVENTS("r1"), False),
]


@pytest.mark.parametrize(("deed", "user", "topic", "may"), MAY)
def test_kafka(granted: Secured, deed: Callable[..., bool], user: str, topic: str, may: bool) -> None:
    assert deed(granted, user, topic) is may


def test_who_has_topics_grow_may_do_that_and_others_may_not(granted: Secured) -> None:
    """In a region of its own: the tests beside it count on the partitions that there are."""
    name, group = topics.desired("growing"), topics.region_group("growing")
    reach = {user: options(granted, user) for user in ("hub", "worker-r1", "operator", "grow")}
    address = granted.kafka.address
    Kafka(address, reach["hub"]).ensure_topics([name], 2)
    assert write(granted, "hub", name)
    for user in ("hub", "worker-r1", "operator"):
        with pytest.raises(TemporaryError, match="authorization"):
            Kafka(address, reach[user]).grow([name], 7)
    growing = Kafka(address, reach["grow"])
    assert growing.members([group]) == {}
    growing.grow([name], 7)
    assert growing.sizes([name]) == {name: 7}
    mover = Mover(address, reach["grow"], group)
    assert home(b"key", 2) != home(b"key", 7)
    assert (mover.move(name, 7), mover.move(name, 7)) == (1, 0)
    assert list(mover.waiting(name, 7)) == [home(b"key", 7)]
    assert read(granted, "grow", topics.OBSERVATIONS)


@pytest.fixture
def bridge(secured: Secured) -> Iterator[pika.BlockingConnection]:
    trust = Trust(str(secured.authority.ca))
    connection = pika.BlockingConnection(parameters(secured.rabbitmq.url("bridge-r1"), trust))
    yield connection
    with suppress(pika.exceptions.AMQPError):
        connection.close()


def test_a_bridge_has_no_other_region_s_queue(bridge: pika.BlockingConnection) -> None:
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        bridge.channel().queue_declare("region-sync.r2", durable=True)


def test_a_bridge_hears_no_other_region(secured: Secured, bridge: pika.BlockingConnection) -> None:
    authority = Trust(str(secured.authority.ca))
    administrator = pika.BlockingConnection(parameters(secured.rabbitmq.address, authority))
    for name in ("cloudstack-events-r1", "cloudstack-events-r2"):
        administrator.channel().exchange_declare(name, "topic", durable=True)
    administrator.close()
    channel = bridge.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "cloudstack-events-r1", "#")
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        channel.queue_bind(queue, "cloudstack-events-r2", "#")
