"""The rig of one region with a scanner; a scan's hints go to the worker, and all that follows is carried
out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from pipeline.agents.merge import Merger, Seen
from pipeline.agents.publish import Message, Publisher
from pipeline.core import topics
from pipeline.core.compare import SHORT_SHARE
from pipeline.core.records import Desired, Observation, Position, Record, Topology
from pipeline.outbox.scans import ScanRow, ScanStore
from pipeline.reconcile.asking import Asking
from pipeline.reconcile.scan import Scanner
from tests.component.agents.rig import FAR, HERE, Rig
from tests.unit.agents.regions import account, domain, user

ROUNDS = 30
"""Of hints, merges and applying; what is not at rest then never will be."""
LATER_MS = 60_000
FAMILY = (
    domain(FAR, "dom"),
    account(FAR, "acc", parent="dom", founder="ann"),
    user(FAR, "ann"),
    user(FAR, "bob"),
)
"""A domain with an account and two users, as the other region tells of them."""


@dataclass
class Net:
    rig: Rig
    far: list[Desired] = field(default_factory=list)
    """What the other region was told."""

    @property
    def store(self) -> ScanStore:
        return ScanStore(self.rig.engine, HERE, self.rig.clock)

    @property
    def world(self) -> Any:
        return self.rig.region.region.world

    def scanner(self, share: float = SHORT_SHARE) -> Scanner:
        asking = Asking(cast(Publisher, self.rig.kafka), HERE, self.rig.clock)
        return Scanner(self.rig.desk.resources, self.store, asking, share)

    async def scan(self, share: float = SHORT_SHARE) -> ScanRow:
        """The scan alone; its hints stay in the topic."""
        self.rig.clock.now += LATER_MS  # later than all that was written before
        return await self.scanner(share).run("me")

    async def heal(self) -> ScanRow:
        """A scan and all that follows from it."""
        row = await self.scan()
        await self.rest()
        return row

    async def rest(self) -> None:
        for _ in range(ROUNDS):
            hints = self.rig.kafka.take(topics.events(HERE))
            for one in hints:
                await self.answer(one)
            desired = self.merge(*self.rig.observed())
            await self.rig.give(*desired)
            self.rig.clock.now += LATER_MS
            await self.rig.send_due()
            if not (hints or desired or self.rig.kafka.messages):
                return
        raise AssertionError(f"not at rest after {ROUNDS} rounds: {self.rig.kafka.messages[:3]}")

    async def answer(self, hint: Message) -> None:
        """By the worker."""
        key = (hint.key or b"").decode()
        await self.rig._acknowledged(self.rig.worker.take_event, topics.events(HERE), key, hint.value)

    def merge(self, *observations: Observation) -> list[Desired]:
        """As the hub does, with what it asks to be read below; what is to be applied here."""
        rig = self.rig
        seen = [Seen(one, Position("log/0", next(rig._offsets))) for one in observations]
        sent: list[Desired] = []
        while seen:
            batch = rig.merger.batch(seen)
            sent += [one for _, one, _ in rig.hub.commit(batch.changes, rig.clock(), (), batch.unborn)]
            rig.kafka.messages += [
                one for one in batch.below.hints(rig.hub) if one.topic == topics.events(HERE)
            ]
            seen = seen[batch.taken :]
        self.far += [one for one in sent if one.region == FAR]
        return [one for one in sent if one.region == HERE]

    def record(self, canonical: str) -> Record:
        return self.rig.hub.load([canonical])[canonical].record

    def names(self, kind: str) -> set[str]:
        """Of what the region holds: `domains`, `accounts` or `users`, by path."""
        return {key.rpartition("|" if "|" in key else "/")[2] for key in self.rig.region.dump()[kind]}

    async def family(self) -> None:
        """A domain with an account and two users, in both regions."""
        for one in FAMILY:
            await self.rig.give(*self.merge(one))
            self.merge(*self.rig.observed())
        self.far_did_all()
        self.rig.api.events.clear()
        self.rig.kafka.messages.clear()
        self.rig.region.calls.clear()

    def while_away(self, *observations: Observation) -> None:
        """The other region alone takes part: nothing is sent here, nor ever known of here."""
        everybody, self.rig.merger = self.rig.merger, Merger(self.rig.hub, Topology((FAR,)))
        self.merge(*observations)
        self.rig.merger = everybody

    def far_did_all(self) -> None:
        """The other region holds what it was told."""
        told, self.far = self.far, []
        self.merge(
            *(Observation(FAR, one.kind, one.uuid, one.fields, 1, applied=one.version) for one in told)
        )

    def hinted(self) -> set[str]:
        return {(one.key or b"").decode() for one in self.rig.kafka.messages}

    def lose(self, kind: str, uuid: str) -> None:
        """The region loses it as by a restored backup: without an event, and its UUID stays used up."""
        one = self.live(kind, uuid)
        {"Domain": self.world.remove_domain, "Account": self.world.remove_account}.get(
            kind, self.world.remove_user
        )(one)

    def live(self, kind: str, uuid: str) -> Any:
        number = self.world.by_uuid[kind][uuid]
        return {"Domain": self.world.domains, "Account": self.world.accounts}.get(kind, self.world.users)[
            number
        ]


__all__ = ["FAMILY", "FAR", "HERE", "Net"]
