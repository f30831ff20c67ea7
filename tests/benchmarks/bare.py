"""The least that a hub could do: read every message, write two, commit. `python -m tests.benchmarks.bare`.

In: broker, topic to read, how many messages, the size of what is written, topics to write. Out: one JSON line
with seconds and CPU seconds, from the first message to the last delivery report. Started by the hub's
benchmark in a process of its own.
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Consumer, Producer

from pipeline.agents.publish import PRODUCER

AT_ONCE = 500


def main(brokers: str, source: str, count: int, size: int, targets: list[str]) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "bare",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({**PRODUCER, "bootstrap.servers": brokers})
    consumer.subscribe([source])
    done, began, cpu = 0, 0.0, 0.0
    while done < count:
        messages = consumer.consume(AT_ONCE, 1.0)
        if messages and not done:
            began, cpu = time.perf_counter(), time.process_time()
        for message in messages:
            value = (message.value() or b"").ljust(size)
            for target in targets:
                producer.produce(target, value, message.key())
        if messages:
            producer.flush()
            consumer.commit(asynchronous=True)
        done += len(messages)
    ended, cpu_end = time.perf_counter(), time.process_time()
    consumer.close()
    print(json.dumps({"seconds": ended - began, "cpu_s": cpu_end - cpu}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
