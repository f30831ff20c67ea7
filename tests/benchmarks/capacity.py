"""What one change costs each part: the figures that `pipeline/core/sizing` reckons with.

In: MariaDB's address from the environment; it must run on this machine. Out: tables: CPU of the hub and of
MariaDB for an observation that leads to desired states, and for one that tells what came of them, with 3, 10,
50 regions; the same of a region's worker for its calls and for events; statements, transactions, bytes.
Rates depend on what else runs here, CPU a unit hardly does: so this is all in CPU a unit.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from pipeline.agents.publish import Message
from pipeline.app import now_ms
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.errors import TemporaryError
from pipeline.core.events import hint
from pipeline.core.records import Observation
from pipeline.outbox.engine import reading
from pipeline.outbox.schema import outbox
from pipeline.progress import Progress
from tests.benchmarks import apply, facts, hub, stage
from tests.benchmarks.meter import Meter, Spent, meter

HUBS: Final = ((3, 3_000, 500), (10, 800, 500), (50, 150, 150), (10, 100, 10))
"""Regions, users that are changed, observations in a transaction at most: no more than users, so that no
record is there twice. In the last one few wait, as in a hub that is far from busy."""
TURNS: Final = 3
"""Each user is made, and changed twice; what making costs is not counted."""
PARTITIONS: Final = 2
"""Of 150 topics: more would only burden the broker."""
LANES: Final = 64
"""As many as one worker can use: with fewer it has less to put together, and spends twice as much on each."""
SECONDS: Final = 8
ECHOES: Final = 5_000
LIMIT_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one kind of unit."""

    what: str
    units: int
    spent: Spent

    def cells(self) -> tuple[str, ...]:
        one = self.spent.each(self.units)
        return (
            self.what,
            f"{self.units:,}",
            f"{one.process_us:,.0f}",
            f"{one.server_us:,.0f}",
            f"{one.statements:.2f}",
            f"{one.transactions:.3f}",
            f"{one.log_bytes:,.0f}",
        )


def main(scale: float = 1.0) -> None:
    rows: list[Row] = []
    sizes: dict[str, float] = {}
    for regions, users, batch in HUBS:
        some = max(10, int(users * scale))
        rows += _hub(regions, some, min(batch, some), sizes)
    rows += _worker(max(1, int(SECONDS * scale)), sizes)
    stage.show(
        "capacity: what one unit costs, on MariaDB",
        ("unit", "units", "CPU us", "MariaDB CPU us", "statements", "transactions", "log bytes"),
        [one.cells() for one in rows],
        "CPU us: of the hub, or of the region's worker. Log: what InnoDB wrote ahead.",
    )
    stage.show(
        "capacity: what is left behind (bytes on disk, where nothing else is said)",
        ("", ""),
        [(what, f"{n:,.0f}") for what, n in sizes.items()],
    )


def _hub(regions: int, users: int, batch: int, sizes: dict[str, float]) -> list[Row]:
    names = [f"r{number}" for number in range(1, regions + 1)]
    people = list(hub.people(users))
    with (
        stage.kafka() as brokers,
        stage.database("mariadb") as url,
        meter(url) as measured,
        tempfile.TemporaryDirectory() as folder,
    ):
        more = {"partitions": PARTITIONS, "hub": {"batch": batch}}
        made = stage.settings(brokers, url, [stage.Place(name) for name in names], more)
        stage.make_topics(made)
        arguments = ["-m", "pipeline", "worker", "hub", "-c", str(stage.written(made, Path(folder)))]
        with stage.process(Path(folder), arguments) as running:
            work = _Fed(brokers, topics.HUB_GROUP, (topics.OBSERVATIONS,), measured, running)
            spent = [_turn(work, names, people, number) for number in range(TURNS)][1:]
            ends = stage.Ends(
                brokers, [topic for one in names for topic in topics.of_region(one)], PARTITIONS
            )
            sent = ends.total()
        rows = _rows(url)
        name = f"{regions} regions, {batch} at a time"
        sizes |= {
            f"outbox rows a change ({name})": rows / users / TURNS,
            f"messages to regions a change ({name})": sent / users / TURNS,
        }
        sizes |= {f"outbox row ({name})": measured.bytes_a_row("outbox")}
        sizes |= {f"decision row ({name})": measured.bytes_a_row("decision")}
        sizes |= {f"record ({name})": measured.bytes_a_row("entity")}
    changes, results = (_sum([one[which] for one in spent]) for which in (0, 1))
    done = users * (TURNS - 1)
    return [
        Row(f"hub, {name}: a change", done, changes),
        Row(f"hub, {name}: a result", done * (regions - 1), results),
    ]


