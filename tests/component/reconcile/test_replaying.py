"""`replay` applies the records to a region again: right at no call, lost and differing put right, and behind
everything else that waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import wire
from pipeline.agents.apply import Rules
from pipeline.agents.publish import Message
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.mode import Mode
from pipeline.core.records import Observation
from pipeline.core.removal import Limits, Policy
from pipeline.core.replay import YIELDING, Touched, most_calls
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.holding import HoldStore
from pipeline.outbox.hub import REPUBLISH_AFTER_MS
from pipeline.outbox.replays import Replay, ReplayStore
from pipeline.outbox.schema import outbox
from pipeline.reconcile.replaying import LOOK_EVERY_S, Replayed, Replayer
from tests.component.reconcile.machine_laws import findings, removed_by_nobody
from tests.component.reconcile.machine_mishaps import copied, state
from tests.component.reconcile.machine_rig import Site
from tests.component.reconcile.machine_world import MachineWorld
from tests.component.reconcile.net import FAMILY, FAR, HERE, Net
from tests.unit.agents.regions import account, domain, gone, user
from tests.unit.outbox.builders import rows

LIMIT_S = 60.0
STALLED_S = 30.0
FEW = 10
SOME_HUNDRED = (8, 40, 160)
"""Domains, accounts, users."""
LATER_MS = 5_000


class Killed(BaseException):
    """The command's process ended here."""


@dataclass
class Told(ReplayStore):
    """The real store; remembers what was sent, and dies when it is told to."""

    sent: list[str] = field(default_factory=list)
    dies_after: int | None = None

    def __init__(self, net: Net) -> None:
        super().__init__(net.rig.engine, HERE, net.rig.clock)
        self.sent = []
        self.dies_after = None

    def send(self, replay: Replay, uuids: Any) -> Any:
        turns = super().send(replay, uuids)
        self.sent += uuids
        if self.dies_after is not None and len(self.sent) >= self.dies_after:
            raise Killed
        return turns


def store_of(net: Net) -> Told:
    net.rig.clock.now += LATER_MS  # later than all that was written before
    return Told(net)


async def replay(net: Net, store: Told | None = None, said: str = "beginning", since: int = 0) -> Replayed:
    """While the worker and the hub do their work."""
    store = store or store_of(net)
    begun = store.begin(said, since, By("ann", said, net.rig.clock()))
    found = store.touched(begun.since)
    replaying = asyncio.create_task(Replayer(store, 0.0, STALLED_S).run(begun, *found))
    async with asyncio.timeout(LIMIT_S):
        while not replaying.done():
            await work(net)
            await asyncio.sleep(0.01)
    return await replaying


async def work(net: Net) -> None:
    """What the worker and the hub have to do now."""
    net.rig.clock.now += 1
    for one in net.rig.kafka.take(topics.events(HERE)):
        await net.answer(one)
    await net.rig.give(*net.merge(*net.rig.observed()))
    await net.rig.send_due()


def reads(net: Net) -> Counter[str]:
    made = net.rig.region.calls.by_command("svc-sync")
    return Counter({name: n for name, n in made.items() if name.startswith("list")})


def states(net: Net) -> Counter[str]:
    return Counter(one["state"] for one in rows(net.rig.engine, outbox) if one["region"] == HERE)


async def test_what_is_right_costs_one_read_and_no_call(net: Net) -> None:
    await net.family()
    before = {uuid: net.record(uuid) for uuid in ("dom", "acc", "ann", "bob")}
    came = await replay(net)
    assert (came.done, came.failed, came.left_out, came.waiting) == (4, [], [], 0)
    assert reads(net) == {"listDomains": 1, "listAccounts": 1, "listUsers": 2}
    assert net.rig.writes() == {}
    assert states(net) == {"delivered": 8}
    for uuid, record in before.items():
        assert net.record(uuid).fields == record.fields
        assert net.record(uuid).version == record.version + 1
        assert net.record(uuid).region(HERE).sent == ()
    assert net.far == [], "the other region is told nothing"


async def test_parents_come_before_children_and_removals_after_them_children_first(net: Net) -> None:
    await net.family()
    for one in (domain(FAR, "sub", parent="dom"), domain(FAR, "old"), account(FAR, "oldacc", parent="old")):
        await net.rig.give(*net.merge(one))
    await net.rest()
    for uuid, kind in (("oldacc", Kind.ACCOUNT), ("old", Kind.DOMAIN)):
        await net.rig.give(*net.merge(gone(FAR, kind, uuid)))
    await net.rest()
    assert "old" not in net.names("domains")
    net.rig.writes()
    store = store_of(net)
    came = await replay(net, store)
    assert (came.done, came.failed, came.waiting) == (7, [], 0)
    assert store.sent == ["dom", "sub", "acc", "ann", "bob", "oldacc", "old"]
    assert net.rig.writes() == {}


