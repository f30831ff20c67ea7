"""The role commands: roles and their rules.

Called by `dispatch` with a parsed call. Rules and texts: recorded, and RoleManagerImpl of apache/cloudstack.
"""

from __future__ import annotations

from pipeline.sandbox import listing, render
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.errors import ApiError, denied, internal, invalid, wrong_parameter
from pipeline.sandbox.state import ACCOUNT_TYPE_BY_ROLE_TYPE, ADMIN_ROLE, Permission, Role
from pipeline.sandbox.world import World

_NO_ROLE = "Cannot find the role with provided id"


def restricted(call: Call) -> None:
    if call.account.role is None or call.account.role.type != ADMIN_ROLE:
        raise denied("Restricted API called by a user account of non-Admin role type")


def live_named(world: World, name: str) -> list[Role]:
    """Names are compared without case."""
    return [r for r in world.roles.values() if r.name is not None and r.name.casefold() == name.casefold()]


def _live(call: Call, name: str) -> Role:
    role = call.needed(name, Role)
    if role.removed:
        raise wrong_parameter(_NO_ROLE)
    return role


def role_type(call: Call) -> str | None:
    word = call.text("type")
    if word is None:
        return None
    found = next((t for t in ACCOUNT_TYPE_BY_ROLE_TYPE if t.casefold() == word.casefold()), None)
    if found is None:
        raise wrong_parameter("Invalid role type provided")
    return found


def create_role(call: Call) -> Answer:
    """From a type, or as a copy; the copy's event names the role that was copied (recorded)."""
    name, description = call.need("name"), call.text("description")
    source, type_ = call.entity("roleid", Role), role_type(call)
    if (source is None) == (type_ is None):
        word = "both" if source is not None else "none"
        raise wrong_parameter(f"Either role type or role ID must be provided ({word} given)")
    if not name.strip():
        raise wrong_parameter("Role name provided is invalid")
    shown = description if description is not None else "null"
    if source is not None:
        words = (
            f"creating role by cloning another role. Role: {name}, from role: "
            f"{source.id}, description: {shown}"
        )
        role = call.audited("ROLE.CREATE", words, lambda: _copy(call, source))
    else:
        words = f"creating Role. Role: {name}, type: {type_}, description: {shown}"
        role = call.audited("ROLE.CREATE", words, lambda: _create(call, str(type_)))
        role.public = _public(call, role)
    return {"role": render.role(role, listed=False)}


def _public(call: Call, role: Role) -> bool:
    return call.flag("ispublic") if "ispublic" in call.values else role.public


def _create(call: Call, type_: str) -> Role:
    restricted(call)
    name = call.need("name")
    if live_named(call.world, name):
        call.world.number("Role")
        raise ApiError(530, "Entity already exists ")
    role = call.world.add_role(name, type_, call.text("description"))
    call.touch(role)
    return role


def _copy(call: Call, source: Role) -> Role:
    role = _create(call, source.type)
    for one in source.permissions:
        call.world.add_permission(role, one.rule, one.allow, one.description)
    role.public = _public(call, role)
    call.touch(source)
    return role


def update_role(call: Call) -> Answer:
    role, type_ = _live(call, "id"), role_type(call)
    shown = [call.text(word) if call.text(word) is not None else "null" for word in ("name", "description")]
    words = f"updating Role. Role: {shown[0]}, type:{type_ or 'null'}, description: {shown[1]}"
    call.audited("ROLE.UPDATE", words, lambda: _update(call, role, type_))
    return {"role": render.role(role, listed=False)}


def _update(call: Call, role: Role, type_: str | None) -> None:
    restricted(call)
    if role.default:
        raise denied("Default roles cannot be updated")
    if type_ is not None and role.accounts:
        raise denied("Found accounts that have role in use, won't allow to change role type")
    role.type = type_ or role.type
    role.name = call.text("name") or role.name
    role.description = call.text("description") or role.description
    role.public = _public(call, role)


def delete_role(call: Call) -> Answer:
    role = _live(call, "id")
    call.audited("ROLE.DELETE", f"deleting Role. Role id: {role.id}", lambda: _delete(call, role))
    return {"success": True}


def _delete(call: Call, role: Role) -> None:
    restricted(call)
    if role.default:
        raise denied("Default roles cannot be deleted")
    if role.accounts:
        raise denied("Found accounts that have role in use, won't allow to delete role")
    for one in list(role.permissions):
        call.world.remove_permission(one)
    role.removed, role.name = True, None


