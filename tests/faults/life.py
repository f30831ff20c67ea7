"""A life of domains, accounts and users as the far region tells it, in which each verb occurs.

In: a rig. Out: the simulated region as it stands after it, what its event log says was done there, and how
the outbox rows ended. Called by the tests of single faults, which let something fail on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pipeline.core.entities import DISABLED, ENABLED, LOCKED, Kind
from pipeline.core.records import Desired, Observation
from pipeline.outbox.schema import outbox
from tests.component.agents.rig import FAR, HERE, SERVICE, Rig
from tests.unit.agents.regions import account, domain, gone, user
from tests.unit.outbox.builders import rows

ROUNDS_MAX: Final = 40
"""How often what is put off is tried again before the test gives up."""

VERBS: Final = frozenset(
    {
        "createDomain",
        "createAccount",
        "createUser",
        "updateDomain",
        "updateAccount",
        "updateUser",
        "disableAccount",
        "disableUser",
        "enableAccount",
        "enableUser",
        "lockUser",
        "moveDomain",
        "moveUser",
        "deleteDomain",
        "deleteAccount",
        "deleteUser",
    }
)
"""All that the worker ever calls to change something."""


@dataclass
class Life:
    """What the far region holds; each method is the next thing that somebody does there."""

    held: dict[str, Observation] = field(default_factory=dict)

    def there(self, *made: Observation) -> list[Observation]:
        self.held.update({one.uuid: one for one in made})
        return list(made)

    def change(self, uuid: str, **fields: str) -> list[Observation]:
        before = self.held[uuid]
        return self.there(replace(before, fields={**(before.fields or {}), **fields}))

    def gone(self, kind: Kind, uuid: str) -> list[Observation]:
        del self.held[uuid]
        return [gone(FAR, kind, uuid)]

    def steps(self) -> Iterator[list[Observation]]:
        yield self.there(domain(FAR, "dom"), domain(FAR, "other"))
        yield self.there(account(FAR, "acc", parent="dom", founder="usr"), user(FAR, "usr"))
        yield self.there(account(FAR, "acc2", parent="dom", founder="usr2"), user(FAR, "usr2", parent="acc2"))
        yield self.there(user(FAR, "second"))
        yield self.change("dom", name="renamed", networkdomain="n.example")
        yield self.change("acc", name="acc-new", networkdomain="a.example")
        yield self.change("second", email="new@r1", lastname="New")
        yield self.change("second", state=DISABLED)
        yield self.change("second", state=ENABLED)
        yield self.change("second", state=LOCKED)
        yield self.change("acc", state=LOCKED)
        yield self.change("acc", state=ENABLED)
        yield self.change("acc2", state=DISABLED)
        yield self.change("other", parent="dom")
        yield self.change("second", parent="acc2")
        yield self.change("acc2", state=ENABLED)
        yield self.gone(Kind.USER, "second")
        yield self.gone(Kind.USER, "usr2") + self.gone(Kind.ACCOUNT, "acc2")
        yield self.gone(Kind.DOMAIN, "other")


@dataclass(frozen=True)
class End:
    """How it ended. `done`: event type → how often it was carried out in the region, by the sync's user."""

    region: Any
    done: Counter[str]
    states: Counter[str]


async def live(rig: Rig) -> End:
    """From beginning to end; each step is settled before the next."""
    for seen in Life().steps():
        await carried_out(rig, rig.merge(*seen))
    return ended(rig)


async def carried_out(rig: Rig, wanted: Sequence[Desired]) -> None:
    """The worker gets these; what it tells is merged, and what it puts off is tried again, until all that the
    hub wants of the region is done."""
    await rig.give(*wanted)
    for _ in range(ROUNDS_MAX):
        more = rig.merge(*rig.observed())
        await rig.give(*more)
        if not more and not open_rows(rig):
            return
        rig.clock.now += 60_000
        await rig.send_due()
    raise AssertionError(f"still open: {open_rows(rig)}")


def open_rows(rig: Rig) -> list[tuple[str, int, str, str]]:
    return [
        (one["entity"], one["version"], one["state"], one["message"])
        for one in rows(rig.engine, outbox)
        if one["region"] == HERE and one["state"] in ("pending", "published")
    ]


def ended(rig: Rig) -> End:
    """One row an entity, version and region is kept by the table itself; so each is delivered once."""
    log = rig.region.region.log.rows
    ours = [one for one in log if one.user.username == SERVICE or one.user.uuid == rig.region.service.userid]
    done = Counter(one.type for one in ours if one.state == "Completed" and one.level != "ERROR")
    states = Counter(one["state"] for one in rows(rig.engine, outbox) if one["region"] == HERE)
    return End(rig.region.dump(), done, states)