async def test_what_the_region_lost_is_made_again_and_removed_nowhere(net: Net) -> None:
    await net.family()
    net.lose("User", "ann")
    net.lose("Account", "acc")
    net.lose("Domain", "dom")
    came = await replay(net)
    assert (came.done, came.failed, came.waiting) == (4, [], 0)
    assert net.names("domains") == {"dom"} and net.names("users") >= {"ann", "bob"}
    assert all(net.record(uuid).life.present for uuid in ("dom", "acc", "ann", "bob"))
    assert net.far == []
    assert net.rig.local("dom") != "dom", "its UUID is used up there"
    made = net.rig.writes()
    wanted = [(one.kind, most_calls(one.kind, present=True)) for one in FAMILY]
    assert sum(made.values()) <= sum(most for _, most in wanted)
    assert (await replay(net)).done == 4
    assert net.rig.writes() == {}


async def test_what_a_backup_brought_back_is_removed_again(net: Net) -> None:
    await net.family()
    await net.rig.give(*net.merge(gone(FAR, Kind.USER, "bob")))
    await net.rest()
    assert "bob" not in net.names("users")
    bob = net.live("User", "bob")
    bob.removed = False
    net.world._index_user(bob)
    assert "bob" in net.names("users")
    net.rig.writes()
    came = await replay(net)
    assert (came.done, came.failed) == (4, [])
    assert net.rig.writes() == {"deleteUser": 1}


async def test_a_change_that_nobody_has_seen_yet_is_left_alone_and_told(net: Net) -> None:
    await net.family()
    await net.rig.api("updateUser", id="ann", email="ann@here")
    net.rig.api.events.clear()  # the bus lost it
    came = await replay(net)
    assert (came.done, came.failed) == (4, [])
    assert net.rig.region.dump()["users"]["ROOT/dom|acc|ann"]["email"] == "ann@here"
    assert net.record("ann").fields["email"].text == "ann@here"
    assert [one.uuid for one in net.far] == ["ann"]


async def test_a_change_in_the_same_moment_is_not_taken_back(net: Net) -> None:
    """It is merged after the replay's row was written and before that is applied."""
    await net.family()
    store = store_of(net)
    begun = store.begin("1h", 0, By("ann", "1h", net.rig.clock()))
    store.send(begun, ["ann"])
    change = dict(net.record("ann").desired() or {}) | {"email": "ann@far"}
    [newer] = net.merge(Observation(FAR, Kind.USER, "ann", change, net.rig.clock() + 1))
    await net.rest()
    await net.rig.give(newer)
    await net.rest()
    assert net.rig.region.dump()["users"]["ROOT/dom|acc|ann"]["email"] == "ann@far"
    assert net.record("ann").region(HERE).sent == ()
    assert net.rig.writes() == {"updateUser": 1}


async def test_only_what_was_touched_since(net: Net) -> None:
    await net.family()
    store = store_of(net)
    change = dict(net.record("ann").desired() or {}) | {"email": "ann@far"}
    since = net.rig.clock()
    await net.rig.give(*net.merge(Observation(FAR, Kind.USER, "ann", change, since)))
    await net.rest()
    assert [one.uuid for one in store.touched(since)[0]] == ["ann"]
    assert [one.uuid for one in store.touched(None, {"bob", "nobody"})[0]] == ["bob"]
    assert len(store.touched(0)[0]) == 4
    net.rig.region.calls.clear()
    came = await replay(net, said="1h", since=since)
    assert came.done == 1 and reads(net) == {"listUsers": 1}


async def test_killed_and_said_again_it_does_nothing_twice(net: Net) -> None:
    await net.family()
    first = store_of(net)
    first.dies_after = 1
    begun = first.begin("2h", 0, By("ann", "2h", net.rig.clock()))
    with pytest.raises(Killed):
        await Replayer(first, 0.0).run(begun, [Touched("dom", Kind.DOMAIN, "ROOT", True)], {})
    await net.rest()
    again = store_of(net)
    came = await replay(net, again, "2h", net.rig.clock())
    assert (came.before, came.done) == (1, 3)
    assert sorted(again.sent) == ["acc", "ann", "bob"]
    assert reads(net) == {"listDomains": 1, "listAccounts": 1, "listUsers": 2}
    assert len(ActStore(net.rig.engine).acts("region", [0])[0]) == 1, "one replay, one line of the audit"
    assert not again.find("2h", 0).resumed, "it is over"


