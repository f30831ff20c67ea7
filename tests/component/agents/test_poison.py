"""Messages that nobody can read, between good ones: they stop nobody, they are kept whole, and when there are
too many the consumer stops instead of making dead letters of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import select

from pipeline import wire
from pipeline.agents.hub import Hub, Place
from pipeline.agents.intake import Taken
from pipeline.agents.publish import Message, Publisher
from pipeline.agents.region import RegionWorker
from pipeline.app import Wiring, hub_app
from pipeline.cloudstack.errors import Garbled, Refused
from pipeline.core import topics
from pipeline.core.entities import FIELDS, Kind, Snapshot
from pipeline.core.events import hint
from pipeline.core.quota import WINDOW_S
from pipeline.core.records import Desired, Observation
from pipeline.outbox.listing import LetterRow
from pipeline.outbox.schema import dead_letter, entity
from pipeline.views.requeue import again
from tests.component.agents.embedded import QUIET, Stage, staged, until
from tests.component.agents.rig import FAR, HERE, Rig, Topics
from tests.unit.agents.regions import domain, user
from tests.unit.hostile.junk import BOMBS, within
from tests.unit.outbox.builders import NOW, rows

POISON = [
    b"",
    b"\xff not UTF-8",
    b'{"v":1,"body":',
    b'{"v":2,"body":{}}',
    within(b'{"v":1,"body":{"x":?}}', BOMBS["a deep list that ends"]),
    within(b'{"event":"USER.UPDATE","entity":"User","x":?}', BOMBS["a deep object"]),
]
UNSOUND = wire.encode(Observation(FAR, Kind.USER, "u", {"name": "n"}, NOW))
NOT_OURS = wire.encode(Observation("r9", Kind.USER, "u", None, NOW))
OFFSETS = count()


class Time:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def taken(topic: str, value: bytes, acknowledged: list[bytes], key: bytes = b"k") -> Taken:
    return Taken((topic, 0), next(OFFSETS), key, value, {}, lambda: acknowledged.append(value))


def letters(kafka: Topics) -> list[bytes]:
    found = kafka.take(topics.DEAD_LETTERS)
    assert all(one.headers[topics.HEADER_REASON] for one in found)
    return [one.value for one in found]


async def test_poison_among_events_stops_nobody(rig: Rig) -> None:
    made = [await rig.api.domain(f"d{number}") for number in range(3)]
    topic, done = topics.events(HERE), list[bytes]()
    for uuid in made:
        await rig.worker.take_event(taken(topic, hint(Kind.DOMAIN, uuid, NOW), done))
        for poison in POISON:
            await rig.worker.take_event(taken(topic, poison, done))
    await until(lambda: len(done) == 3 * (1 + len(POISON)), "all are acknowledged")
    assert letters(rig.kafka) == POISON * 3
    assert sorted(one.uuid for one in rig.observed()) == sorted(made)


async def test_poison_among_desired_states_stops_nobody(rig: Rig) -> None:
    wanted = rig.merge(domain(FAR, "one"), domain(FAR, "two"))
    topic, done = topics.desired(HERE), list[bytes]()
    bad = [*POISON, wire.encode(replace(wanted[0], region=FAR)), wire.encode(replace(wanted[0], version=-1))]
    bad.append(wire.encode(Desired(HERE, Kind.USER, "u", 1, {"name": "n"}, None)))
    for one in wanted:
        await rig.worker.take_desired(taken(topic, wire.encode(one), done, one.uuid.encode()))
        for poison in bad:
            await rig.worker.take_desired(taken(topic, poison, done))
    await rig.worker.take_desired(taken(topic, wire.encode(wanted[0]), done, b"\xff no key"))
    await until(lambda: len(done) == 2 * (1 + len(bad)) + 1, "all are acknowledged")
    assert letters(rig.kafka) == [*bad * 2, wire.encode(wanted[0])]
    assert {rig.outbox(one)["state"] for one in wanted} == {"delivered"}


def hub_of(rig: Rig, kafka: Topics, per_minute: int = 60) -> Hub:
    place = Place("log", rig.clock, frozenset((FAR, HERE)), letters_per_minute=per_minute)
    return Hub(rig.hub, rig.merger, cast(Publisher, kafka), place)


async def test_poison_among_observations_stops_nobody(rig: Rig) -> None:
    kafka, done = Topics(), list[bytes]()
    hub, bad = hub_of(rig, kafka), [*POISON, UNSOUND, NOT_OURS]
    running = asyncio.create_task(hub.run(50))
    for name in ("one", "two", "three"):
        await hub.take(taken(topics.OBSERVATIONS, wire.encode(domain(FAR, name)), done))
        for poison in bad:
            await hub.take(taken(topics.OBSERVATIONS, poison, done))
    await until(lambda: len(done) == 3 * (1 + len(bad)) or running.done(), "all are acknowledged")
    assert not running.done()
    running.cancel()
    assert letters(kafka) == bad * 3
    assert len(kafka.take(topics.desired(HERE))) == 3


async def test_two_kinds_under_one_uuid_stop_nobody(rig: Rig) -> None:
    rig.merge(domain(FAR, "x"))
    assert rig.merge(user(FAR, "x", parent="a"), domain(FAR, "y"))[0].uuid == "y"
    assert rig.hub.load(["x"])["x"].record.kind is Kind.DOMAIN


@pytest.mark.parametrize(
    "error", [Refused("no such right", status=432, command="listUsers"), Garbled("a User has no id")], ids=str
)
async def test_what_the_region_refuses_to_tell_is_a_dead_letter_that_can_be_put_back(
    error: Exception, rig: Rig
) -> None:
    """Before, it ended the worker, and the next one, and the next."""
    made = [await rig.api.domain(name) for name in ("bad", "good")]
    real, refused = rig.desk.resources.read, {made[0]}

    async def read(kind: Kind, uuid: str) -> Snapshot:
        if uuid in refused:
            raise error
        return await real(kind, uuid)

    rig.desk.resources.read = read  # type: ignore[method-assign]
    topic, done = topics.events(HERE), list[bytes]()
    bodies = [hint(Kind.DOMAIN, uuid, NOW) for uuid in made]
    for body, uuid in zip(bodies, made, strict=True):
        await rig.worker.take_event(taken(topic, body, done, uuid.encode()))
    await until(lambda: len(done) == 2, "both are acknowledged")
    assert [one.uuid for one in rig.observed()] == made[1:]
    [letter] = rig.kafka.take(topics.DEAD_LETTERS)
    assert (letter.value, letter.headers[topics.HEADER_REASON]) == (bodies[0], str(error))
    refused.clear()
    row = LetterRow(1, "", 0, 0, letter.headers[topics.HEADER_REGION], "", "", letter.value, NOW)
    to, key, value = again(row)
    assert (to, key) == (topic, made[0].encode())
    await rig.worker.take_event(taken(to, value, done, key))
    await until(lambda: len(done) == 3, "it is read now")
    assert [one.uuid for one in rig.observed()] == made[:1]


# --- too many


def limited(rig: Rig, per_minute: int, time: Time) -> RegionWorker:
    worker = RegionWorker(rig.desk, 4, letters_per_minute=per_minute)
    for one in (worker.events, worker.desired):
        one._clock = time
    rig.begin_with(worker)
    return worker


async def fed(take: Callable[[Taken], Any], messages: Sequence[Taken]) -> None:
    """As one agent does: one after the other."""
    for one in messages:
        await take(one)


async def test_too_many_stop_the_topic_and_not_its_neighbour_and_time_opens_it(rig: Rig) -> None:
    await rig.end()
    time, done = Time(), list[bytes]()
    worker = limited(rig, 3, time)
    made = await rig.api.domain("good")
    bad = [b"poison %d" % number for number in range(5)]
    events = [taken(topics.events(HERE), one, done) for one in [*bad, hint(Kind.DOMAIN, made, NOW)]]
    feeding = asyncio.create_task(fed(worker.take_event, events))
    await until(lambda: worker.events.stopped is not None, "it stops")
    (wanted,) = rig.merge(domain(FAR, "other"))
    await rig.give(wanted)
    assert rig.outbox(wanted)["state"] == "delivered", "desired states are applied meanwhile"
    assert done[:3] == bad[:3] and bad[3] not in done, "what is not taken is not acknowledged"
    assert letters(rig.kafka) == bad[:3]
    assert worker.desired.stopped is None
    assert str(worker.events.stopped).startswith(f"nothing is taken from {topics.events(HERE)} for 60 s: 3 ")
    time.now += WINDOW_S
    await until(lambda: events[-1].value in done, "the rest is taken")
    await feeding
    assert letters(rig.kafka) == bad[3:]
    assert made in {one.uuid for one in rig.observed()}


async def test_a_partition_that_is_given_away_meanwhile_is_another_worker_s(rig: Rig) -> None:
    await rig.end()
    time, done = Time(), list[bytes]()
    worker = limited(rig, 1, time)
    messages = [taken(topics.events(HERE), b"poison %d" % number, done) for number in range(2)]
    feeding = asyncio.create_task(fed(worker.take_event, messages))
    await until(lambda: worker.events.stopped is not None, "it stops")
    await asyncio.sleep(0)
    worker.give_up({(topics.events(HERE), 0)})
    time.now += WINDOW_S
    await feeding
    assert letters(rig.kafka) == [b"poison 0"]
    assert done == [b"poison 0"]


async def test_the_hub_merges_what_is_good_before_it_stops(rig: Rig) -> None:
    kafka, done, time = Topics(), list[bytes](), Time()
    hub = hub_of(rig, kafka, per_minute=2)
    hub.letters._clock = time
    good = [wire.encode(domain(FAR, name)) for name in ("one", "two")]
    for value in (b"bad 1", good[0], b"bad 2", b"bad 3", good[1], b"bad 4"):
        await hub.take(taken(topics.OBSERVATIONS, value, done))
    running = asyncio.create_task(hub.run(50))
    await until(lambda: hub.letters.stopped is not None, "it stops")
    assert len(kafka.take(topics.desired(HERE))) == 2
    assert letters(kafka) == [b"bad 1", b"bad 2"]
    assert done == [], "the batch is not acknowledged before all of it is done with"
    time.now += WINDOW_S
    await until(lambda: len(done) == 6, "the rest is taken")
    assert letters(kafka) == [b"bad 3", b"bad 4"]
    running.cancel()


async def test_a_region_that_was_left_out_stops_nobody(rig: Rig) -> None:
    kafka, done = Topics(), list[bytes]()
    hub = hub_of(rig, kafka, per_minute=2)
    running = asyncio.create_task(hub.run(50))
    said = [wire.encode(domain("left-out", f"d{number}")) for number in range(9)]
    for value in (*said, wire.encode(domain(FAR, "one"))):
        await hub.take(taken(topics.OBSERVATIONS, value, done))
    await until(lambda: len(done) == 10, "all are acknowledged")
    assert hub.letters.stopped is None
    assert letters(kafka) == said
    assert len(kafka.take(topics.desired(HERE))) == 1
    running.cancel()


# --- in earnest: Faust, a broker, restarts


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as one:
        yield one


def buried(stage: Stage) -> list[bytes]:
    """All that lies on the topic of dead letters."""
    found: list[bytes] = []
    consumer = Consumer({"bootstrap.servers": stage.wiring.brokers, "group.id": "letters", **QUIET})
    try:
        for number, end in stage.progress.ends(topics.DEAD_LETTERS).items():
            consumer.assign([TopicPartition(topics.DEAD_LETTERS, number, 0)])
            for _ in range(end):
                message = consumer.poll(10)
                assert message is not None and message.error() is None
                found.append(message.value() or b"")
    finally:
        consumer.close()
    return found


async def test_a_stop_loses_nothing_and_a_mended_worker_goes_on_from_there(stage: Stage) -> None:
    stage.region.load(2, 0, 0)
    uuids = [one.uuid for one in stage.region.region.world.domains.values() if one.level]
    bad = [b"poison %d" % number for number in range(12)]
    topic = topics.events(stage.name)
    hints = [hint(Kind.DOMAIN, uuid, NOW) for uuid in uuids]
    stream = [hints[0], *bad[:6], hints[1], *bad[6:]]
    await stage.publisher.publish([Message(topic, b"one key", value) for value in stream])
    strict = replace(stage, settings=stage.settings.model_copy(update={"dead_letters_per_minute": 3}))
    app = await strict.worker()
    of_events = next(one for one in stage.wiring.letters if one.topic == topic)
    await until(lambda: of_events.stopped is not None, "it stops")
    assert await asyncio.to_thread(buried, stage) == bad[:3]
    assert sum(stage.committed(topic).values()) <= 4, "what follows is not acknowledged"
    assert stage.wiring.health.live().ok
    assert f'region_sync_consumer_stopped{{topic="{topic}"}} 1.0' in stage.wiring.instruments.text().decode()
    await app.stop()
    assert sum(stage.committed(topic).values()) <= 4

    mended = await replace(stage, wiring=fresh(stage)).worker()
    await until(stage.worked_off, "everything is taken")
    await mended.stop()
    found = await asyncio.to_thread(buried, stage)
    assert set(found) == set(bad), "each is kept whole"
    assert {one.uuid for one in await asyncio.to_thread(stage.observations)} == set(uuids)


def fresh(stage: Stage) -> Wiring:
    """As another process has it: with counters of its own."""
    wiring = stage.wiring
    return Wiring(wiring.brokers, wiring.engine, wiring.epoch, wiring.kafka_options, embedded=wiring.embedded)


async def test_poison_is_in_the_table_whole_and_the_good_is_merged(stage: Stage) -> None:
    app = hub_app(stage.settings, stage.wiring)
    app.finalize()
    await app.start()
    fields = dict.fromkeys(FIELDS[Kind.DOMAIN], "x") | {"parent": "ROOT"}
    good = [
        wire.encode(Observation(stage.name, Kind.DOMAIN, f"d{n}", fields | {"name": f"n{n}"}, NOW))
        for n in (1, 2)
    ]
    bad = [b"poison", UNSOUND, b"\0" * 500]
    for value in (good[0], *bad, good[1]):
        await stage.publisher.publish([Message(topics.OBSERVATIONS, b"one key", value)])
    engine = stage.wiring.engine

    def kept() -> list[bytes]:
        with engine.connect() as connection:
            return [bytes(one) for one in connection.execute(select(dead_letter.c.body)).scalars()]

    await until(lambda: asyncio.to_thread(lambda: len(kept()) == 3), "the letters are in the table")
    assert sorted(kept()) == sorted(bad)
    known = partial(stage_records, stage)
    await until(lambda: asyncio.to_thread(lambda: known() == {"d1", "d2"}), "the good ones are merged")
    await app.stop()


def stage_records(stage: Stage) -> set[str]:
    return {str(one["uuid"]) for one in rows(stage.wiring.engine, entity)}
