"""For how long topics keep their messages, against the longest outage that is promised: on a real Kafka."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.check import kafka
from pipeline.check.finding import Verdict
from pipeline.config.region import DAY_MS
from pipeline.reach import Kafka, Kept, too_short, topic_names
from pipeline.settings import Settings
from pipeline.worker import wire

PARTITIONS = 2
LIMIT_S = 20.0


def settings_of(bootstrap: str, database: str, **retention: int) -> Settings:
    region = {"name": f"t{uuid.uuid4().hex[:8]}", "host": "http://h", "api_key": "k", "secret_key": "s"}
    tree: dict[str, Any] = {"kafka": bootstrap, "database": database, "regions": [region]}
    return Settings.parse({**tree, "partitions": PARTITIONS, "retention": retention}, {})


def own(settings: Settings) -> list[str]:
    """The topics of the region: the others are shared with whoever uses this Kafka."""
    return [name for name in topic_names(settings) if settings.regions[0].name in name]


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (Kept(7 * DAY_MS, -1), None),
        (Kept(-1, -1), None),
        (Kept(7 * DAY_MS - 1, -1), "7 days"),
        (Kept(DAY_MS // 2, 10), "0.5 days"),
        (Kept(-1, 5_000_000), "5,000,000 bytes a partition"),
    ],
)
def test_what_is_too_short(kept: Kept, words: str | None) -> None:
    assert too_short({"t": kept}, 7) == ({} if words is None else {"t": words})


@pytest.mark.services
def test_topics_are_made_to_keep_the_longest_outage(kafka_bootstrap: str) -> None:
    name = f"kept-{uuid.uuid4().hex}"
    admin = Kafka(kafka_bootstrap, {})
    admin.ensure_topics([name], PARTITIONS, kept_ms=3 * DAY_MS)
    admin.ensure_topics([name], PARTITIONS, kept_ms=9 * DAY_MS)
    assert admin.kept([name, f"none-{name}"]) == {name: Kept(3 * DAY_MS, -1)}, "it is never changed"


@pytest.mark.services
async def test_a_topic_that_keeps_less_is_a_warning_and_stays_as_it_is(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    settings = settings_of(kafka_bootstrap, f"sqlite:///{tmp_path}/a.db", outage_days=2)
    short, *right = own(settings)
    made = AdminClient({"bootstrap.servers": kafka_bootstrap, "log_level": "2"})
    config = {"retention.ms": str(DAY_MS)}
    for future in made.create_topics([NewTopic(short, PARTITIONS, 1, config=config)]).values():
        future.result(LIMIT_S)
    admin = Kafka(kafka_bootstrap, {})
    admin.ensure_topics(right, PARTITIONS, kept_ms=2 * DAY_MS)
    findings = [one for one in await kafka.examine(settings) if "outage_days" in one.detail]
    assert [(one.verdict, one.what) for one in findings] == [(Verdict.WARN, "topics")]
    assert f"{short}: 1 days" in findings[0].detail
    assert not any(name in findings[0].detail for name in right)
    assert admin.kept([short]) == {short: Kept(DAY_MS, -1)}


@pytest.mark.services
def test_a_process_says_so_at_its_start(
    kafka_bootstrap: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(kafka_bootstrap, f"sqlite:///{tmp_path}/a.db", outage_days=3)
    short, right, *_ = own(settings)
    monkeypatch.setattr("pipeline.worker.topic_names", lambda _: [short, right])
    monkeypatch.setattr("pipeline.worker.topics.OBSERVATIONS", right)
    Kafka(kafka_bootstrap, {}).ensure_topics([short], PARTITIONS, kept_ms=DAY_MS)
    with caplog.at_level(logging.WARNING, "pipeline.worker"):
        wire(settings).engine.dispose()
    told = [one.getMessage() for one in caplog.records if one.name == "pipeline.worker"]
    assert told == [f"topic {short} keeps only 1 days, and retention.outage_days is 3"]
    assert Kafka(kafka_bootstrap, {}).kept([short, right]) == {
        short: Kept(DAY_MS, -1),
        right: Kept(3 * DAY_MS, -1),
    }
