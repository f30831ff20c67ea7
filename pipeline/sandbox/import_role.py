"""importRole: a role and all its rules in one transaction.

Called by `dispatch` with a parsed call. It was never recorded: parameters and fields are listApis', rules and
texts RoleManagerImpl's and ImportRoleCmd's of apache/cloudstack. Its event names no role (source).
"""

from __future__ import annotations

import re
from typing import Final

from pipeline.sandbox import render
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.errors import ApiError, wrong_parameter
from pipeline.sandbox.roles import live_named, restricted, role_type
from pipeline.sandbox.state import Role

_RULE: Final = re.compile(r"[*\w]+", re.ASCII)

Rules = list[tuple[str, bool, str | None]]


def import_role(call: Call) -> Answer:
    """Refused where the name is taken, unless forced: then the one of that name and type is replaced."""
    name, type_, rules = call.need("name"), role_type(call), _rules(call)
    if type_ is None:
        raise wrong_parameter("Invalid role type provided")
    if not name.strip():
        raise wrong_parameter("Invalid role name provided")
    role = call.audited("ROLE.IMPORT", "importing Role", lambda: _import(call, name, type_, rules))
    return {"role": render.role(role, listed=False)}


def _import(call: Call, name: str, type_: str, rules: Rules) -> Role:
    restricted(call)
    named = live_named(call.world, name)
    if named and not call.flag("forced"):
        raise ApiError(530, "Role already exists")
    role = next((one for one in named if one.type == type_), None)
    if role is not None and role.default:
        words = f"Failed to import the role: {name}, default role cannot be overriden"
        raise ApiError(530, words)
    if role is None:
        role = call.world.add_role(name, type_, None)
    for one in list(role.permissions):
        call.world.remove_permission(one)
    role.name, role.description = name, call.text("description")
    role.public = call.flag("ispublic") if "ispublic" in call.values else True
    for rule, allow, description in rules:
        call.world.add_permission(role, rule, allow, description)
    return role


def _rules(call: Call) -> Rules:
    rows = call.rows("rules")
    if not rows:
        raise wrong_parameter("Unable to execute API command importrole due to missing parameter rules")
    return [_rule(row) for row in rows]


def _rule(row: dict[str, str]) -> tuple[str, bool, str | None]:
    rule, permission = row.get("rule", ""), row.get("permission", "").casefold()
    if not _RULE.fullmatch(rule):
        raise wrong_parameter(f"Invalid rule provided. Only API names and wildcards are allowed, got: {rule}")
    if permission not in ("allow", "deny"):
        raise wrong_parameter("Invalid permission type provided")
    return rule, permission == "allow", row.get("description")
