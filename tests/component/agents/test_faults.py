"""A region that fails, and a worker that is killed: the same end, and no change written twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.errors import TemporaryError
from pipeline.core.records import Desired
from pipeline.outbox.region import Settlement
from pipeline.outbox.schema import attempt
from tests.component.agents.rig import FAR, HERE, SERVICE, Killed, Rig
from tests.unit.agents.regions import UUID_KINDS, account, domain, gone, user
from tests.unit.outbox.builders import rows

FAULTS = ["error_ratio", "drop_before_ratio", "drop_after_ratio"]


async def failing_once(rig: Rig, fault: str, *desired: Desired) -> None:
    """Every call fails in that way until the guard has waited for one; then the region is well again."""
    setattr(rig.region.faults, fault, 1.0)
    work = asyncio.create_task(rig.give(*desired))
    async with asyncio.timeout(10):
        while not rig.worker.guard.waiting and not work.done():
            await asyncio.sleep(0)
    setattr(rig.region.faults, fault, 0.0)
    await work


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_region_that_fails_is_waited_for(fault: str, rig: Rig) -> None:
    (wanted,) = rig.merge(domain(FAR, "dom"))
    await failing_once(rig, fault, wanted)
    assert rig.outbox(wanted)["state"] == "delivered"
    assert list(rig.region.dump()["domains"]) == ["ROOT/dom"]
    first, *more = [one["command"] for one in rows(rig.engine, attempt) if one["error"]]
    assert first == "createDomain", "what failed is written down too"
    assert set(more) <= {"listDomains"}, "after that it is read first"


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_change_whose_answer_is_lost_is_not_made_twice(fault: str, rig: Rig) -> None:
    """The read comes through, the change does not, or only its answer."""
    (dom,) = rig.merge(domain(FAR, "dom"))
    acc, usr = rig.merge(account(FAR, "acc", parent="dom", founder="usr"))
    (second,) = rig.merge(user(FAR, "second"))
    real = rig.desk.client.call
    struck: set[str] = set()

    async def call(command: str, params: dict[str, str]) -> dict[str, object]:
        if command.startswith(("create", "delete")) and command not in struck:
            struck.add(command)
            setattr(rig.region.faults, fault, 1.0)
        try:
            return await real(command, params)
        finally:
            setattr(rig.region.faults, fault, 0.0)

    rig.desk.client.call = call  # type: ignore[method-assign, assignment]
    await rig.give(dom, acc, usr, second)
    assert [rig.outbox(one)["state"] for one in (dom, acc, usr, second)] == ["delivered"] * 4
    made = {"createDomain": 1, "createAccount": 1, "createUser": 1}
    assert struck == made.keys()
    assert rig.writes() == made
    assert set(rig.region.dump()["users"]) == {"ROOT/dom|acc|usr", "ROOT/dom|acc|second"}
    rig.merge(*rig.observed())
    removals = [
        *rig.merge(gone(FAR, Kind.ACCOUNT, "acc")),
        *rig.merge(gone(FAR, Kind.USER, "usr")),
        *rig.merge(gone(FAR, Kind.USER, "second")),
    ]
    await rig.give(removals[0])
    assert rig.outbox(removals[0])["state"] == "delivered"
    assert rig.region.dump()["accounts"] == {}


async def test_throttling_slows_down_and_loses_nothing(rig: Rig) -> None:
    rig.region.faults.throttle_per_s = 3
    wanted = rig.merge(*(domain(FAR, f"d{number}") for number in range(4)))
    await asyncio.gather(*(rig.give(one) for one in wanted))
    assert {rig.outbox(one)["state"] for one in wanted} == {"delivered"}
    assert rig.writes().get("createDomain") == 4
    assert 429 in {one["status"] for one in rows(rig.engine, attempt)}


async def test_a_region_that_is_down_is_waited_for_and_nothing_is_given_up(rig: Rig) -> None:
    (wanted,) = rig.merge(domain(FAR, "dom"))
    await rig.region.stop()
    work = asyncio.create_task(rig.give(wanted))
    async with asyncio.timeout(10):
        while len(rows(rig.engine, attempt)) < 10:
            await asyncio.sleep(0)
    assert rig.outbox(wanted)["state"] == "pending"
    await rig.region.start()
    await work
    assert rig.outbox(wanted)["state"] == "delivered"


async def test_a_hint_survives_a_region_that_is_down(rig: Rig) -> None:
    made = await rig.api.domain("Sales")
    await rig.region.stop()
    work = asyncio.create_task(rig.hear())
    async with asyncio.timeout(10):
        while not rig.worker.guard.waiting:
            await asyncio.sleep(0)
    await rig.region.start()
    await work
    assert [one.uuid for one in rig.observed()] == [made]


@pytest.mark.parametrize("what", ["created", "updated", "removed"])
async def test_killed_between_the_call_and_its_settlement(what: str, rig: Rig) -> None:
    """Done again by the next worker: it finds nothing left to do, by a read or, where it takes it for new,
    by CloudStack's refusal."""
    if what != "created":
        await rig.tell(domain(FAR, "dom"))
    rig.writes()
    seen = {
        "created": domain(FAR, "dom"),
        "updated": domain(FAR, "dom", "renamed"),
        "removed": gone(FAR, Kind.DOMAIN, "dom"),
    }
    (wanted,) = rig.merge(seen[what])
    rig.kafka.dies_at = topics.OBSERVATIONS
    with pytest.raises(Killed):
        await rig.give(wanted)
    assert rig.outbox(wanted)["state"] == "pending"
    assert sum(rig.writes().values()) == 1
    await rig.end()
    rig.begin()
    held = rig.region.dump()
    await rig.give(wanted)
    assert rig.region.dump() == held
    assert (rig.outbox(wanted)["state"], rig.outbox(wanted)["message"]) == ("delivered", "nothing to do")
    (told,) = rig.observed()
    assert (told.applied, told.fields) == (wanted.version, wanted.fields)


