"""Topics that get more partitions, on a Kafka of their own: what waits comes to where its keys belong, in its
order, also where it was cut off in between; what can't be is refused in one sentence."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from pipeline import growing
from pipeline.agents.publish import PRODUCER
from pipeline.core import topics
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.growing import grow
from pipeline.moving import Mover, home
from pipeline.outbox.engine import migrate
from pipeline.reach import Kafka as Admin
from pipeline.settings import Settings
from tests.services.kafka import Kafka

pytestmark = pytest.mark.services

FEW, MORE = 3, 8
FIRST = "first"
LIMIT_S = 60.0
OPTIONS: Mapping[str, str] = {}
KEYS = [f"{number:08x}-7c8e-4ad6-9a2f-3b1f0c9f2a11".encode() for number in range(30)]
Lying = dict[int, list[tuple[bytes | None, bytes | None]]]
"""Partition → keys and values that the group has not acknowledged, in their order."""


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, services_cache: Path) -> Iterator[str]:
    with Kafka(tmp_path_factory.mktemp("kafka"), services_cache) as own:
        Admin(own.address, OPTIONS).ensure_topics([FIRST], 1)
        limit = time.monotonic() + LIMIT_S
        while not coordinated(own.address):
            assert time.monotonic() < limit
        yield own.address


def coordinated(kafka: str) -> bool:
    """A Kafka that has just started refuses the first who asks for a group."""
    with closing(reader(kafka, "home")) as consumer:
        try:
            return bool(consumer.committed([TopicPartition(FIRST, 0)], timeout=LIMIT_S))
        except KafkaException:
            return False


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Iterator[Settings]:
    """Of one region, with topics of FEW partitions, that are to have MORE."""
    made = a_region(kafka, f"sqlite:///{tmp_path / 'grow.db'}", MORE)
    Admin(kafka, OPTIONS).ensure_topics(names(), FEW)
    yield made
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": "2"})
    for future in admin.delete_topics(names()).values():
        future.result(LIMIT_S)
    limit = time.monotonic() + LIMIT_S
    while Admin(kafka, OPTIONS).sizes(names()):
        assert time.monotonic() < limit
    for group in (topics.HUB_GROUP, topics.region_group("r1")):
        (gone,) = admin.delete_consumer_groups([group]).values()
        error = gone.exception(LIMIT_S)
        assert error is None or error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND


def names() -> list[str]:
    return [topics.OBSERVATIONS, topics.DEAD_LETTERS, *topics.of_region("r1")]


def a_region(kafka: str, database: str, partitions: int) -> Settings:
    region = {"name": "r1", "host": "http://127.0.0.1:1", "api_key": "k", "secret_key": "s"}
    return Settings.model_validate(
        {"kafka": kafka, "database": database, "partitions": partitions, "regions": [region]}
    )


def produce(kafka: str, topic: str, turns: range) -> None:
    """Of each key so many messages, which are numbers that grow."""
    producer = Producer({**PRODUCER, "bootstrap.servers": kafka})
    for turn in turns:
        for key in KEYS:
            producer.produce(topic, str(turn).encode(), key, headers={"turn": str(turn)})
    assert producer.flush(LIMIT_S) == 0


def messages(kafka: str, group: str, topic: str) -> Iterator[Message]:
    """What the group would read."""
    with closing(reader(kafka, group)) as consumer:
        left = {}
        for number in consumer.list_topics(topic, timeout=LIMIT_S).topics[topic].partitions:
            place = TopicPartition(topic, number)
            low, end = bounds(consumer, place)
            at = max(consumer.committed([place], timeout=LIMIT_S)[0].offset, low)
            if at < end:
                left[number] = at, end
        consumer.assign([TopicPartition(topic, number, at) for number, (at, _) in left.items()])
        while left:
            message = consumer.poll(LIMIT_S)
            assert message is not None
            assert message.error() is None
            yield message
            if (message.offset() or 0) + 1 == left[message.partition() or 0][1]:
                del left[message.partition() or 0]


def bounds(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """A broker hears a moment after everybody else that it leads a new partition."""
    limit = time.monotonic() + LIMIT_S
    while True:
        try:
            return consumer.get_watermark_offsets(place, timeout=LIMIT_S)
        except KafkaException:
            if time.monotonic() > limit:
                raise


def waiting(kafka: str, group: str, topic: str) -> Lying:
    found: Lying = defaultdict(list)
    for message in messages(kafka, group, topic):
        found[message.partition() or 0].append((message.key(), message.value()))
    return found


def reader(kafka: str, group: str) -> Consumer:
    own = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest", "log_level": "2"}
    return Consumer({"bootstrap.servers": kafka, **own})


@contextmanager
def somebody_consumes(kafka: str, group: str, topic: str) -> Iterator[None]:
    consumer, given, ended = reader(kafka, group), threading.Event(), threading.Event()

    def go_on() -> None:
        while not ended.is_set():
            consumer.poll(0.1)

    consumer.subscribe([topic], on_assign=lambda *_: given.set())
    polling = threading.Thread(target=go_on)
    polling.start()
    try:
        assert given.wait(LIMIT_S)
        yield
    finally:
        ended.set()
        polling.join()
        consumer.close()


def by_key(lying: Lying) -> dict[bytes | None, list[int]]:
    """The numbers of each key in the order in which they would be read: it lies in one partition alone."""
    found: dict[bytes | None, list[int]] = {}
    for each in lying.values():
        here: dict[bytes | None, list[int]] = defaultdict(list)
        for key, value in each:
            here[key].append(int(value or b"0"))
        assert not found.keys() & here.keys(), "in two partitions"
        found |= here
    return found


@pytest.mark.parametrize("partitions", [1, FEW, MORE, 12, 100])
def test_a_key_s_home_is_where_our_producers_put_it(kafka: str, partitions: int) -> None:
    name = f"home-{partitions}"
    Admin(kafka, OPTIONS).ensure_topics([name], partitions)
    produce(kafka, name, range(1))
    lies = {key: number for number, each in waiting(kafka, "home", name).items() for key, _ in each}
    assert lies == {key: home(key, partitions) for key in KEYS}
    assert home(None, partitions) is None


def test_what_waits_comes_to_its_new_place_in_its_order(kafka: str, settings: Settings) -> None:
    group, name = topics.region_group("r1"), topics.desired("r1")
    produce(kafka, name, range(2))
    acknowledge_all(kafka, group, name)
    produce(kafka, name, range(2, 5))
    said: list[str] = []
    done = grow(settings, said.append)
    lying = waiting(kafka, group, name)
    assert by_key(lying) == {key: [2, 3, 4] for key in KEYS}
    assert all(home(key, MORE) == number for number, each in lying.items() for key, _ in each)
    assert (done.before, done.moved) == (dict.fromkeys(names(), FEW), {name: len(KEYS) * 3})
    assert said == [
        f"5 topics grow to {MORE} partitions",
        f"{name}: 90 messages are where their keys belong now",
    ]
    assert grow(settings, said.append) == growing.Grown(MORE)


def test_headers_and_times_go_along(kafka: str, settings: Settings) -> None:
    """Lags and the gap fill go by them."""
    name = topics.events("r1")
    produce(kafka, name, range(3))
    before = told(kafka, name)
    grow(settings, print)
    assert sorted(told(kafka, name)) == sorted(before)


def told(kafka: str, name: str) -> list[Any]:
    found = messages(kafka, topics.region_group("r1"), name)
    return [(one.key(), one.value(), one.headers(), one.timestamp()) for one in found]


def acknowledge_all(kafka: str, group: str, name: str) -> None:
    with closing(reader(kafka, group)) as consumer:
        places = [TopicPartition(name, number) for number in range(FEW)]
        ends = [TopicPartition(name, place.partition, bounds(consumer, place)[1]) for place in places]
        consumer.commit(offsets=ends, asynchronous=False)


def test_cut_off_after_it_was_written_and_before_it_was_acknowledged(
    kafka: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written twice then, and an older desired state after a newer one is superseded by its version;
    what counts is that none is missing and that a key's last word is its newest."""
    group, name = topics.region_group("r1"), topics.desired("r1")
    produce(kafka, name, range(3))
    with monkeypatch.context() as cut:
        cut.setattr(Mover, "_acknowledge", ended_here)
        with pytest.raises(KeyboardInterrupt):
            grow(settings, print)
    grow(settings, print)
    lying = waiting(kafka, group, name)
    assert by_key(lying) == {key: [0, 1, 2, 0, 1, 2] for key in KEYS}
    assert all(home(key, MORE) == number for number, each in lying.items() for key, _ in each)


