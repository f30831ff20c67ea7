"""Custom roles of one region: found by their names, made with all their rules at once, and waited for.

In: a role's desired state, or a call that names a role. Out: the role's UUID here, answers. Called by apply
and by whoever carries a plan out. CloudStack gives a new role a UUID of its own (docs/decisions/roles.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pipeline.agents.awaited import Awaited
from pipeline.agents.desk import Desk
from pipeline.cloudstack.errors import NoSuchRole, Refused
from pipeline.cloudstack.rules import list_rules, rule_params
from pipeline.core.entities import ROOT_ADMIN_TYPE, Kind, Snapshot
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.core.plan import CLEAR_RULES, IMPORT_ROLE, Call
from pipeline.core.records import Desired
from pipeline.core.roles import RULES
from pipeline.outbox.region import Context

OF_ROLES: Final = frozenset({"createRole", IMPORT_ROLE, "updateRole", CLEAR_RULES})

OLDEST: Final = 0
"""The creation time of a role that was here under the same name, where the event log tells of no change: it
is older than all that is known, and gives way to the record."""


class RoleAwaited(Awaited):
    """An account is to have a role that is not there yet. `role`: its canonical UUID, whose coming wakes the
    row; None: no region has one that could come."""

    def __init__(self, words: str, role: str | None, seen: Snapshot) -> None:
        super().__init__(words, None, seen)
        self.above = role
        self.stuck = role is None


async def awaited(desk: Desk, missing: NoSuchRole, before: Snapshot) -> RoleAwaited:
    """Why the account waits, and for what."""
    role = await asyncio.to_thread(desk.store.role_called, missing.name)
    comes = "it is on its way" if role else "make one, or give the account another"
    return RoleAwaited(f"role {missing.name!r} is missing in region {desk.region}: {comes}", role, before)


async def placed(desk: Desk, desired: Desired, context: Context) -> Context:
    """The context of a role that may be here under a UUID that nobody knows: made by a worker that died
    before it could say so, or by somebody here. Raises `PermanentError` where roles are not synced, or the
    name is a built-in role's."""
    if desired.kind not in desk.resources.kinds:
        raise PermanentError("roles are not synced: see `roles` in the settings")
    if desired.fields is None or context.present:
        return context
    if (await desk.resources.read(Kind.ROLE, context.local)).present:
        return context
    found = await desk.resources.role_called(desired.fields["name"])
    if found is None or found.uuid == context.local:
        return context
    if found.protected:
        raise PermanentError(f"{desired.fields['name']!r} is a role here that is never touched")
    known = await asyncio.to_thread(desk.store.canonical, [found.uuid])
    if known.get(found.uuid, desired.uuid) != desired.uuid:
        return context  # another one's that has the name just now: creation is refused, and tried again
    await link(desk, desired, context, found.uuid)
    return replace(context, local=found.uuid)


async def link(desk: Desk, desired: Desired, context: Context, local: str) -> None:
    """From now on that is the role's UUID here."""
    await asyncio.to_thread(desk.store.mint, desired.uuid, desired.kind, local, context.mapped)


async def carry_out(desk: Desk, call: Call) -> Mapping[str, Any]:
    """One call for a role. Raises as the client does."""
    params = dict(call.params)
    if params.get("type") == ROOT_ADMIN_TYPE:
        raise Refused("root administrators' roles are never written", status=431, command=call.command)
    if call.command == CLEAR_RULES:
        return await _clear(desk, params["roleid"])
    if RULES in params:
        params |= rule_params(params.pop(RULES))
    uuid = params.pop("id", "") if call.command == IMPORT_ROLE else ""
    answer = await desk.client.call(call.command, params)
    made = answer.get("role")
    if uuid and isinstance(made, dict) and made.get("id") != uuid:
        raise TemporaryError(f"role {uuid} got another name in this moment: {made.get('id')} has it now")
    return answer


async def _clear(desk: Desk, role: str) -> Mapping[str, Any]:
    """importRole takes no empty list. What allows goes first: at no moment is less denied than before."""
    rules = await list_rules(desk.client, role)
    for uuid, _ in sorted(rules, key=lambda one: not one[1].allow):
        await desk.client.call(CLEAR_RULES, {"id": uuid})
    return {}
