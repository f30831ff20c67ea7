"""The producer's promises, on librdkafka's own mock cluster: Kafka's protocol without a broker."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from confluent_kafka import Consumer, KafkaError, Producer

from bridges.kafka import KafkaSink, Unread
from bridges.relay import BrokenSink, Record
from pipeline.core import topics
from tests.services.process import free_port

LIMIT_S = 90.0


@pytest.fixture
def broker() -> Iterator[str]:
    cluster = Producer({"bootstrap.servers": "x", "test.mock.num.brokers": 1})
    brokers = cluster.list_topics(timeout=LIMIT_S).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)


def poll_until(sink: KafkaSink, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < deadline, "the sink did not get there"
        sink.poll()
        time.sleep(0.005)


def record(number: int, size: int = 10) -> Record:
    return Record(topics.events("r1"), f"key-{number}".encode(), bytes(size), [("region", "r1")])


def test_records_are_reported_once_each(broker: str) -> None:
    sink = KafkaSink(broker, {}, 100)
    reports: list[tuple[int, str | None]] = []
    for number in range(50):
        sink.send(record(number), lambda refusal, number=number: reports.append((number, refusal)))  # type: ignore[misc]
    assert sink.waiting == 50
    assert reports == [], "a report outside poll"
    poll_until(sink, lambda: sink.waiting == 0)
    assert sorted(reports) == [(number, None) for number in range(50)]
    sink.close()


def test_a_record_over_the_limit_is_refused_not_sent_again(broker: str) -> None:
    sink = KafkaSink(broker, {"message.max.bytes": "2000"}, 100)
    reports: list[str | None] = []
    sink.send(record(1, 5000), reports.append)
    poll_until(sink, lambda: sink.waiting == 0)
    [reason] = reports
    assert reason is not None and "Message size too large" in reason
    assert sink.max_bytes == 2000
    sink.close()


def test_what_times_out_is_sent_again_until_kafka_is_there(
    broker: str, caplog: pytest.LogCaptureFixture
) -> None:
    """message.timeout.ms drops the record in librdkafka: it must not be lost with that."""
    caplog.set_level("DEBUG", logger="bridges.kafka")
    port = free_port()
    sink = KafkaSink(
        f"127.0.0.1:{port}", {"message.timeout.ms": "300", "reconnect.backoff.max.ms": "200"}, 100
    )
    reports: list[str | None] = []
    sink.send(record(1), reports.append)
    poll_until(sink, lambda: any("timed out" in entry.message for entry in caplog.records))
    assert (reports, sink.waiting) == ([], 1)
    with forwarding(port, broker):
        poll_until(sink, lambda: sink.waiting == 0)
    assert reports == [None]
    told = [entry.message for entry in caplog.records if entry.levelname != "DEBUG"]
    assert told[0].startswith("Kafka does not take events")
    assert told[1:] == ["Kafka takes events again"], "an outage is told once, and its end"
    sink.close()


@contextmanager
def forwarding(port: int, target: str) -> Iterator[None]:
    """A bootstrap address that was dead comes to life; the brokers it names are the target's own."""
    host, target_port = target.split(":")
    listener = socket.create_server(("127.0.0.1", port))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with source, sink, suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                upstream = socket.create_connection((host, int(target_port)))
                for pair in ((client, upstream), (upstream, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_a_full_queue_makes_records_wait(broker: str) -> None:
    sink = KafkaSink(broker, {"queue.buffering.max.messages": "10"}, 100)
    reports: list[str | None] = []
    for number in range(100):
        sink.send(record(number), reports.append)
    poll_until(sink, lambda: sink.waiting == 0)
    assert reports == [None] * 100
    sink.close()


def test_a_fatal_error_ends_the_sink_with_a_clear_sentence(broker: str) -> None:
    sink = KafkaSink(broker, {}, 100)
    sink._on_error(KafkaError(KafkaError._FATAL, "Fenced: sequence out of order", True))
    with pytest.raises(BrokenSink, match=r"cannot go on and must be started anew: .*sequence out of order"):
        sink.poll()
    sink.close()


@pytest.mark.parametrize(
    ("option", "value"),
    [("acks", "1"), ("enable.idempotence", "false"), ("partitioner", "consistent_random")],
)
def test_an_option_that_breaks_a_promise_is_refused(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{option} must stay"):
        KafkaSink("127.0.0.1:1", {option: value}, 10)


def test_an_unknown_option_is_told_by_name() -> None:
    with pytest.raises(ValueError, match=r"kafka options are wrong: .*no\.such\.thing"):
        KafkaSink("127.0.0.1:1", {"no.such.thing": "1"}, 10)


def test_a_promise_may_be_repeated() -> None:
    KafkaSink("127.0.0.1:1", {"acks": "all", "enable.idempotence": "True"}, 10).close()


def test_room_is_what_the_regions_worker_has_not_read(broker: str) -> None:
    sink = KafkaSink(broker, {}, 100)
    unread = Unread(broker, {}, "r1", 5)
    for number in range(40):
        sink.send(record(number), lambda _refusal: None)
    poll_until(sink, lambda: sink.waiting == 0)
    assert not unread.has_room()
    reader = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": topics.region_group("r1"),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    reader.subscribe([topics.events("r1")])
    read = 0
    deadline = time.monotonic() + LIMIT_S
    while read < 40 and time.monotonic() < deadline:
        read += len(reader.consume(40, timeout=0.2))
    reader.commit(asynchronous=False)
    reader.close()
    assert unread.has_room()
    unread.close()
    sink.close()
