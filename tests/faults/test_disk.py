"""A disk that is full, under the database and under Kafka: what can't be written waits where it is and says
so once, nothing is acknowledged before it is written, and all goes on when there is room."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, cast

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bridges.kafka import KafkaSink
from bridges.relay import Record
from pipeline.agents.hub import Hub, Place
from pipeline.agents.intake import Taken
from pipeline.agents.merge import Merger
from pipeline.agents.publish import Message, Publisher
from pipeline.core import topics
from pipeline.core.records import Topology
from pipeline.core.retry import Backoff
from pipeline.outbox.engine import Engine, migrate, open_database
from pipeline.outbox.hub import HubStore
from pipeline.outbox.schema import dead_letter
from tests.faults.disk import SmallDisk
from tests.services.kafka import Kafka
from tests.services.mariadb import MariaDB
from tests.services.process import wait_until
from tests.unit.outbox.builders import Clock, rows

LETTERS: Final = 400
LETTER: Final = b"x" * 60_000
LIMIT_S: Final = 120

Open = Callable[[Path], AbstractContextManager[tuple[str, Callable[[], object]]]]
"""A database on that disk: its URL, and what brings it up again."""


@contextmanager
def sqlite_on(disk: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    yield f"sqlite:///{disk / 'store.db'}", lambda: None


@contextmanager
def mariadb_on(disk: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """It may refuse to write more, or end itself, as on tmpfs: then somebody has to start it again."""
    with MariaDB(disk / "mariadb") as server:
        yield server.address, server.start


@pytest.mark.services
@pytest.mark.parametrize(
    ("open_on", "mebibytes"), [(sqlite_on, 64), pytest.param(mariadb_on, 320, marks=pytest.mark.slow)]
)
async def test_what_the_database_has_no_room_for_waits(
    open_on: Open, mebibytes: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="pipeline.agents")
    with SmallDisk(tmp_path / "disk", mebibytes) as disk, open_on(disk.folder) as (url, revive):
        await asyncio.to_thread(migrate, url)
        engine = open_database(url)
        try:
            await _filled_and_emptied(disk, engine, revive)
        finally:
            engine.dispose()
    told = [entry.getMessage() for entry in caplog.records if "trying again" in entry.getMessage()]
    assert told and all(words.startswith("dead letter: database: ") for words in told)
    assert any("works again" in entry.getMessage() for entry in caplog.records)


async def _filled_and_emptied(disk: SmallDisk, engine: Engine, revive: Callable[[], object]) -> None:
    store = HubStore(engine, Clock())
    place = Place("log", Clock(), frozenset({"r1"}))
    hub = Hub(store, Merger(store, Topology(("r1",))), cast(Publisher, None), place)
    hub.guard.backoff = Backoff(first_s=0.02, cap_s=0.2)
    acknowledged: set[int] = set()

    async def take(number: int) -> None:
        done = Taken((topics.DEAD_LETTERS, 0), number, None, LETTER, {}, lambda: acknowledged.add(number))
        await hub.take_dead_letter(done)

    async def all_of_them() -> None:
        for number in range(LETTERS):
            await take(number)

    await take(0)
    disk.fill()
    work = asyncio.create_task(all_of_them())
    async with asyncio.timeout(LIMIT_S):
        while not hub.guard.waiting and not work.done():
            await asyncio.sleep(0.01)
    assert not work.done(), "the disk was not full"
    so_far = set(acknowledged)
    disk.empty()
    await asyncio.to_thread(revive)
    async with asyncio.timeout(LIMIT_S):
        await work
    kept = [one["offset"] for one in rows(engine, dead_letter)]
    assert sorted(kept) == list(range(LETTERS)), "each once"
    assert so_far < acknowledged == set(kept)


@pytest.mark.slow
@pytest.mark.services
def test_what_kafka_has_no_room_for_waits(
    tmp_path: Path, services_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker whose log can't be written ends itself; its supervisor starts it again when there is room."""
    caplog.set_level(logging.INFO)
    with SmallDisk(tmp_path / "disk", 160) as disk, Kafka(disk.folder / "kafka", services_cache) as kafka:
        _topic(kafka.address)
        sink = KafkaSink(kafka.address, {"reconnect.backoff.max.ms": "500"}, 10_000)
        reports: dict[int, str | None] = {}
        try:
            _send(sink, range(1), reports)
            _poll(sink, lambda: 0 in reports)
            disk.fill()
            asyncio.run(_through_a_full_disk(disk, kafka, sink, reports))
        finally:
            sink.close()
        assert set(reports.values()) == {None}
        seen = _read(kafka.address)
        assert set(reports) <= seen
        assert -1 in seen, "what the agents published too"
    words = [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert sum(one.startswith("Kafka does not take events") for one in words) == 1
    assert sum(one.startswith("Kafka does not take messages") for one in words) == 1


async def _through_a_full_disk(
    disk: SmallDisk, kafka: Kafka, sink: KafkaSink, reports: dict[int, str | None]
) -> None:
    publisher = Publisher(kafka.address, {"reconnect.backoff.max.ms": "500"})
    try:
        _send(sink, range(1, 2_000), reports)
        await asyncio.to_thread(_poll, sink, lambda: not kafka.running())
        told = len(reports)
        message = Message("disk", b"k", b"-1" + LETTER[:20_000])
        published = asyncio.create_task(publisher.publish([message]))
        await asyncio.to_thread(_poll, sink, lambda: publisher._failing)
        assert told < 2_000
        assert not published.done()
        disk.empty()
        await asyncio.to_thread(kafka.start)
        await asyncio.to_thread(_poll, sink, lambda: sink.waiting == 0)
        async with asyncio.timeout(LIMIT_S):
            await published
    finally:
        publisher.close()


def _topic(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic("disk", 1, 1)]).values():
        made.result(30)


def _send(sink: KafkaSink, numbers: range, reports: dict[int, str | None]) -> None:
    for number in numbers:
        value = str(number).encode() + b" " + LETTER[:20_000]
        sink.send(Record("disk", b"k", value, []), lambda outcome, n=number: reports.update({n: outcome}))


def _poll(sink: KafkaSink, condition: Callable[[], bool]) -> None:
    def met() -> bool:
        sink.poll()
        return condition()

    wait_until(met, LIMIT_S, "Kafka")


def _read(bootstrap: str) -> set[int]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "disk", "enable.auto.commit": False})
    place = TopicPartition("disk", 0, 0)
    _, end = consumer.get_watermark_offsets(place, timeout=30)
    consumer.assign([place])
    seen: set[int] = set()
    until, at = time.monotonic() + LIMIT_S, 0
    while at < end and time.monotonic() < until:
        for message in consumer.consume(500, timeout=1.0):
            assert message.error() is None
            seen.add(int((message.value() or b"").rstrip(b"x").strip()))
            at = (message.offset() or 0) + 1
    consumer.close()
    return seen
