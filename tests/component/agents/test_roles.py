"""Custom roles between the hub, one worker and a simulated region: made with all their rules at once, found
by their names, and waited for by the accounts that have them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline import wire
from pipeline.agents.polling import KEY
from pipeline.cloudstack.resources import Resources
from pipeline.core import topics
from pipeline.core.entities import ROOT, Kind
from pipeline.core.events import ROLES, hint
from pipeline.core.records import Desired, Observation
from pipeline.outbox.schema import conflict, entity
from tests.component.agents.rig import FAR, HERE, Killed, Rig
from tests.unit.agents.regions import account, domain, gone
from tests.unit.outbox.builders import NOW, row, rows

RULES = "allow list*\ndeny deleteUser never here\nallow *User\ndeny *"
FIELDS = {"name": "ops", "description": "d", "type": "User", "public": "true", "rules": RULES, "parent": ROOT}


def role(region: str = FAR, uuid: str = "far-ops", time: int = NOW, **fields: str) -> Observation:
    return Observation(region, Kind.ROLE, uuid, FIELDS | fields, time)


async def take_part(rig: Rig) -> Rig:
    """A worker of a region whose roles are synced."""
    await rig.read_by(Resources(rig.desk.client, roles=True))
    return rig


@pytest.fixture
async def own(rig: Rig) -> AsyncIterator[Rig]:
    yield await take_part(rig)


async def held(rig: Rig, name: str = "ops") -> dict[str, str] | None:
    found = await rig.desk.resources.role_called(name)
    return None if found is None else dict(found.fields or {})


def count(rig: Rig, name: str = "ops") -> int:
    return sum(one.name == name and not one.removed for one in rig.region.region.world.roles.values())


async def hear(rig: Rig) -> None:
    """What the region said, what follows from it, and what the hub makes of that."""
    await rig.hear()
    await ask_again(rig)


async def poll(rig: Rig) -> None:
    value = hint(Kind.ROLE, KEY, rig.clock(), ROLES)
    await rig._acknowledged(rig.worker.take_event, topics.events(HERE), KEY, value)
    await ask_again(rig)


async def ask_again(rig: Rig) -> None:
    for message in rig.kafka.take(topics.events(HERE)):
        key = (message.key or b"").decode()
        await rig._acknowledged(rig.worker.take_event, topics.events(HERE), key, message.value)
    assert rig.kafka.take(topics.events(HERE)) == []
    rig.merge(*rig.observed())


def record(rig: Rig) -> dict[str, str]:
    (found,) = [json.loads(one["body"])["body"] for one in rows(rig.engine, entity) if one["kind"] == "Role"]
    return {name: value["text"] for name, value in found["fields"].items()}


def conflicts(rig: Rig) -> list[tuple[str, str, str]]:
    return [(one["field"], one["kept_region"], one["lost_region"]) for one in rows(rig.engine, conflict)]


async def test_a_role_is_made_with_its_rules_in_their_order_by_one_call(own: Rig) -> None:
    (wanted,) = await own.tell(role())
    assert await held(own) == FIELDS
    assert own.outbox(wanted)["state"] == "delivered"
    assert own.writes() == {"importRole": 1}
    local = own.local("far-ops")
    assert local != "far-ops" and (await own.desk.resources.read(Kind.ROLE, local)).present


@pytest.mark.parametrize(
    ("fields", "calls"),
    [
        pytest.param({"rules": "deny *\nallow list*"}, {"importRole": 1}, id="another order"),
        pytest.param(
            {"rules": RULES.replace("deny *", "allow *")}, {"importRole": 1}, id="another permission"
        ),
        pytest.param({"name": "ops2", "description": "e"}, {"updateRole": 1}, id="renamed"),
        pytest.param({"name": "ops2", "rules": "deny *"}, {"updateRole": 1, "importRole": 1}, id="both"),
        pytest.param({"description": ""}, {"importRole": 1}, id="emptied description"),
        pytest.param({"public": "false", "type": "DomainAdmin"}, {"updateRole": 1}, id="type and public"),
        pytest.param({"rules": ""}, {"importRole": 1, "deleteRolePermission": 1}, id="no rules"),
    ],
)
async def test_each_change(own: Rig, fields: dict[str, str], calls: dict[str, int]) -> None:
    await own.tell(role())
    own.writes()
    (wanted,) = await own.tell(role(time=NOW + 1, **fields))
    assert await held(own, fields.get("name", "ops")) == FIELDS | fields
    assert own.outbox(wanted)["state"] == "delivered"
    assert own.writes() == calls
    assert await own.tell(role(time=NOW + 2, **fields)) == []


async def test_a_role_without_rules(own: Rig) -> None:
    await own.tell(role(rules="", description=""))
    assert await held(own) == FIELDS | {"rules": "", "description": ""}
    assert own.writes() == {"createRole": 1}


async def test_killed_between_the_call_and_its_result_no_second_role_is_made(own: Rig) -> None:
    (wanted,) = own.merge(role())
    own.kafka.dies_at = topics.OBSERVATIONS
    with pytest.raises((Killed, ExceptionGroup)):
        await own.give(wanted)
    await own.end()
    own.begin()
    await own.give(wanted)
    own.merge(*own.observed())
    assert own.writes() == {"importRole": 1}
    assert own.outbox(wanted)["state"] == "delivered"
    assert (await held(own), count(own), record(own)) == (FIELDS, 1, FIELDS)


async def test_killed_before_it_knew_the_new_uuid_it_finds_the_role_by_its_name(
    own: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = own.merge(role())

    async def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.agents.roles.link", dies)
        with pytest.raises((Killed, ExceptionGroup)):
            await own.give(wanted)
    await own.end()
    own.begin()
    (newer,) = own.merge(role(time=NOW + 1, rules="deny *"))
    await own.give(wanted, newer)
    await own.give(*own.merge(*own.observed()))
    await finish(own)
    assert (await held(own), count(own)) == (FIELDS | {"rules": "deny *"}, 1)
    assert record(own)["rules"] == "deny *"


async def finish(rig: Rig) -> None:
    """Whatever the hub still has to send is applied, until there is nothing."""
    for _ in range(5):
        rig.clock.now += 10 * 60_000
        await rig.send_due()
        rig.merge(*rig.observed())


async def test_the_same_name_in_both_is_one_role_and_its_difference_a_conflict(own: Rig) -> None:
    await own.api("createRole", name="OPS", type="User", description="ours")
    own.merge(role())
    await hear(own)
    await finish(own)
    assert count(own) + count(own, "OPS") == 1
    lost = {name for name, _, _ in conflicts(own)}
    assert {"rules", "description", "name"} <= lost
    assert await held(own) == record(own)


async def test_a_change_that_no_event_tells_is_found_by_the_poll(own: Rig) -> None:
    await own.tell(role())
    local = own.local("far-ops")
    listed = (await own.api("listRolePermissions", roleid=local)).body
    ids = [one["id"] for one in listed["rolepermission"]]
    await own.api("updateRolePermission", roleid=local, ruleid=ids[0], permission="deny")
    await own.api("updateRolePermission", roleid=local, ruleorder=",".join(ids[::-1]))
    own.api.events.clear()
    own.clock.now += 60_000
    await poll(own)
    assert record(own)["rules"] == "deny *\nallow *User\ndeny deleteUser never here\ndeny list*"
    await poll(own)
    assert own.observed() == []


async def test_what_a_region_s_people_make_of_roles(own: Rig) -> None:
    made = (await own.api("createRole", name="ops", type="User", description="d")).body
    local = made["role"]["id"]
    await hear(own)
    assert record(own) == FIELDS | {"rules": ""}
    copy = (await own.api("createRole", name="copy", roleid=local)).body
    await hear(own)
    assert {one["uuid"] for one in rows(own.engine, entity)} == {local, copy["role"]["id"]}
    await own.api("deleteRole", id=copy["role"]["id"])
    await own.api("updateRole", id=local, name="ops2")
    await hear(own)
    present = {one["name"] for one in rows(own.engine, entity) if one["present"]}
    assert present == {"ops2"}


async def test_a_role_that_is_imported_anew_is_not_what_is_left_of_the_removed_one(
    own: Rig,
) -> None:
    """No event names it, so nobody knows since when it is there."""
    await own.tell(role())
    own.clock.now += 1_000
    await own.tell(gone(FAR, Kind.ROLE, "far-ops", time=NOW + 5))
    assert count(own) == 0
    world = own.region.region.world
    world.add_permission(world.add_role("ops", "User", None), "list*", True)
    await poll(own)
    present = {one["name"] for one in rows(own.engine, entity) if one["present"]}
    assert (present, count(own)) == ({"ops"}, 1)


async def test_built_in_and_root_administrators_roles_are_nobody_s_business(own: Rig) -> None:
    await own.api("createRole", name="mighty", type="Admin")
    await hear(own)
    await poll(own)
    assert rows(own.engine, entity) == []
    assert await own.tell(role(type="Admin")) == []
    (wanted,) = await own.tell(role(name="User"))
    assert "never touched" in own.outbox(wanted)["message"]
    assert own.writes() == {}


async def test_a_role_that_becomes_a_root_administrator_s_is_brought_back(own: Rig) -> None:
    await own.tell(role())
    local = own.local("far-ops")
    await own.api("updateRole", id=local, type="Admin")
    await hear(own)
    assert record(own) == FIELDS
    await finish(own)
    assert await held(own) == FIELDS
    reasons: list[Any] = [name for name, _, _ in conflicts(own)]
    assert reasons == ["type"]


async def test_a_role_in_use_goes_when_nobody_has_it_any_more(own: Rig) -> None:
    await own.tell(role())
    await own.tell(domain(FAR, "dom"))
    await own.tell(having("ops"))
    (wanted,) = await own.tell(gone(FAR, Kind.ROLE, "far-ops", time=NOW + 5))
    waiting = own.outbox(wanted)
    assert waiting["state"] == "pending" and "role in use" in waiting["message"]
    await own.api("updateAccount", id="acc", roleid=await own.desk.resources.role_id("User"))
    await finish(own)
    assert await held(own) is None
    assert own.outbox(wanted)["state"] == "delivered"


def having(name: str, time: int = NOW) -> Observation:
    seen = account(FAR, "acc", parent="dom", founder="usr")
    return Observation(
        FAR, Kind.ACCOUNT, "acc", {**(seen.fields or {}), "role": name}, time, founder=seen.founder
    )


async def test_an_account_waits_for_its_role_and_is_woken_by_it(own: Rig) -> None:
    await own.tell(domain(FAR, "dom"))
    late = own.merge(role())
    waiting, *_ = await own.tell(having("ops"))
    stuck = own.outbox(waiting)
    assert stuck["state"] == "pending"
    assert stuck["message"] == f"role 'ops' is missing in region {HERE}: it is on its way"
    assert own.region.dump()["accounts"] == {}
    assert row(own.engine, entity, uuid="acc")["marked"] is None, "it comes by itself"
    await own.give(*late)
    own.merge(*own.observed())
    await own.send_due()  # no time has passed
    assert own.region.dump()["accounts"]["ROOT/dom|acc"]["role"] == "ops"


async def test_without_the_sync_of_roles_an_account_waits_until_somebody_makes_its_role(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    waiting, *_ = await rig.tell(having("ops"))
    stuck = rig.outbox(waiting)
    assert stuck["state"] == "pending"
    assert stuck["message"].startswith(f"role 'ops' is missing in region {HERE}: make one")
    assert row(rig.engine, entity, uuid="acc")["marked"] == f"{HERE}: {stuck['message']}"
    await rig.api("createRole", name="ops", type="User")
    await hear(rig)
    assert {one["kind"] for one in rows(rig.engine, entity)} == {"Domain", "Account", "User"}
    await finish(rig)
    assert rig.region.dump()["accounts"]["ROOT/dom|acc"]["role"] == "ops"
    assert row(rig.engine, entity, uuid="acc")["marked"] is None


async def test_what_does_not_need_the_role_is_done_at_once(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    await rig.tell(having("User"))
    seen = having("ops", NOW + 1)
    changed = Observation(FAR, Kind.ACCOUNT, "acc", {**(seen.fields or {}), "state": "disabled"}, NOW + 1)
    (waiting,) = await rig.tell(changed)
    assert rig.outbox(waiting)["state"] == "pending"
    held_now = rig.region.dump()["accounts"]["ROOT/dom|acc"]
    assert (held_now["state"], held_now["role"]) == ("disabled", "User")


async def test_where_roles_are_not_synced_none_is_written(rig: Rig) -> None:
    (wanted,) = await rig.tell(role())
    assert rig.outbox(wanted)["state"] == "dead"
    assert "roles are not synced" in rig.outbox(wanted)["message"]
    assert rig.writes() == {}


async def test_accounts_show_the_new_name_of_a_role_without_an_event(own: Rig) -> None:
    await own.tell(role())
    await own.tell(domain(FAR, "dom"))
    await own.tell(having("ops"))
    await own.api("updateRole", id=own.local("far-ops"), name="ops2")
    await hear(own)
    await ask_again(own)
    body = json.loads(row(own.engine, entity, uuid="acc")["body"])["body"]
    assert body["fields"]["role"]["text"] == "ops2"


async def test_rules_that_are_too_many_are_refused_and_hide_no_other_role(own: Rig) -> None:
    world = own.region.region.world
    big = world.add_role("big", "User", None)
    for number in range(700):
        world.add_permission(big, f"list{number}", True, "x" * 80)
    world.add_role("small", "User", None)
    await poll(own)
    assert [one["name"] for one in rows(own.engine, entity)] == ["small"]
    await own.look(Kind.ROLE, big.uuid)
    (letter,) = own.kafka.take(topics.DEAD_LETTERS)
    assert "more than 50000 bytes" in letter.headers["reason"]


def test_desired_states_of_roles_fit_a_message() -> None:
    rules = "\n".join(f"allow {'x' * 60}{number:04}" for number in range(700))
    assert len(rules) < 50_000
    fields = FIELDS | {"rules": rules}
    message = wire.encode(Desired(HERE, Kind.ROLE, "r", 1, fields, fields))
    assert len(message) < 1_000_000
