"""What the benchmarks' processes are given is what the benchmarks made."""

from __future__ import annotations

from pathlib import Path

from pipeline.settings import ALL, Settings
from tests.benchmarks import stage


def test_the_settings_that_are_written_are_read_as_they_were_secrets_too(tmp_path: Path) -> None:
    places = [
        stage.Place("r1", "http://127.0.0.1:9/client/api", "key one", "secret one", 64),
        stage.Place("r2", bus={"source": "amqp", "url": "amqp://ann:word@127.0.0.1:5/", "exchange": "r2"}),
    ]
    url = "mysql+pymysql://ann:word@127.0.0.1:3/name?charset=utf8mb4"
    made = stage.settings("127.0.0.1:9092", url, places, {"partitions": 2, "hub": {"batch": 10}})
    read = Settings.load(stage.written(made, tmp_path), {}, ALL)
    assert read.model_dump(exclude={"kafka_options"}) == made.model_dump(exclude={"kafka_options"})
    assert read.database.get_secret_value() == url
    assert (read.partitions, read.hub.batch, read.regions[0].lanes) == (2, 10, 64)
    assert read.regions[1].bus.url == made.regions[1].bus.url
