"""The whole path in memory, driven by one random source: the real merge and plan between three small regions.

In: a random source (seeded, or hypothesis'). Out: what the laws are held against. Each step is one thing that
one process does, and everything at once may be cut off, late, doubled, lost or refused. Used by
test_schedules.py.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from pipeline.core import merge as merging
from pipeline.core import plan as planning
from pipeline.core.effect import unlike
from pipeline.core.entities import DISABLED, ENABLED, FIELDS, LOCKED, ROOT, Kind
from pipeline.core.limits import UNLIMITED
from pipeline.core.records import Conflict, Desired, Observation, Position, Record, Topology
from tests.unit.core.world import Refused, Region

NAMES = ("r1", "r2", "r3")
STAYING = (Kind.ACCOUNT, Kind.ROLE)
"""No call moves them."""
SKEW_MS = 30_000
LIMITS = ("limit_user_vm", "limit_cpu")
START = 1_800_000_000_000


class Crash(Exception):
    """The worker died here: what was not written down is done again."""


@dataclass
class Worker:
    """A region's worker: positions in its two topics, and what it wrote down (durable)."""

    region: Region
    desired: list[Desired] = field(default_factory=list)
    read_events: int = 0
    read_desired: int = 0
    applied: dict[str, tuple[int, dict[str, str] | None]] = field(default_factory=dict)
    dead: list[Desired] = field(default_factory=list)
    cut_off: bool = False
    published: dict[str, dict[str, str] | None] = field(default_factory=dict)


