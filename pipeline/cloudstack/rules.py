"""A role's rules, as the API lists and takes them.

In: an object of listRoles, or the text of the field `rules`. Out: the object with that text, or the
parameters of importRole. Called by `resources`, and by the worker that carries a plan out.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from pipeline.cloudstack.answers import named, rows
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.errors import Garbled, NotFound
from pipeline.core.entities import Kind, Snapshot
from pipeline.core.roles import ALLOW, DENY, RULES, Rule, parse_rules, rules_text
from pipeline.core.soundness import TEXT_MAX, is_text

LIST_RULES: Final = "listRolePermissions"

log = logging.getLogger(__name__)


async def with_rules(client: CloudStack, role: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The role's object with its rules as one text; None: it is gone by now. Those of a built-in role are its
    region's business, and not read. Raises as the client does."""
    if role.get("isdefault") is True:
        return {**role, RULES: ""}
    try:
        listed = await list_rules(client, named("listRoles", role, "id"))
    except NotFound:
        return None
    try:
        return {**role, RULES: rules_text(rule for _, rule in listed)}
    except ValueError as error:
        raise Garbled(f"role {role.get('name')!r}: {error}") from None


async def listed(
    found: Sequence[Mapping[str, Any]],
    read: Callable[[Sequence[Mapping[str, Any]]], Awaitable[list[Snapshot]]],
) -> list[Snapshot]:
    """Roles of a listing. One whose rules can't be kept is there and not to be touched; it must not hide the
    others."""
    snapshots: list[Snapshot] = []
    for row in found:
        try:
            snapshots += await read([row])
        except Garbled as error:
            log.warning("%s", error)
            snapshots.append(Snapshot(Kind.ROLE, named("listRoles", row, "id"), None, protected=True))
    return snapshots


async def list_rules(client: CloudStack, role: str) -> list[tuple[str, Rule]]:
    """UUID and rule, in their order. CloudStack does not page them. Raises as the client does."""
    inner = await client.call(LIST_RULES, {"roleid": role})
    return [(named(LIST_RULES, row, "id"), _rule(row)) for row in rows(LIST_RULES, inner, "rolepermission")]


def rule_params(text: str) -> dict[str, str]:
    """The rules as importRole takes them."""
    params: dict[str, str] = {}
    for number, one in enumerate(parse_rules(text)):
        row = {"rule": one.rule, "permission": ALLOW if one.allow else DENY}
        row |= {"description": one.description} if one.description else {}
        params |= {f"rules[{number}].{name}": value for name, value in row.items()}
    return params


def _rule(row: Mapping[str, Any]) -> Rule:
    permission, description = row.get("permission"), row.get("description")
    if permission not in (ALLOW, DENY):
        raise Garbled(f"a rule is neither {ALLOW} nor {DENY}")
    described = "" if description is None else description
    if not isinstance(described, str) or not is_text(described, TEXT_MAX):
        raise Garbled("a rule's description is no text that can be kept")
    return Rule(named(LIST_RULES, row, "rule"), permission == ALLOW, described)