async def test_what_an_earlier_run_sent_and_nobody_applied_is_waited_for(net: Net) -> None:
    await net.family()
    first = store_of(net)
    begun = first.begin("2h", 0, By("ann", "2h", net.rig.clock()))
    first.send(begun, ["dom", "ann"])
    came = await replay(net, store_of(net), "2h")
    assert (came.before, came.done) == (0, 4)
    assert states(net) == {"delivered": 8}


async def test_two_at_once_share_the_work(net: Net) -> None:
    await net.family()
    store, other = store_of(net), Told(net)
    begun = store.begin("2h", 0, By("ann", "2h", net.rig.clock()))
    same = other.begin("2h", 0, By("bob", "2h", net.rig.clock()))
    found = store.touched(0)
    both = asyncio.gather(
        Replayer(store, 0.0, STALLED_S).run(begun, *found), Replayer(other, 0.0, STALLED_S).run(same, *found)
    )
    async with asyncio.timeout(LIMIT_S):
        while not both.done():
            await work(net)
            await asyncio.sleep(0.01)
    assert all(came.over == 4 for came in await both)
    assert states(net) == {"delivered": 8}


async def test_what_a_person_decides_is_left_to_that_person(net: Net) -> None:
    await net.family()
    await net.rig.restart(Rules(limits=Limits(Policy.HOLD)))
    for uuid in ("ann", "bob"):
        await net.rig.give(*net.merge(gone(FAR, Kind.USER, uuid)))
    await net.rest()
    holds = {one.entity: one.id for one in HoldStore(net.rig.engine).holds()}
    ActStore(net.rig.engine).refuse(holds["ann"], By("ann", "she stays", net.rig.clock()))
    came = await replay(net)
    assert {one.entity.uuid for one in came.left_out} == {"ann", "bob"}
    assert (came.done, came.failed, came.waiting) == (2, [], 0)
    assert net.names("users") >= {"ann", "bob"}
    assert [one.entity for one in HoldStore(net.rig.engine).holds()] == ["bob"]


async def test_in_mode_plan_the_calls_are_only_worked_out(net: Net) -> None:
    await net.family()
    net.lose("User", "bob")
    await net.rig.restart(Rules(Mode.PLAN))
    came = await replay(net)
    assert [(one.entity.uuid, one.words.partition("(")[0]) for one in came.left_out] == [
        ("bob", "mode plan: createUser")
    ]
    assert (came.done, net.rig.writes()) == (3, {})


def with_role(role: str) -> Observation:
    one = account(FAR, "acc")
    return replace(one, fields={**(one.fields or {}), "role": role})


async def test_what_had_failed_is_tried_again_under_a_new_version(net: Net) -> None:
    rare = (await net.rig.api("createRole", name="Rare", type="Admin")).body["role"]["id"]
    await net.rig.give(*net.merge(with_role("Rare")))
    await net.rig.give(*net.merge(user(FAR, "ann")))
    await net.rest()
    assert states(net) == {"dead": 1, "pending": 1}
    await net.rig.api("updateRole", id=rare, type="User")
    came = await replay(net)
    assert (came.done, came.failed, came.waiting) == (2, [], 0)
    assert states(net)["dead"] == 0 and "ann" in net.names("users")
    assert net.rig.hub.load(["acc"])["acc"].record.region(HERE).sent == ()


async def test_what_is_in_something_that_failed_is_not_waited_for(net: Net) -> None:
    await net.rig.api("createRole", name="Rare", type="Admin")
    await net.rig.give(*net.merge(with_role("Rare")))
    await net.rig.give(*net.merge(user(FAR, "ann"), user(FAR, "bob")))
    await net.rest()
    came = await replay(net)
    assert {one.entity.uuid for one in came.failed} == {"acc", "ann", "bob"}
    assert came.waiting == 0
    came = await replay(net)
    assert {one.entity.uuid for one in came.failed} == {"acc", "ann", "bob"}