def ended_here(*_: object) -> None:
    raise KeyboardInterrupt


def test_cut_off_when_some_of_the_topics_had_grown(kafka: str, settings: Settings) -> None:
    name = topics.desired("r1")
    produce(kafka, name, range(3))
    produce(kafka, topics.OBSERVATIONS, range(1))  # no observations: they become dead letters
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": "2"})
    for future in admin.create_partitions([NewPartitions(name, MORE)]).values():
        future.result(LIMIT_S)
    done = grow(settings, print)
    assert done.before == {one: FEW for one in names() if one != name}
    assert (done.merged, done.moved) == (len(KEYS), {name: len(KEYS) * 3})
    assert by_key(waiting(kafka, topics.region_group("r1"), name)) == {key: [0, 1, 2] for key in KEYS}
    assert waiting(kafka, topics.HUB_GROUP, topics.OBSERVATIONS) == {}


@pytest.mark.parametrize(
    ("group", "name"),
    [(topics.HUB_GROUP, topics.OBSERVATIONS), (topics.region_group("r1"), topics.events("r1"))],
)
def test_nothing_grows_while_a_process_runs(
    kafka: str, settings: Settings, group: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "GONE_LIMIT_S", 0.0)
    with somebody_consumes(kafka, group, name):
        with pytest.raises(TemporaryError) as refused:
            grow(settings, print)
        if name != topics.OBSERVATIONS:
            produce(kafka, name, range(1))
            Admin(kafka, OPTIONS).grow([name], MORE)
            with pytest.raises(TemporaryError, match="stop the hubs and workers and say it again"):
                Mover(kafka, OPTIONS, group).move(name, MORE)
    assert str(refused.value) == f"still consumed by {group} (1): stop the hubs and workers, and say it again"
    assert set(Admin(kafka, OPTIONS).sizes([topics.DEAD_LETTERS]).values()) == {FEW}