def disable_role(call: Call) -> Answer:
    return _switch(call, enabled=False)


def enable_role(call: Call) -> Answer:
    return _switch(call, enabled=True)


def _switch(call: Call, enabled: bool) -> Answer:
    role = _live(call, "id")
    word = "enabl" if enabled else "disabl"

    def work() -> None:
        restricted(call)
        if role.default:
            raise denied(f"Default roles cannot be {word}ed")
        role.enabled = enabled

    call.audited(f"ROLE.{word.upper()}E", f"{word}ing Role. Role id: {role.id}", work)
    return {"success": True}


def list_roles(call: Call) -> Answer:
    type_, wanted = role_type(call), call.entity("id", Role)
    found = [
        one
        for one in call.world.roles.values()
        if not one.removed
        and (wanted is None or one is wanted)
        and (call.account.root_admin or one.type != ADMIN_ROLE)
        and (type_ is None or one.type == type_)
        and listing.matches(call.text("name"), one.name)
        and listing.matches(call.text("keyword"), one.name)
        and listing.same(call.text("state"), "enabled" if one.enabled else "disabled")
    ]
    return listing.listed(call, "role", found, render.role)


def create_role_permission(call: Call) -> Answer:
    role, rule = _live(call, "roleid"), call.need("rule")
    allow, description = _allow(call), call.text("description")
    words = (
        f"creating Role Permission. Role id: {role.id}, rule:{rule}, permission: "
        f"{'ALLOW' if allow else 'DENY'}, "
        f"description: {description if description is not None else 'null'}"
    )

    def work() -> Permission:
        restricted(call)
        if role.default:
            raise denied("Role permission cannot be added for Default roles")
        if any(one.rule == rule for one in role.permissions):
            raise denied(f"Rule already exists for the role: {role.name}")
        return call.world.add_permission(role, rule, allow, description)

    return {"rolepermission": render.permission(call.audited("ROLE.PERMISSION.CREATE", words, work))}


def _allow(call: Call) -> bool:
    word = (call.text("permission") or "").casefold()
    if word not in ("allow", "deny"):
        raise wrong_parameter("Invalid permission type provided")
    return word == "allow"


def update_role_permission(call: Call) -> Answer:
    """Raises no event for a changed permission (recorded); a new order does (source)."""
    role, order = _live(call, "roleid"), call.names("ruleorder")
    rule, given = call.entity("ruleid", Permission), call.text("permission")
    if (order is None) == (rule is None):
        raise wrong_parameter("Only one of ruleorder and the pair of ruleid and permission can be given")
    if order is not None:
        words = f"updating Role Permission order. Role id: {role.id}"
        call.audited("ROLE.PERMISSION.UPDATE", words, lambda: _reorder(call, role, order))
        return {"success": True}
    _changeable(call, role)
    if rule is None or given is None or rule.role is not role:
        raise wrong_parameter("Invalid rule id provided")
    rule.allow = _allow(call)
    return {"success": True}


def _changeable(call: Call, role: Role) -> None:
    restricted(call)
    if role.default:
        raise denied("Role permission cannot be updated for Default roles")


def _reorder(call: Call, role: Role, order: list[str]) -> None:
    _changeable(call, role)
    place = {uuid: index for index, uuid in enumerate(order)}
    if set(place) != {one.uuid for one in role.permissions}:
        raise internal("Failed to update role permissions")
    role.permissions.sort(key=lambda one: place[one.uuid])


def delete_role_permission(call: Call) -> Answer:
    permission = call.needed("id", Permission)
    words = f"deleting Role Permission. Role permission id: {permission.id}"

    def work() -> None:
        restricted(call)
        if permission.role.default:
            raise denied("Role permission cannot be deleted for Default roles")
        if permission.id not in call.world.permissions:
            raise invalid("Role permission not found")
        call.world.remove_permission(permission)

    call.audited("ROLE.PERMISSION.DELETE", words, work)
    return {"success": True}


def list_role_permissions(call: Call) -> Answer:
    """Not paged."""
    role = _live(call, "roleid")
    rows = [render.permission(one, named=True) for one in role.permissions]
    return listing.answer("rolepermission", rows, len(rows))
