"""Every way in which applying a desired state to a region can end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.core import topics
from pipeline.core.effect import TRIES_WITHOUT_EFFECT
from pipeline.core.entities import ROOT, Kind
from pipeline.core.records import Observation
from pipeline.outbox.schema import applied, entity, rmap
from tests.component.agents.rig import FAR, HERE, SERVICE, Killed, Rig
from tests.unit.agents.regions import UUID_KINDS, account, domain, gone, user
from tests.unit.outbox.builders import row, rows


def changed(seen: Observation, **fields: str) -> Observation:
    return replace(seen, fields={**(seen.fields or {}), **fields})


async def family(rig: Rig) -> None:
    """A domain, an account in it, and the account's user, in both regions."""
    await rig.tell(domain(FAR, "dom"))
    await rig.tell(account(FAR, "acc", parent="dom", founder="usr"))
    await rig.tell(user(FAR, "usr", parent="acc"))
    rig.writes()


async def test_what_was_never_there_is_made_by_one_call(rig: Rig) -> None:
    (wanted,) = rig.merge(domain(FAR, "dom", "Sales"))
    await rig.give(wanted)
    assert rig.region.dump()["domains"] == {"ROOT/Sales": {"networkdomain": ""}}
    assert rig.commands(wanted) == ["createDomain"]
    held = rig.outbox(wanted)
    assert (held["state"], held["result"], held["message"]) == ("delivered", "success", "createDomain")
    (seen,) = rig.observed()
    assert (seen.region, seen.uuid, seen.applied, seen.fields) == (HERE, "dom", 1, wanted.fields)


