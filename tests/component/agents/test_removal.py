"""What is asked before a removal is made, and everything that can come of it, restarts included."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.agents.apply import Rules
from pipeline.core.entities import DISABLED, ENABLED, LOCKED, Kind
from pipeline.core.records import Desired
from pipeline.core.removal import HOUR_MS, Limits, Losses, Policy
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.holding import HoldStore, NotHeld
from pipeline.outbox.schema import entity, hold, outbox
from tests.component.agents.rig import FAR, HERE, Killed, Rig
from tests.component.agents.test_apply import changed, family
from tests.unit.agents.regions import account, domain, gone, user
from tests.unit.outbox.builders import row, rows

QUARANTINE = Rules(limits=Limits(Policy.QUARANTINE, quarantine_ms=10 * HOUR_MS))
REMOVED = {"deleteAccount": 1}


async def end_of_account(rig: Rig) -> tuple[Desired, Desired]:
    """The far region removed the account, and with it the user: both desired states here."""
    await family(rig)
    (removal,) = rig.merge(gone(FAR, Kind.ACCOUNT, "acc"))
    (of_user,) = rig.merge(gone(FAR, Kind.USER, "usr"))
    return removal, of_user


def held(rig: Rig) -> Any:
    (one,) = HoldStore(rig.engine).holds()
    return one


def state(rig: Rig, desired: Desired) -> tuple[str, str]:
    found = rig.outbox(desired)
    return found["state"], found["message"]


def present(rig: Rig) -> set[str]:
    return set(rig.region.dump()["accounts"])


async def test_an_account_with_machines_is_held_over_restarts_until_it_is_approved(rig: Rig) -> None:
    removal, of_user = await end_of_account(rig)
    rig.region.give("acc", vms=400, volumes=1)
    await rig.give(removal, of_user)
    assert state(rig, removal) == ("held", "it would take along 400 VMs, 1 volume")
    assert state(rig, of_user) == ("pending", "waits after acc, which is held or in quarantine")
    rig.region.give("acc", vms=0, volumes=0)
    await rig.restart()
    await rig.give(removal)
    rig.desk.store.wake_all(rig.clock())
    await rig.send_due()
    assert (state(rig, removal)[0], rig.writes()) == ("held", {}), "only a person lets it go"

    rig.region.give("acc", vms=400)
    ActStore(rig.engine).approve(held(rig).id, By("ann", "the customer left", rig.clock()))
    await rig.restart()
    await rig.send_due()
    assert rig.writes() == REMOVED
    assert state(rig, removal) == ("delivered", "deleteAccount")
    await rig.send_due()
    assert state(rig, of_user)[0] == "delivered"
    assert HoldStore(rig.engine).holds() == []
    (decided,) = HoldStore(rig.engine).holds(decided=True)
    assert (decided.decision, decided.note, decided.decided_time) == (
        "approved",
        "the customer left",
        rig.clock(),
    )


async def test_what_is_refused_stays_with_all_that_goes_after_it_and_says_why(rig: Rig) -> None:
    removal, of_user = await end_of_account(rig)
    (of_domain,) = rig.merge(gone(FAR, Kind.DOMAIN, "dom"))
    rig.region.give("acc", networks=2)
    await rig.give(removal, of_user, of_domain)
    assert [rig.outbox(one)["state"] for one in (removal, of_user, of_domain)] == [
        "held",
        "pending",
        "pending",
    ]
    ActStore(rig.engine).refuse(held(rig).id, By("ann", "a mistake", rig.clock()))
    await rig.restart()
    await rig.send_due()
    await rig.send_due()
    assert state(rig, removal) == ("dead", "its removal was refused: a mistake")
    stays = "it stays with acc, whose removal was refused: a mistake"
    assert state(rig, of_user) == state(rig, of_domain) == ("dead", stays)
    assert row(rig.engine, entity, uuid="acc")["marked"] == f"{HERE}: its removal was refused: a mistake"
    assert (rig.writes(), present(rig)) == ({}, {"ROOT/dom|acc"})
    with pytest.raises(NotHeld, match="decided already: refused"):
        ActStore(rig.engine).approve(1, By("ann", "too late", rig.clock()))

    (dead,) = [one["id"] for one in rows(rig.engine, outbox) if one["id"] == rig.outbox(removal)["id"]]
    ActStore(rig.engine).retry_dead([dead], By("ann", "x", rig.clock()))
    await rig.send_due()
    assert (state(rig, removal)[0], held(rig).note) == ("held", "refused before: a mistake")


async def test_what_is_below_a_domain_counts_though_nobody_knows_of_it(rig: Rig) -> None:
    await family(rig)
    await rig.tell(domain(FAR, "sub", parent="dom"))
    unknown, _ = await rig.api.account("unknown", "sub")
    rig.region.give(unknown, vms=3)
    (removal,) = rig.merge(gone(FAR, Kind.DOMAIN, "sub"))
    await rig.give(removal)
    assert state(rig, removal) == ("held", "it would take along 3 VMs")


async def test_an_account_that_has_a_project_is_held(rig: Rig) -> None:
    removal, _ = await end_of_account(rig)
    await rig.api.job("createProject", name="apollo", account="acc", domainid="dom")
    await rig.give(removal)
    assert state(rig, removal) == ("held", "it would take along 1 project")


async def test_so_much_may_be_taken_along_as_the_settings_allow(rig: Rig) -> None:
    removal, _ = await end_of_account(rig)
    rig.region.give("acc", vms=2, volumes=2)
    await rig.restart(Rules(limits=Limits(losses=Losses(vms=2, volumes=2))))
    await rig.give(removal)
    assert state(rig, removal)[0] == "delivered"


async def test_removals_beyond_the_hour_s_limit_are_held_and_those_after_the_hour_are_not(rig: Rig) -> None:
    rules = Rules(limits=Limits(per_hour=3))
    await rig.restart(rules)
    names = [f"d{number}" for number in range(7)]
    for name in names:
        await rig.tell(domain(FAR, name))
    removals = [rig.merge(gone(FAR, Kind.DOMAIN, name))[0] for name in names]
    for number, removal in enumerate(removals[:5]):
        if number == 2:
            await rig.restart(rules)
        await rig.give(removal)
    assert [rig.outbox(one)["state"] for one in removals[:5]] == ["delivered"] * 3 + ["held"] * 2
    limit = "3 entities were removed within the hour, and the region's limit is 3"
    assert state(rig, removals[3]) == ("held", limit)
    ActStore(rig.engine).approve(HoldStore(rig.engine).holds()[0].id, By("ann", "as planned", rig.clock()))
    await rig.send_due()
    rig.clock.now += HOUR_MS
    await rig.give(*removals[5:])
    assert [rig.outbox(one)["state"] for one in removals[3:]] == [
        "delivered",
        "held",
        "delivered",
        "delivered",
    ]


async def test_under_policy_hold_a_person_is_asked_about_each(rig: Rig) -> None:
    await family(rig)
    (removal,) = rig.merge(gone(FAR, Kind.USER, "usr"))
    await rig.restart(Rules(limits=Limits(Policy.HOLD)))
    await rig.give(removal)
    assert state(rig, removal) == ("held", "the region's removal policy is hold")
    assert rig.commands(removal) == ["listUsers"], "a user takes nothing along"


@pytest.mark.parametrize("before", [ENABLED, LOCKED, DISABLED])
async def test_an_account_in_quarantine_is_disabled_and_removed_at_its_time(before: str, rig: Rig) -> None:
    await family(rig)
    await rig.tell(changed(account(FAR, "acc", parent="dom", founder="usr"), state=before))
    rig.writes()
    (removal,) = rig.merge(gone(FAR, Kind.ACCOUNT, "acc"))
    (of_user,) = rig.merge(gone(FAR, Kind.USER, "usr"))
    await rig.restart(QUARANTINE)
    await rig.give(removal, of_user)
    assert rig.writes() == ({} if before == DISABLED else {"disableAccount": 1})
    assert state(rig, removal) == ("pending", "in quarantine")
    ends = rig.clock() + 10 * HOUR_MS
    assert (rig.outbox(removal)["due_time"], held(rig).until) == (ends, ends)
    assert rig.merge(*rig.observed()) == [], "what it is now is no news"

    rig.clock.now = ends - 1
    await rig.restart(QUARANTINE)
    rig.desk.store.wake_all(rig.clock())
    await rig.send_due()
    assert (await rig.state(Kind.ACCOUNT, "acc"), rig.writes()) == (DISABLED, {})
    assert rig.outbox(removal)["due_time"] == ends

    rig.clock.now = ends
    await rig.send_due()
    await rig.send_due()
    assert (rig.outbox(removal)["state"], rig.outbox(of_user)["state"]) == ("delivered", "delivered")
    assert (rig.writes(), HoldStore(rig.engine).holds()) == (REMOVED, [])


@pytest.mark.parametrize("before", [ENABLED, LOCKED, DISABLED])
@pytest.mark.parametrize("kind", [Kind.ACCOUNT, Kind.USER])
async def test_a_quarantine_is_undone_by_one_command(kind: Kind, before: str, rig: Rig) -> None:
    await family(rig)
    made = {
        Kind.ACCOUNT: account(FAR, "acc", parent="dom", founder="usr"),
        Kind.USER: user(FAR, "usr"),
    }[kind]
    await rig.tell(changed(made, state=before))
    (removal,) = rig.merge(gone(FAR, kind, made.uuid))
    with_it = rig.merge(gone(FAR, Kind.USER, "usr")) if kind is Kind.ACCOUNT else []
    await rig.restart(QUARANTINE)
    rig.clock.now += 1  # later than all that was seen: nothing is parked for a moment only
    await rig.give(removal, *with_it)
    assert await rig.state(kind, made.uuid) == DISABLED
    ActStore(rig.engine).refuse(held(rig).id, By("ann", "still needed", rig.clock()))
    await rig.restart(QUARANTINE)
    await rig.send_due()
    assert await rig.state(kind, made.uuid) == before
    assert await rig.state(Kind.ACCOUNT, "acc") == (before if kind is Kind.ACCOUNT else ENABLED)
    assert state(rig, removal) == ("dead", "its removal was refused: still needed")
    await rig.send_due()
    stays = ("dead", "it stays with acc, whose removal was refused: still needed")
    assert [state(rig, one) for one in with_it] == [stays] * len(with_it)
    rig.clock.now += 20 * HOUR_MS
    rig.desk.store.wake_all(rig.clock())
    await rig.send_due()
    assert present(rig) == {"ROOT/dom|acc"}


async def test_what_is_in_quarantine_can_be_removed_at_once(rig: Rig) -> None:
    removal, _ = await end_of_account(rig)
    await rig.restart(QUARANTINE)
    await rig.give(removal)
    ActStore(rig.engine).approve(held(rig).id, By("ann", "sure", rig.clock()))
    await rig.send_due()
    assert (state(rig, removal)[0], present(rig)) == ("delivered", set())


async def test_what_got_machines_in_quarantine_is_held_at_its_end_and_can_be_given_back(rig: Rig) -> None:
    removal, _ = await end_of_account(rig)
    await rig.restart(QUARANTINE)
    await rig.give(removal)
    rig.region.give("acc", vms=1)
    rig.clock.now = held(rig).until
    await rig.send_due()
    assert state(rig, removal) == ("held", "it would take along 1 VM")
    ActStore(rig.engine).refuse(held(rig).id, By("ann", "in use", rig.clock()))
    await rig.send_due()
    assert await rig.state(Kind.ACCOUNT, "acc") == ENABLED
    assert state(rig, removal)[0] == "dead"


async def test_a_worker_that_dies_after_disabling_knows_what_it_was_before(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    removal, _ = await end_of_account(rig)
    await rig.restart(QUARANTINE)
    real = rig.desk.client.call

    async def dies(command: str, params: dict[str, str]) -> dict[str, object]:
        answer = await real(command, params)
        if command == "disableAccount":
            raise Killed
        return answer

    monkeypatch.setattr(rig.desk.client, "call", dies)
    with pytest.raises(Killed):
        await rig.give(removal)
    monkeypatch.undo()
    assert await rig.state(Kind.ACCOUNT, "acc") == DISABLED
    await rig.restart(QUARANTINE)
    await rig.give(removal)
    assert state(rig, removal) == ("pending", "in quarantine")
    assert row(rig.engine, hold)["state_before"] == ENABLED
    ActStore(rig.engine).refuse(held(rig).id, By("ann", "no", rig.clock()))
    await rig.send_due()
    assert await rig.state(Kind.ACCOUNT, "acc") == ENABLED


async def test_a_domain_s_removal_waits_for_the_quarantine_of_what_is_below(rig: Rig) -> None:
    removal, of_user = await end_of_account(rig)
    (of_domain,) = rig.merge(gone(FAR, Kind.DOMAIN, "dom"))
    await rig.restart(QUARANTINE)
    await rig.give(of_domain, removal, of_user)
    rig.desk.store.wake_all(rig.clock())
    await rig.send_due()
    assert state(rig, of_domain) == ("pending", "waits after acc, which is held or in quarantine")
    rig.clock.now = held(rig).until
    for _ in range(3):
        await rig.send_due()
    assert rig.outbox(of_domain)["state"] == "delivered"
    assert rig.region.dump()["domains"] == {}