async def test_a_change_that_comes_meanwhile_has_a_bounded_number_before_it(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While all is quiet so many are under way; while anything else waits, only a few."""
    monkeypatch.setattr("pipeline.core.replay.IN_FLIGHT", FEW)
    many = [user(FAR, f"u{number:03}") for number in range(2 * FEW)]
    await net.family()
    await net.rig.give(*net.merge(*many))
    net.merge(*net.rig.observed())
    store = store_of(net)
    begun = store.begin("2h", 0, By("ann", "2h", net.rig.clock()))
    found = store.touched(0)
    await Replayer(store, 0.0, 0.0).run(begun, *found)
    assert len(store.sent) == FEW, "nobody has applied one yet"
    ahead = [wire.desired(one.value) for one in await due(net)]
    assert len(ahead) == FEW
    change = dict(net.record("u019").desired() or {}) | {"email": "late@far"}
    [live] = net.merge(Observation(FAR, Kind.USER, "u019", change, net.rig.clock() + 1))
    net.rig.hub.published([net.rig.outbox(live)["id"]], net.rig.clock())
    await net.rig.give(*ahead)
    net.merge(*net.rig.observed())
    again = Told(net)
    await Replayer(again, 0.0, 0.0).run(again.begin("2h", 0, By("ann", "2h", 1)), *found)
    assert len(await due(net)) == YIELDING, "the change waits: hardly any more are sent"
    await net.rig.give(live)
    assert net.rig.outbox(live)["state"] == "delivered"
    net.rig.clock.now += REPUBLISH_AFTER_MS
    came = await replay(net, said="2h")
    assert (came.waiting, came.failed, came.over) == (0, [], 2 * FEW + 4)
    assert net.rig.writes() == {"updateUser": 1, **dict.fromkeys(("createUser",), 2 * FEW)}


async def due(net: Net) -> list[Message]:
    """What the worker's timer publishes now."""
    await net.rig.desk.send_due(2 * FEW)
    return net.rig.kafka.take(topics.desired(HERE))


async def test_without_a_worker_it_gives_up_and_goes_on_when_said_again(net: Net) -> None:
    await net.family()
    store = store_of(net)
    begun = store.begin("2h", 0, By("ann", "2h", net.rig.clock()))
    came = await Replayer(store, 0.01, 0.2).run(begun, *store.touched(0))
    assert (came.over, came.waiting) == (0, 4)
    came = await replay(net, said="2h")
    assert (came.over, came.waiting) == (4, 0)
    assert states(net) == {"delivered": 8}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MachineWorld]:
    """Two regions, the hub and the workers, in virtual time."""
    world = MachineWorld(tmp_path, count=2)
    yield world
    world.close()


async def filled(world: MachineWorld, *entities: int) -> None:
    """Both regions hold so many domains, accounts and users."""
    world.sites[0].region.load(*entities)
    await world.scan(world.sites[0])
    await world.drain()
    assert world.sites[1].region.dump() == world.sites[0].region.dump()


async def replayed(world: MachineWorld, site: Site) -> Replayed:
    """While everybody does their work."""
    store = ReplayStore(world.engine, site.region.name, world.clock)
    begun = store.begin("beginning", 0, By("ann", "beginning", world.clock()))
    replaying = asyncio.create_task(Replayer(store).run(begun, *store.touched(0)))
    while not replaying.done():
        await world.drain()
        await asyncio.sleep(LOOK_EVERY_S)
    return await replaying


def test_an_empty_region_is_built_again_from_the_records_alone(world: MachineWorld) -> None:
    """Restored to nothing: no UUID is used up there, no event tells of anything. Its worker dies on the way,
    people go on working in the other region."""
    here, there = world.sites
    empty = copied(there, state(there))

    async def rebuild() -> Replayed:
        await filled(world, *SOME_HUNDRED)
        region = there.region
        region.world, region.log, region.archived, region.system_user = empty
        region.sessions.clear()
        assert not there.region.dump()["users"]
        await world.call(here, "createDomain", name="late")
        there.process.left = 150  # calls and messages, then it dies
        region.calls.clear()
        return await replayed(world, there)

    came = world.run(rebuild())
    assert (came.failed, came.left_out, came.waiting) == ([], [], 0)
    assert there.deaths == 1
    assert came.done >= sum(SOME_HUNDRED)
    assert world.run(findings(world)).broken == []
    assert there.region.dump() == here.region.dump()
    assert there.region.dump()["domains"].keys() >= {"ROOT/late", "ROOT/load-d1"}
    assert removed_by_nobody(world) == []
    most = sum(
        most_calls(one.kind, present=True) for one in ReplayStore(world.engine, "r2", int).touched(0)[0]
    )
    assert there.region.calls.writes("svc-sync") <= most
    assert here.region.calls.writes("svc-sync") == 0
