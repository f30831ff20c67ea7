"""What CloudStack does to an account beside what it was asked: it is undone, and no stand-in stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.core.entities import DISABLED, ENABLED, LOCKED, Kind
from pipeline.core.makeshift import STAND_IN
from pipeline.core.records import Observation
from tests.component.agents.rig import FAR, HERE, Killed, Rig
from tests.unit.agents.regions import account, domain, gone, user


def changed(seen: Observation, **fields: str) -> Observation:
    return replace(seen, fields={**(seen.fields or {}), **fields})


def acc(**fields: str) -> Observation:
    return changed(account(FAR, "acc", parent="dom", founder="usr"), **fields)


def usr(**fields: str) -> Observation:
    return changed(user(FAR, "usr"), **fields)


async def family(rig: Rig, state: str = ENABLED) -> None:
    """A domain, an account in it that is in `state`, and the account's user."""
    await rig.tell(domain(FAR, "dom"))
    await rig.tell(acc(state=state))
    await rig.tell(usr())
    assert await rig.state(Kind.ACCOUNT, "acc") == state
    rig.writes()


@pytest.mark.parametrize("state", [DISABLED, LOCKED])
async def test_an_account_is_made_and_closed(state: str, rig: Rig) -> None:
    await family(rig, state)
    assert await rig.state(Kind.USER, "usr") == ENABLED


@pytest.mark.parametrize("state", [DISABLED, LOCKED])
async def test_a_user_is_made_in_a_closed_account_which_stays_closed(state: str, rig: Rig) -> None:
    await family(rig, state)
    (wanted,) = await rig.tell(user(FAR, "second"))
    assert rig.outbox(wanted)["state"] == "delivered"
    assert set(rig.region.dump()["users"]) == {"ROOT/dom|acc|usr", "ROOT/dom|acc|second"}
    assert await rig.state(Kind.ACCOUNT, "acc") == state


@pytest.mark.parametrize("closed", [DISABLED, LOCKED])
@pytest.mark.parametrize("state", [DISABLED, LOCKED])
async def test_enabling_a_user_leaves_its_account_closed(state: str, closed: str, rig: Rig) -> None:
    await family(rig)
    await rig.tell(usr(state=closed))
    await rig.tell(acc(state=state))
    assert await rig.state(Kind.ACCOUNT, "acc") == state
    await rig.tell(usr(state=ENABLED))
    assert await rig.state(Kind.USER, "usr") == ENABLED
    assert await rig.state(Kind.ACCOUNT, "acc") == state


async def test_locking_the_last_enabled_user_leaves_its_account_enabled(rig: Rig) -> None:
    await family(rig)
    await rig.tell(usr(state=LOCKED))
    assert await rig.state(Kind.USER, "usr") == LOCKED
    assert await rig.state(Kind.ACCOUNT, "acc") == ENABLED


