"""One line of the log a decision, with the entity, the region and the outbox row as fields of their own."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any, cast

import pytest

from pipeline import telemetry, wire
from pipeline.agents.hub import Hub, Place
from pipeline.agents.intake import Taken
from pipeline.agents.merge import Merger
from pipeline.agents.publish import Publisher
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.events import hint
from pipeline.core.records import Topology
from tests.component.agents.rig import FAR, HERE, Rig, Topics
from tests.component.agents.test_apply import family
from tests.unit.agents.regions import domain, gone


class Log:
    """What `telemetry` writes where no terminal is."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def lines(self, logger: str = "pipeline.agents.report") -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [one for one in found if one["logger"] == logger]

    def clear(self) -> None:
        self.stream.seek(0)
        self.stream.truncate()


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    telemetry.set_up("debug", made.stream)
    try:
        yield made
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
        for name in ("pipeline", "bridges", telemetry.STATEMENTS, *telemetry.TALKATIVE):
            logging.getLogger(name).setLevel(logging.NOTSET)


def marks(line: dict[str, Any]) -> dict[str, Any]:
    return {mark: line[mark] for mark in telemetry.MARKS if mark in line}


async def test_how_a_desired_state_ended(rig: Rig, log: Log) -> None:
    (wanted,) = rig.merge(domain(FAR, "dom"))
    await rig.give(wanted)
    (line,) = log.lines()
    assert line["level"] == "debug"
    assert line["message"] == "apply: dom version 1 in r2: delivered: createDomain"
    assert marks(line) == {"entity": "dom", "region": HERE, "outbox": rig.outbox(wanted)["id"]}


async def test_why_a_removal_waits(rig: Rig, log: Log) -> None:
    await family(rig)
    (removal,) = rig.merge(gone(FAR, Kind.ACCOUNT, "acc"))
    rig.merge(gone(FAR, Kind.USER, "usr"))
    rig.region.give("acc", vms=2)
    log.clear()
    await rig.give(removal)
    decided, ended = log.lines()
    assert decided["message"] == "removal: acc in r2: hold: it would take along 2 VMs"
    assert ended["message"].endswith(": held: it would take along 2 VMs")
    row = rig.outbox(removal)["id"]
    assert marks(decided) == marks(ended) == {"entity": "acc", "region": HERE, "outbox": row}


async def test_what_became_of_an_event(rig: Rig, log: Log) -> None:
    await family(rig)
    log.clear()
    ours = {**json.loads(hint(Kind.DOMAIN, "dom", 0)), "user": rig.desk.resources.own_user}
    taken = Taken(
        (topics.events(HERE), 3),
        17,
        b"dom",
        json.dumps(ours).encode(),
        {topics.HEADER_SOURCE: b"amqp"},
        lambda: None,
    )
    await rig.worker.take_event(taken)
    (line,) = log.lines()
    assert line["message"] == "r2: REGION-SYNC.HINT from amqp at region-sync.events.r2/3@17: echo"
    assert marks(line) == {"entity": "dom", "region": HERE}


async def test_what_the_merge_decided_and_what_follows(rig: Rig, log: Log) -> None:
    place = Place("log", rig.clock, frozenset((FAR, HERE)))
    hub = Hub(rig.hub, Merger(rig.hub, Topology((FAR, HERE))), cast(Publisher, Topics()), place)
    running = asyncio.create_task(hub.run(10))
    done = asyncio.Event()
    value = wire.encode(domain(FAR, "dom"))
    await hub.take(Taken((topics.OBSERVATIONS, 0), 0, b"dom", value, {}, done.set))
    await asyncio.wait_for(done.wait(), 10)
    running.cancel()
    merged, sent = log.lines()
    assert (merged["message"], marks(merged)) == (
        "merge: dom as seen in r1: created",
        {"entity": "dom", "region": FAR},
    )
    assert (sent["message"], marks(sent)) == (
        "merge: r2 is to have version 1 of dom: outbox 1",
        {"entity": "dom", "region": HERE, "outbox": 1},
    )


def test_other_lines_have_no_marks(log: Log) -> None:
    logging.getLogger("pipeline.app").debug("plain", extra={"password": "never"})
    (line,) = log.lines("pipeline.app")
    assert set(line) == {"time", "level", "logger", "message"}
