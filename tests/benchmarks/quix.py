"""A hub's produces by quixstreams, with keyed state: run by the Python of a venv of its own, as a script.

In: broker, topic to read, how many messages, the size of what is written, topics to write. Out: one JSON line
with seconds and CPU seconds, from the first message to the end of the last checkpoint. Its state is a number
and the last value for each key, in RocksDB with a changelog topic: less than the hub keeps. Started by the
hub's benchmark; imports nothing of ours, since its venv has nothing of ours.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time

from quixstreams import Application, State

began: list[tuple[float, float]] = []


def main(brokers: str, source: str, count: int, size: int, targets: list[str]) -> None:
    def keep(value: bytes, state: State) -> bytes:
        if not began:
            began.append((time.perf_counter(), time.process_time()))
        state.set("seen", state.get("seen", 0) + 1)
        state.set("last", value.decode())
        return value.ljust(size)

    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            broker_address=brokers,
            consumer_group="quix",
            auto_offset_reset="earliest",
            state_dir=folder,
            loglevel="ERROR",
            commit_interval=0.5,
            producer_extra_config={"linger.ms": 2, "acks": "all", "partitioner": "murmur2_random"},
        )
        raw = app.topic(source, key_deserializer="bytes", value_deserializer="bytes")
        kept = app.dataframe(raw).apply(keep, stateful=True)
        for target in targets:
            kept.to_topic(app.topic(target, key_serializer="bytes", value_serializer="bytes"))
        app.run(count=count)
        ended, cpu_end = time.perf_counter(), time.process_time()
    print(json.dumps({"seconds": ended - began[0][0], "cpu_s": cpu_end - began[0][1]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