async def test_killed_before_a_hint_was_answered(rig: Rig) -> None:
    made = await rig.api.domain("Sales")
    rig.kafka.dies_at = topics.OBSERVATIONS
    with pytest.raises(Killed):
        await rig.look(Kind.DOMAIN, made)
    await rig.end()
    rig.begin()
    await rig.look(Kind.DOMAIN, made)
    assert [one.uuid for one in rig.observed()] == [made]


async def test_a_row_whose_publishing_crashed_is_sent_by_the_timer(rig: Rig) -> None:
    """The worker's own loop, as it runs: nobody gives it the row."""
    (wanted,) = rig.merge(domain(FAR, "dom"))
    rig.clock.now += 61_000
    await rig.end()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(type(rig.worker)(rig.desk, 1).run())
        while not any(one.topic.endswith("desired.r2") for one in rig.kafka.messages):
            await asyncio.sleep(0.01)
        running.cancel()
    assert [one.value for one in rig.kafka.messages] == [rig.outbox(wanted)["body"]]
    assert rig.region.calls.writes(SERVICE) == 0


async def test_a_settlement_that_collides_with_the_hubs_writing_is_written_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read or made once more for it."""
    (wanted,) = rig.merge(domain(FAR, "dom"))
    real, collisions = rig.desk.store.settle, [TemporaryError("deadlock"), TemporaryError("somebody else")]

    def settle(settlements: Sequence[Settlement], now: int) -> None:
        if collisions:
            raise collisions.pop()
        real(settlements, now)

    monkeypatch.setattr(rig.desk.store, "settle", settle)
    await rig.give(wanted)
    assert (rig.outbox(wanted)["state"], rig.commands(wanted)) == ("delivered", ["createDomain"])
    assert rig.region.calls.by_command(SERVICE) == {"createDomain": 1}


async def died_after_creating(rig: Rig, *desired: Desired) -> None:
    """Each was made by a worker that was killed before it could say so; another worker is there now."""
    for one in desired:
        rig.kafka.dies_at = topics.OBSERVATIONS
        with pytest.raises(Killed):
            await rig.give(one)
        await rig.end()
        rig.begin()
    rig.writes()


async def family(rig: Rig, kind: Kind) -> Desired:
    """A domain, an account, a second user of it; the last one, of `kind`, is still to be applied."""
    founded = account(FAR, "acc", parent="dom", founder="usr")
    story = {
        Kind.DOMAIN: [domain(FAR, "dom")],
        Kind.ACCOUNT: [domain(FAR, "dom"), founded],
        Kind.USER: [domain(FAR, "dom"), founded, user(FAR, "usr"), user(FAR, "second")],
    }[kind]
    for one in story[:-1]:
        await rig.tell(one)
    wanted, *_ = rig.merge(story[-1])
    return wanted


@pytest.mark.parametrize("kind", UUID_KINDS)
async def test_what_a_dead_worker_made_and_a_person_removed_is_removed(kind: Kind, rig: Rig) -> None:
    wanted = await family(rig, kind)
    await died_after_creating(rig, wanted)
    if kind is Kind.USER:
        await rig.api("deleteUser", id=wanted.uuid)
    else:
        await rig.api.job(f"delete{kind}", id=wanted.uuid)
    await rig.give(wanted)
    assert rig.writes().keys() == {f"create{kind}"}, "refused, and nothing else was tried"
    assert rig.outbox(wanted)["message"] == "created before, and removed there since"
    rig.merge(*rig.observed())
    record = rig.hub.load([wanted.uuid])[wanted.uuid].record
    assert not record.life.present
    assert record.life.stamp.region == HERE


async def test_what_a_dead_worker_made_is_brought_up_to_date(rig: Rig) -> None:
    """Its values are older than the record's: nobody changed them there."""
    wanted = await family(rig, Kind.USER)
    await died_after_creating(rig, wanted)
    (newer,) = rig.merge(replace(user(FAR, "second"), fields={**(wanted.fields or {}), "email": "new@r1"}))
    await rig.give(newer)
    assert rig.outbox(newer)["message"] == "updateUser"
    assert rig.region.dump()["users"]["ROOT/dom|acc|second"]["email"] == "new@r1"


