"""A region in mode plan or paused, and its way back to apply; calls that have no effect, and what starts them
again."""

from __future__ import annotations

from typing import Any

from pipeline.agents.apply import Rules
from pipeline.core.effect import TRIES_WITHOUT_EFFECT
from pipeline.core.entities import Kind
from pipeline.core.mode import Mode
from pipeline.core.records import Desired
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.audit import AuditStore
from pipeline.outbox.schema import entity, futile
from tests.component.agents.rig import FAR, HERE, Rig
from tests.component.agents.test_apply import changed, family
from tests.unit.agents.regions import account, domain, gone, user
from tests.unit.outbox.builders import NOW, row, rows

PLAN = Rules(Mode.PLAN)
PAUSED = Rules(Mode.PAUSED)


def states(rig: Rig, *desired: Desired) -> list[str]:
    return [rig.outbox(one)["state"] for one in desired]


async def test_in_mode_plan_every_call_is_written_down_and_none_is_made(rig: Rig) -> None:
    await rig.restart(PLAN)
    (of_domain,) = rig.merge(domain(FAR, "dom", "Sales"))
    of_account, of_user = rig.merge(account(FAR, "acc", parent="dom", founder="usr"))
    await rig.give(of_user, of_account, of_domain)
    assert rig.writes() == {}
    assert states(rig, of_domain, of_account, of_user) == ["held"] * 3
    planned = rig.outbox(of_domain)
    assert planned["result"] == "planned"
    assert planned["message"] == "mode plan: createDomain(name=Sales, parentdomainid=ROOT, domainid=dom)"
    assert (
        "createAccount(account=acc, domainid=dom, accountid=acc, role=User)"
        in rig.outbox(of_account)["message"]
    )
    await rig.give(of_user, of_account, of_domain)
    assert states(rig, of_domain, of_account, of_user) == ["held"] * 3, "told once more"

    await rig.restart(PAUSED)
    assert states(rig, of_domain) == ["held"]
    await rig.restart()
    for _ in range(3):
        await rig.send_due()
    assert states(rig, of_domain, of_account, of_user) == ["delivered"] * 3
    assert set(rig.region.dump()["users"]) == {"ROOT/Sales|acc|usr"}


async def test_in_mode_plan_a_newer_desired_state_replaces_the_one_that_is_held(rig: Rig) -> None:
    await family(rig)
    await rig.restart(PLAN)
    (old,) = rig.merge(changed(user(FAR, "usr"), firstname="Ann"))
    await rig.give(old)
    (new,) = rig.merge(changed(user(FAR, "usr"), firstname="Anna"))
    await rig.give(new)
    assert states(rig, old, new) == ["superseded", "held"]
    assert rig.outbox(new)["message"] == "mode plan: updateUser(id=usr, firstname=Anna)"
    await rig.restart()
    await rig.send_due()
    assert rig.region.dump()["users"]["ROOT/dom|acc|usr"]["firstname"] == "Anna"


async def test_in_mode_plan_a_removal_is_planned_and_nothing_counts_or_waits(rig: Rig) -> None:
    await family(rig)
    await rig.restart(PLAN)
    (removal,) = rig.merge(gone(FAR, Kind.DOMAIN, "dom"))
    await rig.give(removal)
    assert rig.outbox(removal)["message"] == "mode plan: deleteDomain(id=dom)"


async def test_in_mode_plan_what_is_as_wanted_is_delivered_and_told(rig: Rig) -> None:
    await family(rig)
    await rig.api("updateUser", id="usr", firstname="Ann")
    await rig.restart(PLAN)
    (wanted,) = rig.merge(changed(user(FAR, "usr"), firstname="Ann"))
    await rig.give(wanted)
    assert (states(rig, wanted), rig.writes()) == (["delivered"], {})
    assert [one.applied for one in rig.observed()] == [wanted.version]


