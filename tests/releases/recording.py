"""Records what a kept release says: its processes run over two simulated regions with some of everything that
can happen, and all that is on its topics and in its tables afterwards is told.

In: the addresses of services, the release's code. Out: messages and rows, with regions named `r1` and `r2`.
Called by `keep-release`; the tests read what it recorded.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pika
from confluent_kafka import Consumer, Producer, TopicPartition
from sqlalchemy import Engine, MetaData, select

from pipeline.core import topics
from pipeline.outbox.engine import open_database
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sandbox.traffic import Traffic, TrafficOptions
from tests.e2e.harness import SYNC, Processes, environment, parts, people, settled, tree, until

CHANGES: Final = 60
PARTITIONS: Final = 4
"""As other tests have it: the topics of all regions may be there."""
JUNK: Final = b"\xffno message"
UNKNOWN_FORM: Final = b'{"v":99,"body":{}}'
POLL_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Services:
    """Where they are; the database is empty."""

    amqp: str
    kafka: str
    database: str


class Released(Processes):
    """Processes of the code below `code`."""

    def __init__(self, code: Path, *args: Any) -> None:
        self._code = code
        super().__init__(*args)

    def environment(self, _name: str = "") -> dict[str, str]:
        return {**environment(), "PYTHONPATH": str(self._code)}

    async def say(self, *words: str) -> None:
        """A command line of that release; plans and comparisons end with 2 where something differs."""
        command = [sys.executable, "-m", "pipeline", *words, "-c", str(self.settings)]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=self.settings.parent, env=self.environment(), capture_output=True
        )
        assert done.returncode in (0, 2), (words, done.stdout, done.stderr)


async def record(code: Path, services: Services, folder: Path) -> dict[str, Any]:
    tag = f"t{uuid.uuid4().hex[:6]}"
    names = (f"{tag}1", f"{tag}2")
    async with simulated_regions(2, services.amqp, names=names) as regions:
        given = {"kafka": services.kafka, "partitions": PARTITIONS}
        configured = tree(regions, services.database, services.amqp, **given)
        first = Released(code, folder, configured, {})
        await first.say("migrate")
        engine = open_database(services.database)
        processes = Released(code, folder, configured, parts(regions))
        try:
            await until(lambda: all(region.calls.reads(SYNC) for region in regions), "the workers start", 90)
            await happen(regions, engine, processes, services)
        except BaseException:
            print(processes.logs(), file=sys.stderr)
            raise
        finally:
            processes.stop()
        told = {"messages": messages(services.kafka, names), "rows": rows(engine)}
        engine.dispose()
    told_plainly: dict[str, Any] = json.loads(json.dumps(told).replace(tag, "r"))
    return told_plainly


async def happen(
    regions: Sequence[SimulatedRegion], engine: Engine, processes: Released, services: Services
) -> None:
    """Changes of all kinds, a conflict, a removal that is held, dead letters, a scan, a plan, a replay."""
    traffic = Traffic(regions, 5, TrafficOptions(silent=False))
    async with people(regions) as (here, there):
        for _ in range(CHANGES):
            await traffic.step()
        await settled(regions, engine)
        sales = await here.domain("sales")
        account = await here.account("acme", sales)
        alice = await here.user("alice", "acme", sales)
        await until(lambda: "ROOT/sales|acme|alice" in regions[1].dump()["users"], "alice")
        await settled(regions, engine)
        processes.kill("hub")
        await here.call("updateUser", id=alice, email="early@example.org")
        await asyncio.sleep(1.1)  # an event's time has whole seconds
        await there.call("updateUser", id=alice, email="late@example.org")
        processes.start("hub")
        await settled(regions, engine)
        junk(services, regions[0])
        regions[1].give(account, vms=400)
        await here.call("deleteAccount", id=account)
        await until(lambda: filled(engine, "hold") and filled(engine, "dead_letter", 3), "a hold, letters")
        first, name = regions[0].name, regions[1].name
        commands = [("sync", sales), ("scan", "--all"), ("plan", "--region", name), ("verify",)]
        for words in (*commands, ("replay", "--region", first, "--from", "beginning")):
            await processes.say(*words)
        await processes.say("holds", "refuse", "1", "--reason", "still in use")
        await until(lambda: not filled_open(engine), "nothing under way")


def junk(services: Services, region: SimulatedRegion) -> None:
    """On every way in."""
    with pika.BlockingConnection(pika.URLParameters(services.amqp)) as connection:
        key = "management-server.ActionEvent.USER-CREATE.User.x"
        connection.channel().basic_publish(region.exchange, key, JUNK)
    producer = Producer({"bootstrap.servers": services.kafka, "partitioner": "murmur2_random"})
    for topic in (*topics.of_region(region.name)[:2], topics.OBSERVATIONS):
        producer.produce(topic, key=region.name, value=JUNK if "events" in topic else UNKNOWN_FORM)
    assert producer.flush(POLL_S) == 0


def messages(bootstrap: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """All that lies on these regions' topics, and what concerns them on the common ones."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex})
    known = consumer.list_topics(timeout=POLL_S).topics
    own = {topic for name in names for topic in topics.of_region(name)}
    found = []
    for topic in sorted(known.keys() & {*own, topics.OBSERVATIONS, topics.DEAD_LETTERS}):
        for partition in known[topic].partitions:
            place = TopicPartition(topic, partition, 0)
            low, high = consumer.get_watermark_offsets(place, timeout=POLL_S)
            consumer.assign([TopicPartition(topic, partition, low)])
            for _ in range(high - low):
                said = consumer.poll(POLL_S)
                assert said is not None and said.error() is None, (topic, said)
                headers = {key: text(value) for key, value in said.headers() or ()}
                one = {
                    "topic": topic,
                    "key": text(said.key()),
                    "headers": headers,
                    "value": text(said.value()),
                }
                if topic in own or any(name in json.dumps(one) for name in names):
                    found.append(one)
    consumer.close()
    return found


def text(value: bytes | None) -> str | None:
    """Of any bytes, to be taken back by `data`."""
    return None if value is None else value.decode("utf-8", "surrogateescape")


def data(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def rows(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Of each table, by its name; bytes as `text` tells them."""
    metadata = MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        return {
            table.name: [
                {name: text(value) if isinstance(value, bytes) else value for name, value in row.items()}
                for row in connection.execute(select(table)).mappings()
            ]
            for table in metadata.sorted_tables
        }


def filled(engine: Engine, table: str, least: int = 1) -> bool:
    return len(rows(engine)[table]) >= least


def filled_open(engine: Engine) -> bool:
    return any(row["state"] in ("pending", "published") for row in rows(engine)["outbox"])