async def test_what_a_dead_worker_made_and_a_person_changed_is_told(rig: Rig) -> None:
    wanted = await family(rig, Kind.USER)
    await died_after_creating(rig, wanted)
    await rig.api("updateUser", id="second", email="local@r2")
    (newer,) = rig.merge(replace(user(FAR, "second"), fields={**(wanted.fields or {}), "email": "new@r1"}))
    await rig.give(newer)
    assert rig.outbox(newer)["message"] == "nothing to do; left alone: email"
    (told,) = rig.observed()
    assert (told.fields or {})["email"] == "local@r2"
    changed = [one for one in rig.region.region.log.rows if one.type == "USER.UPDATE"][-1]
    assert told.time == changed.created_ms // 1000 * 1000, "the change's own time"


async def test_an_account_that_goes_while_its_user_is_made_costs_no_user_its_row(rig: Rig) -> None:
    wanted = await family(rig, Kind.USER)
    await rig.api.job("disableAccount", id="acc", lock="false")
    real = rig.desk.client.call

    async def call(command: str, params: dict[str, str]) -> dict[str, object]:
        if command == "enableAccount":
            await rig.api.job("deleteAccount", id="acc")
        return await real(command, params)

    rig.desk.client.call = call  # type: ignore[method-assign, assignment]
    await rig.give(wanted)
    parked = rig.outbox(wanted)
    assert (parked["state"], parked["waits_for"]) == ("pending", "acc")
    assert rig.hinted() == {"acc"}, "what befell it is asked for"
    rig.merge(gone(HERE, Kind.ACCOUNT, "acc"))
    rig.clock.now += 60_000
    await rig.send_due()
    assert rig.outbox(wanted)["state"] == "pending", "waits for its parent, or for its own removal"


async def test_an_account_that_goes_before_a_user_moves_there_costs_no_user_its_row(rig: Rig) -> None:
    await family(rig, Kind.USER)
    await rig.tell(account(FAR, "acc2", parent="dom", founder="usr2"))
    (moved,) = rig.merge(user(FAR, "usr", parent="acc2"))
    await rig.api.job("deleteAccount", id="acc2")
    await rig.give(moved)
    parked = rig.outbox(moved)
    assert (parked["state"], parked["waits_for"]) == ("pending", "acc2")
    assert rig.hinted() == {"acc2"}
    rig.merge(gone(HERE, Kind.ACCOUNT, "acc2"))
    rig.clock.now += 60_000
    await rig.send_due()
    assert rig.outbox(moved)["state"] == "pending", "parked for its parent"