async def test_the_whole_family_arrives_with_the_founder_first(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    await rig.tell(account(FAR, "acc", parent="dom", founder="usr"))
    made = rig.region.calls.by_command(SERVICE)
    assert made == {"createDomain": 1, "createAccount": 1, "listUsers": 1}, "the user came with its account"
    rig.region.calls.clear()
    await rig.tell(user(FAR, "usr", parent="acc"))
    assert rig.region.calls.by_command(SERVICE) == {}
    assert set(rig.region.dump()["users"]) == {"ROOT/dom|acc|usr"}


async def test_a_uuid_that_is_another_one_s_here_is_never_written_to(rig: Rig) -> None:
    """The far region had `one` first; here it is `two`. Now the far one makes a `two` of its own."""
    rig.merge(domain(FAR, "one", "shop"))
    rig.merge(domain(HERE, "two", "shop"))
    await rig.api("createDomain", name="shop", domainid="two")
    rig.api.events.clear()
    rig.merge(domain(FAR, "one", "shop"))
    await rig.tell(domain(FAR, "two", "depot"))
    assert set(rig.region.dump()["domains"]) == {"ROOT/shop", "ROOT/depot"}
    assert rig.local("one") == "two"
    assert rig.local("two") not in ("one", "two")
    await rig.tell(gone(FAR, Kind.DOMAIN, "two"))
    assert set(rig.region.dump()["domains"]) == {"ROOT/shop"}


async def test_what_was_replaced_meanwhile_is_superseded_without_a_call(rig: Rig) -> None:
    (old,) = rig.merge(domain(FAR, "dom", "old"))
    (new,) = rig.merge(domain(FAR, "dom", "new"))
    await rig.give(new)
    await rig.give(old)
    assert rig.outbox(old)["state"] == "superseded"
    assert rig.commands(old) == []
    assert list(rig.region.dump()["domains"]) == ["ROOT/new"]


async def test_what_is_delivered_twice_is_written_once(rig: Rig) -> None:
    (wanted,) = rig.merge(domain(FAR, "dom"))
    await rig.give(wanted, wanted)
    assert rig.writes() == {"createDomain": 1}
    assert rig.outbox(wanted)["state"] == "delivered"


async def test_what_has_no_parent_yet_is_parked_and_woken_by_it(rig: Rig) -> None:
    child, _ = rig.merge(account(FAR, "acc", parent="dom", founder="usr"))
    (parent,) = rig.merge(domain(FAR, "dom"))
    await rig.give(child)
    parked = rig.outbox(child)
    assert (parked["state"], parked["result"], parked["waits_for"]) == ("pending", "waiting", "dom")
    assert parked["due_time"] > rig.clock()
    assert rig.commands(child) == []
    await rig.send_due()
    assert rig.outbox(child)["state"] == "pending"
    await rig.give(parent)
    assert rig.outbox(child)["due_time"] <= rig.clock()
    await rig.send_due()
    assert rig.outbox(child)["state"] == "delivered"
    assert list(rig.region.dump()["accounts"]) == ["ROOT/dom|acc"]


async def test_what_is_to_go_below_what_is_still_below_it_waits_for_that(rig: Rig) -> None:
    """Two regions moved domains about: in this one the other's move comes second."""
    await rig.tell(domain(FAR, "one"))
    await rig.tell(domain(FAR, "two", parent="one"))
    (second,) = rig.merge(domain(FAR, "two"))
    (first,) = rig.merge(domain(FAR, "one", parent="two"))
    await rig.give(first)
    waiting = rig.outbox(first)
    assert (waiting["state"], waiting["waits_for"]) == ("pending", "two")
    assert waiting["message"] == "waits for two, which is still below it"
    await rig.give(second)
    await rig.send_due()
    assert rig.outbox(first)["state"] == "delivered"
    assert set(rig.region.dump()["domains"]) == {"ROOT/two", "ROOT/two/one"}


async def test_a_parked_row_disturbs_no_other(rig: Rig) -> None:
    (stuck,) = rig.merge(account(FAR, "acc", parent="nowhere"))
    (free,) = rig.merge(domain(FAR, "dom"))
    await rig.give(stuck, free)
    assert (rig.outbox(stuck)["state"], rig.outbox(free)["state"]) == ("pending", "delivered")


async def test_an_account_goes_after_its_users_that_live_on(rig: Rig) -> None:
    await family(rig)
    (removal,) = rig.merge(gone(FAR, Kind.ACCOUNT, "acc"))
    await rig.give(removal)
    assert rig.outbox(removal)["waits_for"] == "usr"
    assert rig.writes() == {}
    rig.merge(gone(FAR, Kind.USER, "usr"))
    await rig.send_due()
    assert rig.outbox(removal)["state"] == "delivered"
    assert rig.region.dump()["accounts"] == rig.region.dump()["users"] == {}


async def test_a_user_goes_with_its_account(rig: Rig) -> None:
    await family(rig)
    (of_account,) = rig.merge(gone(FAR, Kind.ACCOUNT, "acc"))
    (of_user,) = rig.merge(gone(FAR, Kind.USER, "usr"))
    await rig.give(of_user)
    assert rig.outbox(of_user)["waits_for"] == "acc"
    await rig.give(of_account)
    await rig.send_due()
    assert rig.outbox(of_user)["state"] == "delivered"
    assert rig.writes() == {"deleteAccount": 1}


async def test_a_domain_goes_after_all_that_is_below(rig: Rig) -> None:
    await family(rig)
    (of_domain,) = rig.merge(gone(FAR, Kind.DOMAIN, "dom"))
    await rig.give(of_domain)
    assert rig.outbox(of_domain)["waits_for"] == "acc"
    (of_account,) = rig.merge(gone(FAR, Kind.ACCOUNT, "acc"))
    rig.merge(gone(FAR, Kind.USER, "usr"))
    await rig.give(of_account)
    await rig.send_due()
    assert rig.outbox(of_domain)["state"] == "delivered"
    assert rig.writes() == {"deleteAccount": 1, "deleteDomain": 1}


async def test_a_domain_with_what_nobody_knows_below_is_not_removed(rig: Rig) -> None:
    await family(rig)
    await rig.tell(domain(FAR, "sub", parent="dom"))
    unknown = await rig.api.domain("unknown", parentdomainid="sub")
    (removal,) = rig.merge(gone(FAR, Kind.DOMAIN, "sub"))
    await rig.give(removal)
    assert "sub domains have been removed" in rig.outbox(removal)["message"]
    assert (await rig.desk.resources.read(Kind.DOMAIN, unknown)).present


async def test_what_is_refused_is_a_dead_row_with_the_regions_words(rig: Rig) -> None:
    (wanted,) = rig.merge(changed(domain(FAR, "dom"), networkdomain="not a domain!"))
    (other,) = rig.merge(domain(FAR, "other"))
    await rig.give(wanted, other)
    dead = rig.outbox(wanted)
    assert (dead["state"], dead["result"]) == ("dead", "refused")
    assert "nvalid network domain" in dead["message"]
    assert rig.commands(wanted) == ["createDomain", "listDomains"]
    assert row(rig.engine, entity, uuid="dom")["marked"].startswith(f"{HERE}: ")
    assert rig.outbox(other)["state"] == "delivered"


async def test_a_role_that_the_region_has_not_is_told_by_its_name_and_waited_for(rig: Rig) -> None:
    wanted, _ = rig.merge(changed(account(FAR, "acc", founder="usr"), role="Auditors"))
    await rig.give(wanted)
    waiting = rig.outbox(wanted)
    assert waiting["state"] == "pending"
    assert waiting["message"].startswith(f"role 'Auditors' is missing in region {HERE}: ")


async def test_a_local_change_that_nobody_has_seen_stays_and_is_told(rig: Rig) -> None:
    await family(rig)
    await rig.api("updateUser", id="usr", email="local@r2")
    (wanted,) = await rig.tell(changed(user(FAR, "usr"), firstname="Ann"))
    held = rig.region.dump()["users"]["ROOT/dom|acc|usr"]
    assert (held["firstname"], held["email"]) == ("Ann", "local@r2")
    assert rig.outbox(wanted)["message"] == "updateUser; left alone: email"
    assert rig.hub.load(["usr"])["usr"].record.fields["email"].text == "local@r2"


async def test_a_local_removal_that_nobody_has_seen_stays_and_is_told(rig: Rig) -> None:
    await family(rig)
    await rig.api("deleteUser", id="usr")
    (wanted,) = rig.merge(changed(user(FAR, "usr"), firstname="Ann"))
    await rig.give(wanted)
    assert rig.writes() == {}
    assert rig.outbox(wanted)["message"] == "nothing to do; left alone: life"
    (seen,) = rig.observed()
    assert seen.fields is None
    rig.merge(seen)
    assert not rig.hub.load(["usr"])["usr"].record.life.present


@pytest.mark.parametrize("kind", UUID_KINDS)
async def test_a_uuid_that_was_used_there_gets_another_one_there(kind: Kind, rig: Rig) -> None:
    used = "7e4f5f0e-6b5a-4f6e-9d3e-1f1d5b1c0a01"
    await family(rig)
    person = {"email": "e", "firstname": "f", "lastname": "l", "password": "Passw0rd!"}
    if kind is Kind.DOMAIN:
        await rig.api.domain("was", domainid=used)
        await rig.api.job("deleteDomain", id=used)
        made = domain(FAR, used, "again")
    elif kind is Kind.ACCOUNT:
        await rig.api.account("was", "dom", accountid=used)
        await rig.api.job("deleteAccount", id=used)
        made = account(FAR, used, "again", "dom", founder="usr2")
    else:
        named = {"account": "acc", "domainid": "dom", "username": "was"}
        await rig.api("createUser", userid=used, **named, **person)
        await rig.api("deleteUser", id=used)
        made = user(FAR, used, "again")
    wanted, *_ = await rig.tell(made)
    assert rig.outbox(wanted)["state"] == "delivered"
    assert rig.local(used) != used
    assert (await rig.desk.resources.read(kind, rig.local(used))).present
    (update,) = await rig.tell(changed(made, name="renamed"))
    assert rig.outbox(update)["message"] == f"update{kind}"


async def test_a_name_that_is_taken_is_waited_for_and_then_the_row_is_dead(rig: Rig) -> None:
    await rig.api.domain("Sales")
    (wanted,) = rig.merge(domain(FAR, "dom", "Sales"))
    await rig.give(wanted)
    waits = []
    while (held := rig.outbox(wanted))["state"] == "pending":
        assert "already exists" in held["message"]
        waits.append(held["due_time"] - rig.clock())
        rig.clock.now = held["due_time"]
        await rig.send_due()
    assert waits == [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000]
    assert held["state"] == "dead"
    assert "already exists" in held["message"]


@pytest.mark.parametrize("kind", UUID_KINDS)
async def test_what_is_there_though_nobody_has_seen_it_is_brought_up_to_date(kind: Kind, rig: Rig) -> None:
    """The hub does not know what another worker made and could not tell. It is refused, read, and updated."""
    there = "7e4f5f0e-6b5a-4f6e-9d3e-1f1d5b1c0a01"
    if kind is not Kind.DOMAIN:
        await family(rig)
    said = {
        Kind.DOMAIN: domain(FAR, there, "one"),
        Kind.ACCOUNT: account(FAR, there, "one", "dom", founder="usr2"),
        Kind.USER: user(FAR, there, "one"),
    }[kind]
    wanted, *_ = rig.merge(said)
    rig.kafka.dies_at = topics.OBSERVATIONS
    with pytest.raises(Killed):
        await rig.give(wanted)
    await rig.end()
    rig.begin()
    newer, *_ = rig.merge(changed(said, name="two"))
    rig.region.calls.clear()
    await rig.give(newer)
    assert rig.outbox(newer)["message"] == f"update{kind}"
    assert rig.commands(newer)[:2] == [f"create{kind}", f"list{kind}s"]
    (told,) = rig.observed()
    assert (told.fields or {})["name"] == "two"


async def test_what_is_protected_is_never_made_either(rig: Rig) -> None:
    (wanted,) = rig.merge(domain(FAR, rig.desk.resources.root, "evil"))
    await rig.give(wanted)
    held = rig.outbox(wanted)
    assert (held["state"], held["message"].endswith("is never touched")) == ("dead", True)


async def test_a_user_that_a_dead_workers_account_was_made_with_is_known(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    acc, usr = rig.merge(account(FAR, "acc", parent="dom", founder="usr"))
    rig.kafka.dies_at = topics.OBSERVATIONS
    with pytest.raises(Killed):
        await rig.give(acc)
    await rig.end()
    rig.begin()
    await rig.give(acc)
    rig.region.calls.clear()
    await rig.give(usr)
    assert (rig.outbox(usr)["state"], rig.outbox(usr)["message"]) == ("delivered", "nothing to do")
    assert rig.region.calls.by_command(SERVICE) == {"listUsers": 1}


async def test_a_user_that_nobody_knows_stays_unknown_though_its_account_is_made_known(rig: Rig) -> None:
    """Somebody made it below what a dead worker had made: the hub is to hear of it as of any other."""
    await rig.tell(domain(FAR, "dom"))
    (acc,) = rig.merge(account(FAR, "acc", parent="dom"))
    rig.kafka.dies_at = topics.OBSERVATIONS
    with pytest.raises(Killed):
        await rig.give(acc)
    person = {"email": "e", "firstname": "f", "lastname": "l", "password": "Passw0rd!"}
    made = await rig.api("createUser", username="own", account="acc", domainid="dom", **person)
    await rig.end()
    rig.begin()
    await rig.give(acc)
    assert rig.outbox(acc)["state"] == "delivered"
    assert made.status == 200
    assert {one["source"] for one in rows(rig.engine, rmap) if one["region_id"] == HERE} == {"dom", "acc"}


async def test_a_name_that_becomes_free_is_taken(rig: Rig) -> None:
    other = await rig.api.domain("Sales")
    (wanted,) = rig.merge(domain(FAR, "dom", "Sales"))
    await rig.give(wanted)
    assert rig.outbox(wanted)["state"] == "pending"
    await rig.api("updateDomain", id=other, name="Marketing")
    rig.clock.now = rig.outbox(wanted)["due_time"]
    await rig.send_due()
    assert rig.outbox(wanted)["state"] == "delivered"
    assert set(rig.region.dump()["domains"]) == {"ROOT/Marketing", "ROOT/Sales"}


async def test_what_is_protected_is_never_touched(rig: Rig) -> None:
    for kind, uuid in (
        (Kind.ACCOUNT, rig.region.admin.accountid),
        (Kind.USER, rig.region.admin.userid),
        (Kind.ACCOUNT, rig.region.service.accountid),
        (Kind.USER, rig.region.service.userid),
        (Kind.DOMAIN, rig.desk.resources.root),
    ):
        await rig.look(kind, uuid)
        assert rig.observed() == []
        made = {Kind.DOMAIN: domain, Kind.ACCOUNT: account, Kind.USER: user}[kind](FAR, uuid, "evil", ROOT)
        (wanted,) = rig.merge(made)
        await rig.give(replace(wanted, known=wanted.fields))
        held = rig.outbox(wanted)
        if held["state"] == "pending":
            assert kind is Kind.USER  # its account is not known here
        else:
            assert held["state"] == "dead"
            assert held["message"].endswith("is never touched")
    assert rig.writes() == {}


async def test_what_was_applied_is_remembered_in_canonical_uuids(rig: Rig) -> None:
    await family(rig)
    held = row(rig.engine, applied, entity="acc", region=HERE)
    assert held["version"] == 1
    assert b'"parent":"dom"' in held["values"]
    assert {one["source"] for one in rows(rig.engine, rmap) if one["region_id"] == HERE} == {
        "dom",
        "acc",
        "usr",
    }


async def test_a_change_in_the_same_moment_as_ours_is_told_and_no_row_dies(rig: Rig) -> None:
    await family(rig)
    real = rig.desk.client.call
    people = [("updateUser", {"id": "usr", "email": "local@r2"})]

    async def call(command: str, params: dict[str, str]) -> dict[str, object]:
        if command == "updateUser" and people:
            name, changes = people.pop()
            await rig.api(name, **changes)
        return await real(command, params)

    rig.desk.client.call = call  # type: ignore[method-assign, assignment]
    (wanted,) = rig.merge(changed(user(FAR, "usr"), firstname="Ann"))
    await rig.give(wanted)
    held = rig.outbox(wanted)
    assert (held["state"], held["result"]) == ("pending", "waiting")
    rig.clock.now = held["due_time"]
    await rig.send_due()
    assert rig.outbox(wanted)["message"] == "nothing to do; left alone: email"
    (told,) = rig.observed()
    assert ((told.fields or {})["firstname"], (told.fields or {})["email"]) == ("Ann", "local@r2")


async def test_calls_without_effect_end_in_a_dead_row(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom", "before"))
    rig.writes()
    real = rig.desk.client.call

    async def call(command: str, params: dict[str, str]) -> dict[str, object]:
        return await real(command, {"id": "dom"} if command == "updateDomain" else params)

    rig.desk.client.call = call  # type: ignore[method-assign, assignment]
    (wanted,) = rig.merge(domain(FAR, "dom", "after"))
    await rig.give(wanted)
    while (held := rig.outbox(wanted))["state"] == "pending":
        rig.clock.now = held["due_time"]
        await rig.send_due()
    assert (held["state"], held["attempts"]) == ("dead", TRIES_WITHOUT_EFFECT)
    assert held["message"] == "no progress: after 3 tries name is 'before', not 'after'"
