"""What regions say to a hub: observations as they come off the log, merged into a store on SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

from pipeline.agents.merge import Batch, Merger, Seen
from pipeline.core.entities import ROOT, Kind
from pipeline.core.events import parse_event
from pipeline.core.merge import Outcome
from pipeline.core.records import Desired, Founder, Observation, Position, Record, Sources, Topology
from pipeline.outbox.hub import HubStore
from tests.unit.outbox.builders import NOW, fields

REGIONS = ("r1", "r2", "r3")
LOG = "log/0"
UUID_KINDS = tuple(kind for kind in Kind if kind is not Kind.ROLE)
"""Those that CloudStack makes under a UUID that it is given."""


@dataclass
class Log:
    """The observations topic and the hub that reads it."""

    store: HubStore
    merger: Merger
    _offsets: count[int] = field(default_factory=count)

    def say(self, *observations: Observation) -> list[Desired]:
        """All of them as one batch, committed; the desired states that follow."""
        return self.merge([Seen(one, Position(LOG, next(self._offsets))) for one in observations])[0]

    def merge(self, seen: list[Seen]) -> tuple[list[Desired], list[Batch]]:
        """As the hub does: until all are taken, each part committed. May be called again with the same."""
        sent: list[Desired] = []
        batches = []
        while seen:
            batch = self.merger.batch(seen)
            rows = self.store.commit(batch.changes, NOW, batch.decisions, batch.unborn)
            sent += [desired for _, desired, _ in rows]
            batches.append(batch)
            seen = seen[batch.taken :]
        return sent, batches

    def go_on_from(self, offset: int) -> None:
        """What is said next comes later in the log than what was merged before it."""
        self._offsets = count(offset)

    def outcome(self, observation: Observation) -> Outcome:
        _, (batch,) = self.merge([self.seen(observation)])
        return batch.outcomes[0]

    def seen(self, observation: Observation) -> Seen:
        """At its place in the log; merge it as often as you like."""
        return Seen(observation, Position(LOG, next(self._offsets)))

    def hinted(self, seen: Seen) -> dict[str, set[tuple[Kind, str]]]:
        """By topic, the entities that the batch asks to be read."""
        _, batches = self.merge([seen])
        found: dict[str, set[tuple[Kind, str]]] = {}
        for message in (one for batch in batches for one in batch.below.hints(self.store)):
            event = parse_event(message.value)
            assert message.key == (event.uuid or "").encode()
            found.setdefault(message.topic, set()).add((event.kind, event.uuid or ""))
        return found

    def record(self, uuid: str) -> Record:
        return self.store.load([uuid])[uuid].record

    def record_sent(self, uuid: str, region: str) -> list[Desired]:
        """What is on its way to that region, the newest alone."""
        record = self.record(uuid)
        newest = record.region(region).sent[-1]
        return [Desired(region, record.kind, uuid, newest.version, newest.fields, None)]

    def applied(self, *desired: Desired) -> None:
        """The regions have done as they were told, each under the canonical UUID."""
        self.say(
            *(
                Observation(one.region, one.kind, one.uuid, one.fields, NOW, "apply", applied=one.version)
                for one in desired
            )
        )


def new_log(store: HubStore, sources: Mapping[str, Sources] | None = None) -> Log:
    """`sources`: what regions are limited to; none is where it is not given."""
    return Log(store, Merger(store, Topology(REGIONS, sources=sources or {})))


def domain(region: str, uuid: str, name: str = "", parent: str = ROOT, *, time: int = NOW) -> Observation:
    return Observation(region, Kind.DOMAIN, uuid, fields(Kind.DOMAIN, name or uuid, parent), time)


def account(
    region: str, uuid: str, name: str = "", parent: str = ROOT, founder: str | None = None, *, time: int = NOW
) -> Observation:
    made = Founder(founder, fields(Kind.USER, founder, uuid)) if founder else None
    held = fields(Kind.ACCOUNT, name or uuid, parent)
    return Observation(region, Kind.ACCOUNT, uuid, held, time, founder=made)


def user(region: str, uuid: str, name: str = "", parent: str = "acc", *, time: int = NOW) -> Observation:
    return Observation(region, Kind.USER, uuid, fields(Kind.USER, name or uuid, parent), time)


def gone(region: str, kind: Kind, uuid: str, *, time: int = NOW) -> Observation:
    return Observation(region, kind, uuid, None, time)