class Model:
    """Everything, and the steps it can take."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = START
        self.topology = Topology(NAMES, rng.choice((None, None, *NAMES)))
        self.workers = {name: Worker(Region(name, rng.randrange(-SKEW_MS, SKEW_MS))) for name in NAMES}
        for worker in self.workers.values():
            worker.region.defaults = self._defaults()
        self.kinds: dict[str, Kind] = {}
        self.records: dict[str, Record] = {}
        self.log: list[Observation] = []
        self.merged_to = 0
        self.unpublished: list[Desired] = []
        self.outbox: list[Desired] = []
        self.ledger: list[Conflict] = []
        self.replaced: set[tuple[str, str, str]] = set()
        self.deleted: set[str] = set()
        self.writes = 0
        self.mishaps = 0
        self.serial = 0
        self.calm = False

    # What people do

    def create(self) -> None:
        """Somebody makes an entity in one region."""
        kind = self.rng.choice(tuple(Kind))
        uuid = f"e{len(self.kinds)}"
        self.kinds[uuid] = kind
        worker = self._any()
        worker.region.put(uuid, self._born(kind))
        self._changed_by_hand(worker, uuid)

    def change(self, worker: Worker | None = None, uuid: str | None = None) -> None:
        """Somebody changes one or two fields of what a region holds."""
        worker = worker or self._any()
        uuid = uuid or self._held(worker)
        if uuid is None or uuid not in worker.region.entities:
            return
        fields = worker.region.entities[uuid]
        names = [name for name in fields if name != "parent" or self.kinds[uuid] not in STAYING]
        for name in self.rng.sample(names, self.rng.choice((1, 1, 2))):
            told = worker.published.get(uuid)
            if name != "state" and told is not None and told[name] == fields[name]:
                self.replaced.add((uuid, name, fields[name]))
            fields[name] = self._fresh(name, fields[name])
        self._changed_by_hand(worker, uuid)

    def delete(self) -> None:
        """Somebody removes an entity where it is known to be."""
        worker = self._any()
        uuid = self._held(worker)
        if uuid is None or worker.published.get(uuid) is None:
            return
        del worker.region.entities[uuid]
        self.deleted.add(uuid)
        self._changed_by_hand(worker, uuid)

    # What the processes do

    def observe(self, worker: Worker) -> None:
        """The next hint: read, publish. The event's time is all that is known of when."""
        if worker.cut_off or worker.read_events >= len(worker.region.events):
            return
        uuid, time = worker.region.events[worker.read_events]
        worker.read_events += 1
        if not self.calm and self.rng.random() < 0.1:
            return  # the bus lost it: the scan will find out
        self._publish(worker, uuid, time, None)

    def merge(self) -> None:
        """The hub takes the next observation; record and rows are written in one transaction."""
        if self.merged_to >= len(self.log):
            return
        offset, self.merged_to = self.merged_to, self.merged_to + 1
        seen = self.log[offset]
        merged = merging.merge(self.records.get(seen.uuid), seen, Position("log/0", offset), self.topology)
        if merged.record is not None:
            self.records[seen.uuid] = merged.record
        self.unpublished += merged.desired
        self.outbox += merged.desired
        self.ledger += merged.conflicts

    def send(self) -> None:
        """Publishes the oldest row that was not."""
        if self.unpublished:
            row = self.unpublished.pop(0)
            self.workers[row.region].desired.append(row)

    def apply(self, worker: Worker) -> None:
        """The next desired state of one region, by the rules; a death in the middle is seen by the reader."""
        if worker.cut_off or worker.read_desired >= len(worker.desired):
            return
        message = worker.desired[worker.read_desired]
        try:
            self._apply(worker, message)
            worker.read_desired += 1
        except Refused:
            worker.dead.append(message)
            worker.read_desired += 1
        except Crash:
            self.restart(worker)

    def restart(self, worker: Worker) -> None:
        """Both topics again from somewhere before."""
        worker.read_desired = self.rng.randint(0, worker.read_desired)
        worker.read_events = self.rng.randint(0, worker.read_events)

    def restart_hub(self) -> None:
        self.merged_to = self.rng.randint(0, self.merged_to)

    def publish_again(self) -> None:
        """The timer takes a row for unpublished that was published."""
        if self.outbox:
            self.unpublished.append(self.rng.choice(self.outbox))

    def replay(self) -> None:
        """The record as it is goes to a region once more."""
        if self.records:
            uuid, region = self.rng.choice(sorted(self.records)), self.rng.choice(NAMES)
            again = merging.send_again(self.records[uuid], region)
            assert again.record is not None
            self.records[uuid] = again.record
            self.unpublished += again.desired
            self.outbox += again.desired

    def _apply(self, worker: Worker, message: Desired) -> None:
        uuid, region = message.uuid, worker.region
        version, applied = worker.applied.get(uuid, (0, None))
        if message.version <= version or self._is_superseded(message):
            return
        planned = planning.plan(self._target(worker, message, (version, applied)))
        whole = any(call.command == planning.IMPORT_ROLE for call in planned.calls)
        if planned.calls and not whole and self._mishap(0.03):
            self.change(worker, uuid)  # between the read and the first call: not a role's (its page)
        for call in planned.calls:
            if self._mishap(0.03):
                region.tell(uuid, self.now)  # a failed call raises Completed too
                raise Refused(call.command)
            region.execute(call, uuid)
            region.tell(uuid, self.now)
            self._die(0.02)
        wrote = bool(planned.calls) and not planned.left_alone
        self._publish(worker, uuid, region.clock(self.now), message, wrote=wrote)
        self._die(0.02)
        if planning.LIFE not in planned.left_alone:
            worker.applied[uuid] = (message.version, message.fields)

    def _target(
        self, worker: Worker, message: Desired, applied: tuple[int, dict[str, str] | None]
    ) -> planning.Target:
        known, fields = planning.latest(message.known, message.settled, applied[1], applied[0])
        return planning.Target(
            kind=message.kind,
            uuid=message.uuid,
            actual=worker.region.read(message.uuid),
            wanted=message.fields,
            known=known,
            applied=fields,
            held=worker.published.get(message.uuid) is not None,
            domain="d",
            account=(message.fields or {}).get("parent", ""),
        )

    def _is_superseded(self, message: Desired) -> bool:
        """The outbox knows a newer row for the same entity and region."""
        return any(
            row.region == message.region and row.uuid == message.uuid and row.version > message.version
            for row in self.outbox
        )

    def _publish(
        self, worker: Worker, uuid: str, time: int, applied: Desired | None, *, wrote: bool = False
    ) -> None:
        worker.published[uuid] = worker.region.read(uuid)
        self.log.append(self._word(worker, uuid, time, applied, wrote=wrote))

    def _word(
        self, worker: Worker, uuid: str, time: int, applied: Desired | None, *, wrote: bool = False
    ) -> Observation:
        name, held = worker.region.name, worker.region.read(uuid)
        word = Observation(name, self.kinds[uuid], uuid, held, time, "model")
        if applied is None:
            return word
        return replace(word, applied=applied.version, unseen=unlike(applied.fields, held), wrote=wrote)

    # Chance

    def _mishap(self, chance: float) -> bool:
        if self.calm or self.rng.random() >= chance:
            return False
        self.mishaps += 1
        return True

    def _die(self, chance: float) -> None:
        if self._mishap(chance):
            raise Crash

    def _any(self) -> Worker:
        return self.workers[self.rng.choice(NAMES)]

    def _held(self, worker: Worker) -> str | None:
        return self.rng.choice(sorted(worker.region.entities)) if worker.region.entities else None

    def _born(self, kind: Kind) -> dict[str, str]:
        fields = {name: self._fresh(name) for name in FIELDS[kind]}
        return fields | ({"parent": ROOT} if kind is Kind.ROLE else {})

    def _fresh(self, name: str, now: str = "") -> str:
        """A value that was never there; of states there are only three."""
        if name == "state":
            return self.rng.choice([one for one in (ENABLED, DISABLED, LOCKED) if one != now])
        self.serial += 1
        return str(1_000 + self.serial) if name in LIMITS else f"{name}-{self.serial}"

    def _defaults(self) -> dict[str, str]:
        """Of one region: the usual ones, others, or none that are told."""
        usual = ("20", "40")
        chosen = self.rng.choice((usual, usual, ("50", UNLIMITED), ()))
        return dict(zip(LIMITS, chosen, strict=False))

    def _changed_by_hand(self, worker: Worker, uuid: str) -> None:
        self.writes += 1
        worker.region.tell(uuid, self.now)
