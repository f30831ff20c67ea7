"""Bridges that are killed, stopped and replaced in mid-stream: nothing is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridges.bridge import BridgeSettings
from tests.component.bridges.rig import BridgeProcess, Bus, Topics, bodies, entities, event, until

pytestmark = pytest.mark.services


def numbered(count: int) -> list[tuple[str, bytes]]:
    return [event(entity, number) for number, entity in enumerate(entities(count))]


def test_kill_9_in_mid_stream_loses_nothing(
    settings: BridgeSettings, bus: Bus, kafka_topics: Topics, tmp_path: Path
) -> None:
    sent = numbered(60_000)
    bus.publish(sent)
    kills = 0
    for goal in (6_000, 24_000, 42_000):
        with BridgeProcess(settings, tmp_path) as bridge:
            until(lambda goal=goal: kafka_topics.count() > goal, "a part of the stream")  # type: ignore[misc]
            bridge.kill()
            kills += bus.ready() > 0
    assert kills >= 2, "the kills must come while messages are left"
    wanted = {body for _, body in sent}
    with BridgeProcess(settings, tmp_path) as last:
        until(lambda: wanted <= set(bodies(kafka_topics.hints())), "all that was sent")
        assert last.terminate() == 0
    arrived = bodies(kafka_topics.hints())
    assert len(arrived) < len(sent) + 4 * settings.prefetch, "more was doubled than may be unacknowledged"


def test_a_clean_stop_in_mid_stream_drains_and_doubles_nothing(
    settings: BridgeSettings, bus: Bus, kafka_topics: Topics, tmp_path: Path
) -> None:
    sent = numbered(40_000)
    bus.publish(sent)
    with BridgeProcess(settings, tmp_path) as first:
        until(lambda: kafka_topics.count() > 5000, "a part of the stream")
        assert first.terminate() == 0
    # What was on its way to the consumer when it was cancelled comes back to the queue a moment later.
    until(
        lambda: kafka_topics.count() + bus.ready() == len(sent),
        "each message in one place: what was taken has arrived and is acknowledged",
    )
    assert bus.consumers() == 0
    assert 0 < bus.ready() < len(sent), "the stop must come in mid-stream"
    with BridgeProcess(settings, tmp_path) as second:
        until(lambda: kafka_topics.count() >= len(sent), "the rest")
        assert second.terminate() == 0
    assert sorted(bodies(kafka_topics.hints())) == sorted(body for _, body in sent)


def test_a_spare_takes_over_when_the_active_one_dies(
    settings: BridgeSettings, bus: Bus, kafka_topics: Topics, tmp_path: Path
) -> None:
    with BridgeProcess(settings, tmp_path) as active:
        active.consuming()
        with BridgeProcess(settings, tmp_path) as spare:
            spare.consuming()
            bus.publish(numbered(100))
            until(lambda: kafka_topics.count() == 100, "the first hundred")
            active.kill()
            # What the killed one had not acknowledged yet comes once more.
            bus.publish([event("of-the-spare", number) for number in range(100)])
            until(lambda: len(of_the_spare(kafka_topics)) == 100, "the second hundred, by the spare")
            assert spare.terminate() == 0


def of_the_spare(kafka_topics: Topics) -> set[bytes]:
    return {body for body in bodies(kafka_topics.hints()) if b"of-the-spare" in body}


def test_a_wrong_option_is_one_sentence_and_exit_code_2(settings: BridgeSettings, tmp_path: Path) -> None:
    wrong = BridgeSettings(region="r", kafka=settings.kafka, kafka_options={"acks": "1"}, amqp_url="amqp://h")
    with BridgeProcess(wrong, tmp_path) as bridge:
        until(lambda: bridge.exit_code() is not None, "its end")
        assert bridge.exit_code() == 2
        assert bridge.told("kafka option acks must stay 'all'")
