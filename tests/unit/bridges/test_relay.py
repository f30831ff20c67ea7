"""Records, dead letters and what may be acknowledged."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.relay import HEADER_ORIGINAL_BYTES, HEADER_ROOM, Counters, Deliveries, Relay
from bridges.sieve import NO_CHANGE
from pipeline.core import topics
from tests.unit.bridges.sinks import HeldSink
from tests.unit.bridges.test_sieve import ROUTE, TIME, UUID, body

NOW = 1795421700123


@given(st.integers(1, 60), st.randoms(use_true_random=False))
def test_only_the_contiguous_prefix_is_ever_told(count: int, order: random.Random) -> None:
    deliveries = Deliveries()
    settled: set[int] = set()
    tags = list(range(1, count + 1))
    for tag in tags:
        deliveries.taken(tag)
    order.shuffle(tags)
    told = 0
    for tag in tags:
        deliveries.settle(tag)
        settled.add(tag)
        assert deliveries.waiting == count - len(settled)
        if order.random() < 0.5:
            up_to = deliveries.settled_up_to()
            if up_to is not None:
                assert up_to > told
                told = up_to
            assert set(range(1, told + 1)) <= settled
            assert told + 1 not in settled
    last = deliveries.settled_up_to()
    assert last in (None, count)
    assert deliveries.untold == 0
    assert deliveries.settled_up_to() is None


def test_a_gap_in_the_tags_is_a_defect_of_the_source() -> None:
    deliveries = Deliveries()
    deliveries.taken(1)
    with pytest.raises(ValueError, match="delivery 3 follows 1"):
        deliveries.taken(3)


class Rig:
    def __init__(self, sink: HeldSink) -> None:
        self.sink = sink
        self.counters = Counters()
        self.relay = Relay("r1", "amqp", sink, self.counters, lambda: NOW)
        self.settled: list[int] = []
        self.taken = 0

    def take(self, routing_key: str | bytes, content: bytes) -> None:
        self.taken += 1
        number = self.taken
        self.relay.take(routing_key, content, lambda: self.settled.append(number))


def test_a_hint_becomes_a_record_with_its_headers_and_the_body_untouched() -> None:
    rig = Rig(HeldSink())
    content = body(description="  kept as it is ")
    rig.take(ROUTE, content)
    rig.sink.poll()
    [record] = rig.sink.delivered
    assert (record.topic, record.key, record.value) == (topics.events("r1"), UUID.encode(), content)
    assert dict(record.headers) == {
        "region": "r1",
        "source": "amqp",
        "routing-key": ROUTE,
        "arrived-ms": str(NOW),
    }
    assert (rig.counters.received, rig.counters.relayed, rig.counters.last_event_ms) == (1, 1, TIME)


def test_nothing_is_settled_before_kafka_has_it() -> None:
    sink = HeldSink()
    sink.open = False
    rig = Rig(sink)
    rig.take(ROUTE, body())
    rig.take(ROUTE, b"poison")
    sink.poll()
    assert rig.settled == []
    assert rig.counters.relayed == 0
    sink.open = True
    sink.poll()
    assert rig.settled == [1, 2]


def test_what_is_dropped_is_counted_by_reason_and_settled_at_once() -> None:
    rig = Rig(HeldSink())
    rig.take(ROUTE, body(status="Started"))
    assert rig.settled == [1]
    assert rig.counters.dropped == {NO_CHANGE: 1}
    assert not rig.sink.held


def test_a_dead_letter_is_whole_and_says_why() -> None:
    rig = Rig(HeldSink())
    poison = b"\xff" + body()
    rig.take(ROUTE, poison)
    rig.sink.poll()
    [letter] = rig.sink.delivered
    assert (letter.topic, letter.key, letter.value) == (topics.DEAD_LETTERS, b"r1", poison)
    assert dict(letter.headers) == {
        "region": "r1",
        "source": "amqp",
        "routing-key": ROUTE,
        "arrived-ms": str(NOW),
        "reason": b"body is not UTF-8",
    }
    assert (rig.counters.dead_letters, rig.counters.relayed) == (1, 0)


def test_a_dead_letter_beyond_kafkas_limit_is_cut_and_tells_its_length() -> None:
    rig = Rig(HeldSink(max_bytes=1_000_000))
    rig.take(ROUTE, b"x" * 3_000_000)
    rig.sink.poll()
    [letter] = rig.sink.delivered
    assert len(letter.value) == 1_000_000 - HEADER_ROOM
    assert dict(letter.headers)[HEADER_ORIGINAL_BYTES] == "3000000"


def test_an_event_too_large_for_its_topic_becomes_a_dead_letter_cut_until_it_fits() -> None:
    """The topic's own limit is not known to the producer: the broker refuses."""
    rig = Rig(HeldSink(refuse_above=40_000))
    rig.take(ROUTE, body(description="y" * 100_000))
    rig.sink.poll()
    [letter] = rig.sink.delivered
    assert letter.topic == topics.DEAD_LETTERS
    assert 20_000 < len(letter.value) <= 40_000
    assert dict(letter.headers)["reason"] == b"Kafka refuses it: Broker: Message size too large"
    assert rig.settled == [1]


def test_a_dead_letter_that_kafka_refuses_in_any_size_does_not_hold_up_the_stream() -> None:
    rig = Rig(HeldSink(refuse_above=0))
    rig.take(ROUTE, b"poison")
    rig.sink.poll()
    assert (rig.settled, rig.counters.lost) == ([1], 1)


def test_the_newest_event_time_is_remembered() -> None:
    rig = Rig(HeldSink())
    rig.take(ROUTE, body())
    rig.take(ROUTE, body(eventDateTime="2026-11-23 08:00:00 +0000"))
    assert rig.counters.last_event_ms == TIME
