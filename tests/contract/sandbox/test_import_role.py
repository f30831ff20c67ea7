"""importRole as CloudStack's source has it: no recording shows it (`pipeline/sandbox/import_role`)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.sandbox.api import Api

RULES = {
    "rules[0].rule": "list*",
    "rules[0].permission": "allow",
    "rules[1].rule": "*",
    "rules[1].permission": "deny",
    "rules[1].description": "nothing else",
}


async def rules_of(api: Api, role: str) -> list[tuple[str, str]]:
    listed = (await api("listRolePermissions", roleid=role)).body
    return [(one["rule"], one["permission"]) for one in listed.get("rolepermission", [])]


async def imported(api: Api, **params: Any) -> Any:
    return await api("importRole", **({"name": "ops", "type": "User"} | RULES | params))


async def test_a_role_with_its_rules_in_their_order(api: Api) -> None:
    answer = await imported(api, description="d")
    role = answer.body["role"]
    assert (role["name"], role["type"], role["description"], role["ispublic"]) == ("ops", "User", "d", True)
    assert await rules_of(api, role["id"]) == [("list*", "allow"), ("*", "deny")]
    (event,) = [body for _, body in api.events]
    assert (event["event"], event["status"], event["entity"]) == ("ROLE.IMPORT", "Completed", "Role")
    assert "entityuuid" not in event


async def test_by_numbers_and_not_as_they_come(api: Api) -> None:
    many = {f"rules[{n}].rule": f"list{n}" for n in range(11, -1, -1)}
    many |= {f"rules[{n}].permission": "allow" for n in range(12)}
    role = (await api("importRole", name="many", type="User", **many)).body["role"]["id"]
    assert [rule for rule, _ in await rules_of(api, role)] == [f"list{n}" for n in range(12)]


async def test_forced_replaces_all_of_the_one_with_that_name_and_type(api: Api) -> None:
    role = (await imported(api, description="d")).body["role"]["id"]
    other = {"rules[0].rule": "deploy*", "rules[0].permission": "deny"}
    again = (await api("importRole", name="ops", type="User", forced="true", **other)).body["role"]
    assert again["id"] == role and "description" not in again
    assert await rules_of(api, role) == [("deploy*", "deny")]


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        pytest.param({}, 530, "Role already exists", id="taken"),
        pytest.param({"name": "OPS"}, 530, "Role already exists", id="taken in another case"),
        pytest.param({"name": "User", "forced": "true"}, 530, "default role", id="built in"),
        pytest.param({"name": "new", "rules[0].permission": "maybe"}, 431, "permission", id="permission"),
        pytest.param({"name": "new", "rules[0].rule": "list users"}, 431, "rule", id="no rule"),
        pytest.param({"name": "new", "type": "Nobody"}, 431, "type", id="type"),
    ],
)
async def test_refused_and_nothing_changes(api: Api, params: dict[str, str], code: int, words: str) -> None:
    role = (await imported(api)).body["role"]["id"]
    before = (await api("listRoles")).body
    answer = await imported(api, **params)
    assert answer.body["errorcode"] == code and words in answer.body["errortext"]
    assert (await api("listRoles")).body == before
    assert await rules_of(api, role) == [("list*", "allow"), ("*", "deny")]


async def test_no_rules_are_refused(api: Api) -> None:
    assert (await api("importRole", name="ops", type="User")).body["errorcode"] == 431
