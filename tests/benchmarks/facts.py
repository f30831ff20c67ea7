"""Entities that all regions agree on, and changes of them that wait: what a benchmark starts from.

In: snapshots of one region. Out: rows as the hub writes them, and the messages that it would publish. The
real merge and the real store make them; only the observations are made up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from confluent_kafka import Producer
from sqlalchemy import update

from pipeline import wire
from pipeline.agents.merge import Merger, Seen
from pipeline.agents.publish import PRODUCER, Message
from pipeline.app import now_ms
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.core import topics
from pipeline.core.entities import Kind, Snapshot
from pipeline.core.records import Life, Observation, Position, Record, RegionState, Stamp, Topology, Value
from pipeline.outbox.engine import Engine, writing
from pipeline.outbox.hub import Change, HubStore, Mapping
from pipeline.outbox.schema import outbox

BATCH: Final = 500
BORN: Final = 1_000
_OFFSETS: Final = itertools.count()


async def held(endpoint: str, apikey: str, secretkey: str) -> list[Snapshot]:
    """All domains, accounts and users of a region, parents first."""
    client = CloudStack(ClientSettings(endpoint, Credentials(apikey, secretkey)), clock=now_ms)
    try:
        resources = Resources(client)
        await resources.start()
        listings = (resources.domains(), resources.accounts(), resources.users())
        found = [one for listing in listings async for page in listing for one in page]
        return [one for one in found if not one.protected]
    finally:
        await client.aclose()


class Facts:
    """The hub's side of one database, without Kafka."""

    def __init__(self, engine: Engine, regions: Sequence[str]) -> None:
        self._engine = engine
        self._regions = regions
        self._store = HubStore(engine, now_ms)
        self._merger = Merger(self._store, Topology(tuple(regions)))

    def agree(self, snapshots: Sequence[Snapshot]) -> None:
        """Every region holds all of them, and nothing is on its way."""
        for region in self._regions:
            self.observe([_seen(region, one.kind, one.uuid, dict(one.fields or {})) for one in snapshots])
        with writing(self._engine) as connection:
            connection.execute(update(outbox).values(state="delivered", result="success", processed_time=0))

    def observe(self, observations: Sequence[Observation]) -> list[Message]:
        """Merges and keeps them; the messages for the other regions."""
        sent: list[Message] = []
        for chunk in _chunks(observations):
            seen = [Seen(one, Position("benchmark", next(_OFFSETS))) for one in chunk]
            while seen:
                batch = self._merger.batch(seen)
                rows = self._store.commit(batch.changes, now_ms())
                seen = seen[batch.taken :]
                self._store.published([row for row, _, _ in rows], now_ms())
                sent += [
                    Message(topics.desired(one.region), one.uuid.encode(), body) for _, one, body in rows
                ]
        return sent


def agreed(seen: Snapshot, regions: Sequence[str]) -> Change:
    """The record of an entity that these regions hold alike, under one UUID, since long ago."""
    fields = dict(seen.fields or {})
    stamp = Stamp(BORN, regions[0])
    values = {name: Value(text, stamp) for name, text in fields.items()}
    held = {name: RegionState(fields) for name in regions}
    record = Record(seen.kind, seen.uuid, values, Life(True, stamp), 1, {}, held)
    return Change(record, None, mapping=located(seen, regions[0]))


def located(seen: Snapshot, region: str) -> Mapping:
    """Where the region has it."""
    return Mapping(seen.uuid, region, seen.uuid, seen.kind, (seen.fields or {})["parent"], True, BORN)


def changed(region: str, users: Sequence[Snapshot], number: int) -> list[Observation]:
    """Each user with a new e-mail address, as `region` would tell."""
    return [
        _seen(region, one.kind, one.uuid, {**(one.fields or {}), "email": f"e{number}@example.org"})
        for one in users
    ]


def users_of(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    return [one for one in snapshots if one.kind is Kind.USER]


def send(brokers: str, messages: Sequence[Message]) -> None:
    """All of them into Kafka, as the pipeline's own producers would."""
    producer = Producer({**PRODUCER, "bootstrap.servers": brokers, "log_level": 2})
    for message in messages:
        while True:
            try:
                producer.produce(message.topic, message.value, message.key)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)


def observed(observations: Sequence[Observation]) -> list[Message]:
    """As a region's worker publishes them."""
    return [Message(topics.OBSERVATIONS, one.uuid.encode(), wire.encode(one)) for one in observations]


def _seen(region: str, kind: Kind, uuid: str, fields: dict[str, str]) -> Observation:
    return Observation(region, kind, uuid, fields, now_ms(), "benchmark")


def _chunks(observations: Sequence[Observation]) -> Iterator[Sequence[Observation]]:
    for start in range(0, len(observations), BATCH):
        yield observations[start : start + BATCH]
