"""What waits in a group's topics, brought to where its keys belong when a topic has got more partitions.

In: a broker's address, a group that nobody is in. Out: how many messages were moved. Called by `growing`.
Kafka leaves what a topic holds where it is, while a key's next message goes to another partition: two workers
would have one entity, and the newer message could be read before the older one. So what nobody has
acknowledged is written again, in its order, and the group acknowledges it where it was. Ended in between, it
is written once more the next time: events and desired states may come twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Final

from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from pipeline.agents.publish import PRODUCER
from pipeline.core.errors import TemporaryError
from pipeline.core.stall import Place
from pipeline.progress import Places

ANSWER_LIMIT_S: Final = 20.0
AGAIN_S: Final = 0.2
SILENT_S: Final = 30.0
"""So long without a message, though Kafka says that there are more: it is in trouble."""
FULL_WAIT_S: Final = 1.0
READING: Final = {"enable.auto.commit": False, "auto.offset.reset": "error", "fetch.wait.max.ms": 50}


def home(key: bytes | None, partitions: int) -> int | None:
    """The partition of a topic with so many in which all of our producers put this key; None: any."""
    numbers = range(partitions)
    return None if key is None else int(DefaultPartitioner()(key, numbers, numbers))


class Mover:
    """For one group. Not for the event loop: every method waits for the network. Raises `TemporaryError`."""

    def __init__(self, brokers: str, options: Mapping[str, str], group: str) -> None:
        self._reach = {**options, "bootstrap.servers": brokers, "log_level": "2"}
        self._places = Places(brokers, options, group)
        self._group = group

    def close(self) -> None:
        self._places.close()

    def waiting(self, topic: str, partitions: int) -> dict[int, Place]:
        """Of the partitions in which the group has not acknowledged all."""
        found = self._ask([(topic, number) for number in range(partitions)])
        return {number: place for (_, number), place in found.items() if place.committed < place.end}

    def move(self, topic: str, partitions: int) -> int:
        """Has each message that waits lie where its key belongs in a topic of so many partitions. Again is no
        harm: partitions in which all do stay as they are."""
        places = self.waiting(topic, partitions)
        wrong = {one.partition() for one in self._read(topic, places) if _is_astray(one, partitions)}
        astray = {number: place for number, place in places.items() if number in wrong}
        if not astray:
            return 0
        taken = _Taken()
        producer = Producer({**PRODUCER, **self._reach})
        try:
            for message in self._read(topic, astray):
                _write_again(producer, topic, message, taken)
            producer.flush()
        finally:
            producer.purge()  # cut short: or closing would wait for what Kafka does not take
            producer.close()
        taken.check()
        self._acknowledge(topic, astray)
        return taken.count

    def _ask(self, places: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], Place]:
        """The broker that leads a new partition does not know it yet for a moment."""
        limit = time.monotonic() + ANSWER_LIMIT_S
        while True:
            try:
                return self._places.read(places)
            except TemporaryError:
                if time.monotonic() > limit:
                    raise
                time.sleep(AGAIN_S)

    def _read(self, topic: str, places: Mapping[int, Place]) -> Iterator[Message]:
        """From what was acknowledged to where each partition ended when it was asked; its order is kept."""
        left = dict(places)
        with closing(Consumer({**self._reach, **READING, "group.id": self._group})) as consumer:
            consumer.assign([TopicPartition(topic, number, one.committed) for number, one in left.items()])
            while left:
                message = consumer.poll(SILENT_S)
                if message is None or message.error() is not None:
                    raise TemporaryError(f"Kafka: {topic} cannot be read to its end")
                number, after = message.partition() or 0, (message.offset() or 0) + 1
                if number not in left:
                    continue
                yield message
                if after >= left[number].end:
                    del left[number]

    def _acknowledge(self, topic: str, places: Mapping[int, Place]) -> None:
        """Only where nobody is in the group: Kafka refuses it else."""
        ends = [TopicPartition(topic, number, place.end) for number, place in places.items()]
        with closing(Consumer({**self._reach, "group.id": self._group})) as consumer:
            try:
                consumer.commit(offsets=ends, asynchronous=False)
            except KafkaException as error:
                raise TemporaryError(
                    f"{self._group} is consumed by somebody: stop the hubs and workers and say it again "
                    f"({error.args[0].str()})"
                ) from error


class _Taken:
    """Counts what Kafka has taken."""

    def __init__(self) -> None:
        self.count = 0
        self._error: KafkaError | None = None

    def reported(self, error: KafkaError | None, _message: Message) -> None:
        self.count += error is None
        self._error = self._error or error

    def check(self) -> None:
        if self._error is not None:
            raise TemporaryError(f"Kafka did not take it: {self._error.str()}")


def _is_astray(message: Message, partitions: int) -> bool:
    return home(message.key(), partitions) not in (None, message.partition())


def _write_again(producer: Producer, topic: str, message: Message, taken: _Taken) -> None:
    """With the time that it had: lags and the gap fill go by it."""
    while True:
        try:
            producer.produce(
                topic,
                message.value(),
                message.key(),
                headers=message.headers(),
                timestamp=message.timestamp()[1],
                on_delivery=taken.reported,
            )
            producer.poll(0)
            return
        except BufferError:
            producer.poll(FULL_WAIT_S)