async def test_a_worker_that_dies_with_the_account_open_has_it_closed_by_the_accounts_own_row(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await family(rig, DISABLED)
    (wanted,) = rig.merge(user(FAR, "second"))
    real = rig.desk.client.call

    async def dies(command: str, params: dict[str, str]) -> dict[str, object]:
        if command == "disableAccount" or rig.region.calls.by_command().get("enableAccount"):
            raise Killed
        return await real(command, params)

    monkeypatch.setattr(rig.desk.client, "call", dies)
    with pytest.raises(Killed):
        await rig.give(wanted)
    monkeypatch.undo()
    assert await rig.state(Kind.ACCOUNT, "acc") == ENABLED
    await rig.end()
    rig.begin()
    rig.clock.now += 10_000
    await rig.send_due()
    assert await rig.state(Kind.ACCOUNT, "acc") == DISABLED
    await rig.give(wanted)
    assert rig.outbox(wanted)["state"] == "delivered"
    assert await rig.state(Kind.ACCOUNT, "acc") == DISABLED


async def test_an_account_without_users_is_made_with_a_stand_in_that_is_gone_afterwards(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    (wanted,) = rig.merge(replace(acc(networkdomain="a.example"), founder=None))
    await rig.give(wanted)
    assert rig.commands(wanted) == ["createAccount", "deleteUser"]
    dump = rig.region.dump()
    assert dump["accounts"] == {
        "ROOT/dom|acc": {"state": ENABLED, "role": "User", "networkdomain": "a.example"}
    }
    assert dump["users"] == {}
    (seen,) = rig.observed()
    assert (seen.kind, seen.founder) == (Kind.ACCOUNT, None)


async def test_a_stand_in_is_never_told_of(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    await rig.tell(replace(acc(), founder=None))
    named = f"{STAND_IN}acc"
    person = {"email": "e", "firstname": "f", "lastname": "l", "password": "Passw0rd!"}
    await rig.api("createUser", username=named, account="acc", domainid="dom", **person)
    await rig.hear()
    assert rig.observed() == []


async def test_an_account_is_not_made_with_a_user_that_was_removed_meanwhile(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    wanted, _ = rig.merge(acc())
    rig.merge(gone(FAR, Kind.USER, "usr"))
    await rig.give(wanted)
    assert rig.outbox(wanted)["state"] == "delivered"
    assert rig.region.dump()["users"] == {}


async def test_a_founder_whose_name_is_taken_is_stood_in_for(rig: Rig) -> None:
    """User names are unique in a domain: the account is made all the same, its user waits for the name."""
    await rig.tell(domain(FAR, "dom"))
    await rig.api.account("usr", "dom")
    wanted, late = await rig.tell(acc())
    assert rig.outbox(wanted)["state"] == "delivered"
    assert set(rig.region.dump()["users"]) == {"ROOT/dom|usr|usr"}
    assert (rig.outbox(late)["state"], rig.outbox(late)["result"]) == ("pending", "waiting")


async def test_a_user_is_moved_to_another_account(rig: Rig) -> None:
    await family(rig)
    await rig.tell(account(FAR, "acc2", parent="dom", founder="usr2"))
    await rig.tell(user(FAR, "usr2", parent="acc2"))
    rig.writes()
    await rig.tell(usr(parent="acc2"))
    assert rig.writes() == {"moveUser": 1}
    assert set(rig.region.dump()["users"]) == {"ROOT/dom|acc2|usr", "ROOT/dom|acc2|usr2"}
    assert rig.hub.load(["usr"])["usr"].record.region(HERE).confirmed == usr(parent="acc2").fields


async def test_a_user_is_locked_in_the_account_that_it_leaves(rig: Rig) -> None:
    """Locking comes before the move; in a disabled account CloudStack locks no last enabled user."""
    await family(rig)
    await rig.tell(account(FAR, "acc2", parent="dom", founder="usr2"))
    await rig.tell(acc(state="disabled"))
    rig.writes()
    (wanted,) = await rig.tell(usr(parent="acc2", state="locked"))
    assert rig.outbox(wanted)["message"] == "lockUser, moveUser"
    dump = rig.region.dump()
    assert dump["users"]["ROOT/dom|acc2|usr"]["state"] == LOCKED
    assert {name: one["state"] for name, one in dump["accounts"].items()} == {
        "ROOT/dom|acc": DISABLED,
        "ROOT/dom|acc2": ENABLED,
    }


async def test_an_account_that_is_disabled_before_it_is_locked_is_locked_after_all(rig: Rig) -> None:
    """CloudStack locks no disabled account, and has no clear word for that; the next read tells."""
    await family(rig)
    real = rig.desk.client.call
    people = ["acc"]

    async def call(command: str, params: dict[str, str]) -> dict[str, object]:
        if command == "disableAccount" and people:
            await rig.api.job("disableAccount", id=people.pop(), lock="false")
        return await real(command, params)

    rig.desk.client.call = call  # type: ignore[method-assign, assignment]
    (wanted,) = rig.merge(acc(state="locked"))
    await rig.give(wanted)
    held = rig.outbox(wanted)
    assert (held["state"], held["result"]) == ("pending", "waiting")
    assert "domainId" in held["message"]
    rig.clock.now = held["due_time"]
    await rig.send_due()
    assert rig.outbox(wanted)["state"] == "delivered"
