"""Events a second through the hub: observation → merged → desired states of two other regions in Kafka.

In: MariaDB's address from the environment. Out: a table: the hub's own process on MariaDB and on SQLite, a
bare confluent-kafka loop with the same produces, and quixstreams with keyed state and the same produces; each
with the CPU time of its process per event. A fifth of the events are new users, the others change them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline import wire
from pipeline.agents.publish import Message
from pipeline.app import now_ms
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.records import Desired, Observation
from tests.benchmarks import stage
from tests.benchmarks.facts import observed, send
from tests.services.stack import services_folder

EVENTS: Final = 20_000
EACH: Final = 5
"""Events for one user: its birth and four changes."""
ACCOUNTS: Final = 50
NAMES: Final = ("r1", "r2", "r3")
LIMIT_S: Final = 180.0
QUIX: Final = "quixstreams>=3,<4"


@dataclass(frozen=True, slots=True)
class Rate:
    """Events a second, and microseconds of CPU for one."""

    what: str
    per_s: float
    cpu_us: float


def main(events: int = EVENTS) -> None:
    observations = list(_observations(events))
    messages = observed(observations)
    size = len(wire.encode(_like(observations[-1])))
    rates = [_hub(backend, messages) for backend in stage.BACKENDS]
    rates.append(
        _loop("bare confluent-kafka", [sys.executable, "-m", "tests.benchmarks.bare"], messages, size)
    )
    rates.append(_loop("quixstreams, keyed state", _quix(), messages, size))
    bare = rates[-2].per_s
    stage.show(
        f"hub: {events:,} observations, one in {EACH} a new user, two desired states each",
        ("", "events/s", "of bare", "CPU us/event"),
        [(one.what, f"{one.per_s:,.0f}", f"{one.per_s / bare:.2f}", f"{one.cpu_us:.0f}") for one in rates],
        "CPU of the process itself, without the broker's and MariaDB's",
    )


@dataclass(frozen=True, slots=True)
class Person:
    """A user who is made, and changed again and again."""

    number: int
    uuid: str
    parent: str

    def fields(self, turn: int) -> dict[str, str]:
        return {
            "name": f"user{self.number}",
            "firstname": "First",
            "lastname": "Last",
            "email": f"user{self.number}.{turn}@example.org",
            "timezone": "",
            "state": "enabled",
            "parent": self.parent,
        }


def people(count: int) -> list[Person]:
    """So many, in a few accounts."""
    accounts = [str(uuid.uuid4()) for _ in range(ACCOUNTS)]
    return [Person(number, str(uuid.uuid4()), accounts[number % ACCOUNTS]) for number in range(count)]


def _observations(events: int) -> list[Observation]:
    now = now_ms()
    users = people(events // EACH)
    return [
        Observation("r1", Kind.USER, user.uuid, user.fields(turn), now + turn, "USER.UPDATE")
        for turn in range(EACH)
        for user in users
    ]


def _like(one: Observation) -> Desired:
    return Desired("r2", one.kind, one.uuid, EACH, one.fields, one.fields)


def _hub(backend: str, messages: Sequence[Message]) -> Rate:
    """From the first batch that is in Kafka to the last one."""
    with (
        stage.kafka() as brokers,
        stage.database(backend) as url,
        tempfile.TemporaryDirectory() as folder,
    ):
        made = stage.settings(brokers, url, [stage.Place(name) for name in NAMES])
        stage.make_topics(made)
        send(brokers, messages)
        ends = stage.Ends(brokers, [topics.desired(name) for name in NAMES], made.partitions)
        file = stage.written(made, Path(folder))
        wanted = len(messages) * (len(NAMES) - 1)
        with stage.process(Path(folder), ["-m", "pipeline", "worker", "hub", "-c", str(file)]) as hub:
            stage.until(lambda: ends.total() > 0, LIMIT_S, hub)
            first, began, cpu = ends.total(), time.perf_counter(), hub.cpu_s
            stage.until(lambda: ends.total() >= wanted, LIMIT_S, hub, 0.1)
            seconds, cpu = time.perf_counter() - began, hub.cpu_s - cpu
        done = len(messages) * (wanted - first) / wanted
    return Rate(f"hub on {backend}", done / seconds, cpu / done * 1e6)


def _loop(what: str, command: Sequence[str], messages: Sequence[Message], size: int) -> Rate:
    targets = [topics.desired(name) for name in NAMES[1:]]
    with stage.kafka() as brokers, stage.database("sqlite") as url:
        stage.make_topics(stage.settings(brokers, url, [stage.Place(name) for name in NAMES]))
        send(brokers, messages)
        arguments = [brokers, topics.OBSERVATIONS, str(len(messages)), str(size), *targets]
        ended = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    if ended.returncode:
        raise RuntimeError(f"{what}: {ended.stderr[-2000:]}")
    found = json.loads(ended.stdout.splitlines()[-1])
    return Rate(what, len(messages) / found["seconds"], found["cpu_s"] / len(messages) * 1e6)


def _quix() -> list[str]:
    """Its pins are not ours (an older confluent-kafka, pydantic, rich): a venv of its own, made once."""
    folder = services_folder({}) / "quix"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, stdout=sys.stderr)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", QUIX]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        (folder / "ready").touch()
    return [str(python), str(Path(__file__).with_name("quix.py"))]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