def test_who_was_killed_is_waited_for(
    kafka: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka has it in its group until its session is over."""
    monkeypatch.setattr(growing, "LOOK_AT_GROUPS_S", 0.1)
    said: list[str] = []
    with somebody_consumes(kafka, topics.HUB_GROUP, topics.OBSERVATIONS):
        growing_now = threading.Thread(target=grow, args=(settings, said.append))
        growing_now.start()
        limit = time.monotonic() + LIMIT_S
        while not said:
            assert time.monotonic() < limit
            time.sleep(0.01)
    growing_now.join(LIMIT_S)
    assert said[0] == f"waits until nobody consumes any more: {topics.HUB_GROUP} (1)"
    assert said[-1] == f"5 topics grow to {MORE} partitions"


def test_fewer_than_there_are(kafka: str, settings: Settings) -> None:
    fewer = settings.model_copy(update={"partitions": 2})
    with pytest.raises(PermanentError) as refused:
        grow(fewer, print)
    assert str(refused.value) == (
        f"topic {topics.OBSERVATIONS} has {FEW} partitions, the settings say 2: Kafka takes none away"
    )


def test_there_is_nothing_to_grow(kafka: str) -> None:
    with pytest.raises(PermanentError, match="there are no topics yet"):
        grow(a_region(kafka, "sqlite:///none.db", MORE), print)


def test_a_hub_that_ends_says_why(kafka: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing has grown, nothing is lost."""
    produce(kafka, topics.OBSERVATIONS, range(1))
    monkeypatch.setattr(growing, "STILL_LIMIT_S", 0.0)
    monkeypatch.setattr(growing, "LOOK_EVERY_S", 0.0)
    migrate(settings.database.get_secret_value())
    with pytest.raises(TemporaryError, match=f"{len(KEYS)} observations are not merged: nothing moves"):
        grow(settings, print)
    assert set(Admin(kafka, OPTIONS).sizes(names()).values()) == {FEW}