def _turn(work: _Fed, names: Sequence[str], people: Sequence[hub.Person], number: int) -> tuple[Spent, Spent]:
    """Everybody is changed in the first region; then all others tell that they hold it, one region after the
    other: so hardly two results of one record are in a transaction, as when they come one by one."""
    changed = [
        Observation(names[0], Kind.USER, one.uuid, one.fields(number), now_ms() + number, "USER.UPDATE")
        for one in people
    ]
    told = [
        replace(one, region=name, applied=number + 1, wrote=True, unseen=(), cause="")
        for name in names[1:]
        for one in changed
    ]
    return work.spend(facts.observed(changed)), work.spend(facts.observed(told))


def _rows(url: str) -> int:
    """Of the outbox. Each change is one version."""
    with stage.engine_of(url) as engine, reading(engine) as connection:
        rows, version = connection.execute(select(func.count(), func.max(outbox.c.version))).one()
    assert version == TURNS, f"{version} versions of {TURNS} changes"
    return int(rows)


@dataclass(frozen=True, slots=True)
class _Fed:
    """A process, what it consumes, and what it and the database spend on that."""

    brokers: str
    group: str
    consumed: tuple[str, ...]
    meter: Meter
    running: stage.Process

    def spend(self, messages: Sequence[Message]) -> Spent:
        """On these messages, until all are acknowledged."""
        before = self.meter.read(self.running)
        facts.send(self.brokers, messages)
        return self.until_done().since(before)

    def until_done(self) -> Spent:
        progress = Progress(self.brokers, {})

        def done() -> bool:
            try:
                return all(progress.lag(self.group, topic) == 0 for topic in self.consumed)
            except TemporaryError:  # a new broker looks for its coordinator at first
                return False

        try:
            stage.until(done, LIMIT_S, self.running, 0.1)
            return self.meter.read(self.running)
        finally:
            progress.close()


def _sum(spent: Sequence[Spent]) -> Spent:
    return reduce(Spent.plus, spent)


def _worker(seconds: int, sizes: dict[str, float]) -> list[Row]:
    """One read and one write for each desired state; then one read for each event of somebody else; then
    events of its own writing, which cost no call."""
    users = LANES * 1000 // apply.LATENCY_MS // 2 * seconds
    with apply.waiting(users, LANES, "mariadb") as work, meter(work.url) as measured:
        own = asyncio.run(_own_user(work.region.place))
        with apply.working(work) as running:
            consumed = topics.of_region(apply.TARGET)
            fed = _Fed(work.brokers, topics.region_group(apply.TARGET), consumed, measured, running)
            stage.until(lambda: work.region.writes() >= users / 5, LIMIT_S, running)
            before, first = measured.read(running), work.region.writes()
            stage.until(lambda: work.region.writes() >= users * 4 / 5, LIMIT_S, running)
            applied = Row(
                "worker: a desired state (read, write)",
                work.region.writes() - first,
                measured.read(running).since(before),
            )
            fed.until_done()
            seen = [_event(one.uuid) for one in work.users]
            read = Row("worker: an event (read)", len(seen), fed.spend(seen))
            echoes = [_event(work.users[n % users].uuid, own) for n in range(ECHOES)]
            echo = Row("worker: an event of its own write", ECHOES, fed.spend(echoes))
        sizes |= {"attempt row": measured.bytes_a_row("attempt")}
    return [applied, read, echo]


def _event(entity: str, actor: str = "") -> Message:
    """What the bus says when that user was changed by `actor`."""
    told = json.loads(hint(Kind.USER, entity, now_ms(), "USER.UPDATE"))
    body = json.dumps({**told, "user": actor} if actor else told).encode()
    return Message(topics.events(apply.TARGET), entity.encode(), body)


async def _own_user(place: stage.Place) -> str:
    """The UUID of the sync's own user there."""
    keys = Credentials(place.apikey, place.secretkey)
    client = CloudStack(ClientSettings(place.endpoint, keys), clock=now_ms)
    try:
        resources = Resources(client)
        await resources.start()
        return resources.own_user
    finally:
        await client.aclose()


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