async def test_a_paused_region_is_left_alone_and_observed_and_catches_up(rig: Rig) -> None:
    await family(rig)
    await rig.restart(PAUSED)
    (wanted,) = rig.merge(changed(user(FAR, "usr"), firstname="Ann"))
    await rig.give(wanted)
    waiting = rig.outbox(wanted)
    assert (waiting["state"], waiting["result"], waiting["message"]) == (
        "pending",
        "paused",
        "the region is paused",
    )
    assert (rig.region.calls.by_command("svc-sync"), rig.commands(wanted)) == ({}, [])
    await rig.look(Kind.DOMAIN, "dom")
    assert [one.uuid for one in rig.observed()] == ["dom"]
    await rig.restart()
    await rig.send_due()
    assert states(rig, wanted) == ["delivered"]


async def powerless(rig: Rig) -> Desired:
    """A domain whose name no call changes, and a desired state with another one, tried until it is dead."""
    await rig.tell(domain(FAR, "dom", "before"))
    rig.writes()
    real = rig.desk.client.call

    async def call(command: str, params: dict[str, str]) -> dict[str, Any]:
        return await real(command, {"id": "dom"} if command == "updateDomain" else params)

    rig.desk.client.call = call  # type: ignore[method-assign]
    (wanted,) = rig.merge(domain(FAR, "dom", "after"))
    await rig.give(wanted)
    await until_dead(rig, wanted)
    rig.desk.client.call = real  # type: ignore[method-assign]
    return wanted


async def until_dead(rig: Rig, wanted: Desired) -> None:
    for _ in range(TRIES_WITHOUT_EFFECT):
        rig.clock.now = rig.outbox(wanted)["due_time"]
        await rig.restart()
        await rig.send_due()
    assert rig.outbox(wanted)["state"] == "dead"


async def test_three_times_without_effect_it_stops_and_both_values_are_shown(rig: Rig) -> None:
    wanted = await powerless(rig)
    assert rig.writes() == {"updateDomain": 3}
    (stuck,) = AuditStore(rig.engine).marked()
    assert stuck.reason == f"{HERE}: no progress: after 3 tries name is 'before', not 'after'"
    rig.desk.store.wake_all(rig.clock())
    await rig.send_due()
    await rig.give(wanted)
    await rig.look(Kind.DOMAIN, "dom")
    rig.merge(*rig.observed())
    await rig.send_due()
    assert (rig.outbox(wanted)["state"], rig.region.dump()["domains"]) == (
        "dead",
        {"ROOT/before": {"networkdomain": ""}},
    )


async def test_it_starts_again_by_hand(rig: Rig) -> None:
    wanted = await powerless(rig)
    ActStore(rig.engine).retry_dead([rig.outbox(wanted)["id"]], By("ann", "x", rig.clock()))
    assert rows(rig.engine, futile) == []
    await rig.send_due()
    assert rig.outbox(wanted)["state"] == "delivered"
    assert row(rig.engine, entity, uuid="dom")["marked"] is None


async def test_it_starts_again_with_a_newer_desired_state(rig: Rig) -> None:
    wanted = await powerless(rig)
    await rig.tell(domain(FAR, "dom", "later"))
    assert set(rig.region.dump()["domains"]) == {"ROOT/later"}
    assert row(rig.engine, entity, uuid="dom")["marked"] is None
    await rig.send_due()
    assert rig.outbox(wanted)["state"] == "superseded"


async def test_it_is_over_when_somebody_puts_it_right(rig: Rig) -> None:
    wanted = await powerless(rig)
    rig.writes()
    await rig.api("updateDomain", id="dom", name="after")
    await rig.learn(Kind.DOMAIN, "dom")
    assert rig.outbox(wanted)["state"] == "pending"
    await rig.send_due()
    assert (rig.outbox(wanted)["message"], rig.writes()) == ("nothing to do", {})
    assert row(rig.engine, entity, uuid="dom")["marked"] is None


async def test_it_starts_again_when_the_region_holds_something_else(rig: Rig) -> None:
    wanted = await powerless(rig)
    await rig.api("updateDomain", id="dom", name="other")
    now, rig.clock.now = rig.clock.now, NOW - 1  # older than the record's value, and so loses
    await rig.look(Kind.DOMAIN, "dom")
    rig.clock.now = now
    assert rig.merge(*rig.observed()) == [], "the desired state that is on its way is as the record"
    await rig.send_due()
    assert rig.outbox(wanted)["message"] == "nothing to do; left alone: name"
    await rig.give(*rig.merge(*rig.observed()))
    assert set(rig.region.dump()["domains"]) == {"ROOT/after"}
