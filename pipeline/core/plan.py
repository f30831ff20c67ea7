"""Plans the least calls that take one entity in one region from what it is to what it should be.

In: what the region holds now, what it should hold, and what it may hold without it being news, all in that
region's own UUIDs. Out: the calls in order, and the fields left alone. Pure; called by apply and, later, by
whoever only wants to show a plan. The facts behind the order of calls are in cloudstack.md, "The API".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from pipeline.core.entities import (
    API_KEY,
    DISABLED,
    ENABLED,
    FIELDS,
    LOCKED,
    LOGIN,
    NEVER_CLEARED,
    OPTIONAL,
    Fields,
    Kind,
)
from pipeline.core.limits import NUMBERS, api_max

ROLE: Final = "role"
STATE: Final = "state"
SET_LIMIT: Final = "updateResourceLimit"
SET_LOGIN: Final = "set login"
"""In CloudStack's own database: the API takes no hash."""
IMPORT_ROLE: Final = "importRole"
CLEAR_RULES: Final = "deleteRolePermission"
"""Of all rules: for a role without any, which importRole does not make."""
DENY_ALL: Final = "deny *"
"""Allows as little as a role without rules."""
LIFE: Final = "life"
"""Left alone when an entity that the region held is gone: a removal made there that nobody has seen yet."""


@dataclass(frozen=True, slots=True)
class Call:
    """One API call. What is filled in at the edge: `password` (a fresh strong one, never in a plan) where
    `needs_password`, `roleid` for the role called `role`, the pair of keys whose fingerprint is `key`, and
    what `login` stands for, which no call takes: it is written to CloudStack's own table."""

    command: str
    params: Mapping[str, str]
    needs_password: bool = False
    role: str | None = None
    key: str = ""
    login: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One entity in one region, in that region's own UUIDs.

    `actual` and `wanted`: None = absent. `known` and `applied`: what the region held when the desired state
    was sent, and what was last applied there; a field that holds neither those nor the wanted value is a
    change that nobody has seen yet. `held`: the region was known to have the entity. Text that only
    creation and renaming need: `domain`, the domain's UUID (of an account or a user); `account`, the
    account's name (of a user).
    """

    kind: Kind
    uuid: str
    actual: Fields | None
    wanted: Fields | None
    known: Fields | None = None
    applied: Fields | None = None
    held: bool = False
    domain: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls in order, and the names of fields that hold a local change which nobody has seen yet."""

    calls: tuple[Call, ...] = ()
    left_alone: tuple[str, ...] = ()


def plan(target: Target) -> Plan:
    """The least calls for `target`; none when it already is as wanted."""
    if target.wanted is None:
        return Plan(_removal(target)) if target.actual is not None else Plan()
    if target.actual is None:
        if target.held or target.known is not None:
            return Plan((), (LIFE,))
        return Plan(_creation(target, target.wanted))
    names = (*FIELDS[target.kind], *_told(target.kind, target.actual, target.wanted))
    left_alone = tuple(name for name in names if _is_unseen(target, name))
    changes = {
        name: target.wanted[name]
        for name in names
        if name not in left_alone and target.wanted[name] != target.actual[name]
    }
    return Plan(_update(target, target.actual, changes), left_alone)


def latest(
    known: Fields | None, settled: int | None, applied: Fields | None, version: int
) -> tuple[Fields | None, Fields | None]:
    """`known` and `applied` (at `version`), the older one emptied: a value that the region held before is
    somebody's change when it comes back. `settled`: the version that `known` is of; None: nobody can tell."""
    if settled is None or known is None or applied is None:
        return known, applied
    return (known, {}) if version <= settled else ({}, applied)


def as_made_here(target: Target) -> Target:
    """The target as it is when nobody but us can have given it its values: known, but for what creation left.

    For an entity that the region is not known to hold and that nobody has changed there: a worker made it and
    died before it could say so, and what it wrote may be older than what is wanted now.
    """
    if target.actual is None or target.known is not None or target.applied is not None:
        return target
    return replace(target, known={name: text for name, text in target.actual.items() if name != STATE})


def _is_unseen(target: Target, name: str) -> bool:
    """Apply's rule 2: a value that is neither wanted, nor known, nor ours is a local change in flight.
    So is one that no call can clear: it wins over an empty one."""
    actual = (target.actual or {}).get(name)
    if name in NEVER_CLEARED and actual and not (target.wanted or {}).get(name):
        return True
    explained = [side.get(name) for side in (target.wanted, target.known, target.applied) if side is not None]
    if name == STATE and target.applied is None and STATE not in (target.known or {}):
        explained.append(ENABLED)  # as creation leaves it: the worker may have died before closing it
    return actual not in explained


def _told(kind: Kind, actual: Fields, wanted: Fields) -> tuple[str, ...]:
    """The optional fields that are wanted, and that the region tells of now."""
    return tuple(name for name in OPTIONAL[kind] if name in actual and name in wanted)


def _removal(target: Target) -> tuple[Call, ...]:
    """Never with cleanup: what is below goes by rows of its own, and what nobody knows of stops it."""
    return (Call(f"delete{target.kind}", {"id": target.uuid}),)


def _creation(target: Target, wanted: Fields) -> tuple[Call, ...]:
    if target.kind is Kind.DOMAIN:
        params = {"name": wanted["name"], "parentdomainid": wanted["parent"], "domainid": target.uuid}
        return (Call("createDomain", params | _given("networkdomain", wanted)),)
    if target.kind is Kind.ROLE:
        return (_role(wanted, forced=False),)
    if target.kind is Kind.ACCOUNT:
        params = {"account": wanted["name"], "domainid": wanted["parent"], "accountid": target.uuid}
        params |= _given("networkdomain", wanted)
        create = Call("createAccount", params, needs_password=True, role=wanted["role"])
        return (create, *state_calls(target.kind, target.uuid, ENABLED, wanted["state"]))
    params = {
        "username": wanted["name"],
        "account": target.account,
        "domainid": target.domain,
        "userid": target.uuid,
        **{name: wanted[name] for name in ("firstname", "lastname", "email")},
    }
    create = Call("createUser", params | _given("timezone", wanted), needs_password=True)
    return (create, *state_calls(target.kind, target.uuid, ENABLED, wanted["state"]))


def _update(target: Target, actual: Fields, changes: Mapping[str, str]) -> tuple[Call, ...]:
    """Taking access away goes before all else, giving it back comes last but for limits, which CloudStack may
    refuse for the time being."""
    if target.kind is Kind.ROLE:
        return _role_update(target, actual, changes)
    calls: list[Call] = []
    state = state_calls(target.kind, target.uuid, actual.get("state", ""), changes.get("state", ""))
    if changes.get("state") != ENABLED:
        calls += state
    if "parent" in changes:
        calls += _move(target, changes["parent"])
    calls += _attributes(target, changes)
    if API_KEY in changes:  # a call of its own: the pair may have to be waited for
        calls.append(Call("updateUser", {"id": target.uuid}, key=changes[API_KEY]))
    if LOGIN in changes:
        calls.append(Call(SET_LOGIN, {"id": target.uuid}, login=changes[LOGIN]))
    if changes.get("state") == ENABLED:
        calls += state
    return (*calls, *_limits(target, actual, changes))


def _limits(target: Target, actual: Fields, changes: Mapping[str, str]) -> tuple[Call, ...]:
    """A call for each type. An account is known by its name and domain there, the name being its new one."""
    if target.kind is Kind.ACCOUNT:
        whose = {"account": changes.get("name", actual["name"]), "domainid": actual["parent"]}
    else:
        whose = {"domainid": target.uuid}
    return tuple(
        Call(SET_LIMIT, {**whose, "resourcetype": str(NUMBERS[name]), "max": api_max(text)})
        for name, text in changes.items()
        if name in NUMBERS
    )


def _role(wanted: Fields, *, forced: bool) -> Call:
    """With all its rules in one transaction, so that at no moment a rule is missing that denies."""
    params = {"name": wanted["name"], "type": wanted["type"], "ispublic": wanted["public"]}
    params |= _given("description", wanted)
    if not wanted["rules"]:
        return Call("createRole", params)
    return Call(IMPORT_ROLE, {**params, "forced": str(forced).lower(), "rules": wanted["rules"]})


def _role_update(target: Target, actual: Fields, changes: Mapping[str, str]) -> tuple[Call, ...]:
    """importRole finds a role by name and type, so these come first; it alone empties a description."""
    now, calls = {**actual, **changes}, []
    imported = "rules" in changes or changes.get("description") == ""
    asked = {name: changes[name] for name in ("name", "type") if name in changes}
    if not imported:
        asked |= _given("description", changes)
        asked |= {"ispublic": changes["public"]} if "public" in changes else {}
    if asked:
        calls.append(Call("updateRole", {"id": target.uuid, **asked}))
    if imported:
        replaced = _role({**now, "rules": now["rules"] or DENY_ALL}, forced=True)
        calls.append(replace(replaced, params={"id": target.uuid, **replaced.params}))
        if not now["rules"]:
            calls.append(Call(CLEAR_RULES, {"roleid": target.uuid}))
    return tuple(calls)


def _move(target: Target, parent: str) -> tuple[Call, ...]:
    if target.kind is Kind.DOMAIN:
        return (Call("moveDomain", {"domainid": target.uuid, "parentdomainid": parent}),)
    if target.kind is Kind.USER:
        return (Call("moveUser", {"id": target.uuid, "accountid": parent}),)
    return ()  # no call moves an account to another domain


def _attributes(target: Target, changes: Mapping[str, str]) -> tuple[Call, ...]:
    optional, others = OPTIONAL[target.kind], (STATE, "parent", ROLE)
    params = {name: text for name, text in changes.items() if name not in (*optional, *others)}
    if target.kind is Kind.USER and "name" in params:
        params["username"] = params.pop("name")
    if target.kind is Kind.ACCOUNT and "name" in params:
        # Without domainid CloudStack skips the check for a name that is taken (cloudstack.md).
        params |= {"newname": params.pop("name"), "domainid": target.domain}
    role = changes.get(ROLE)
    if not params and role is None:
        return ()
    return (Call(f"update{target.kind}", {"id": target.uuid, **params}, role=role),)


def state_calls(kind: Kind, uuid: str, actual: str, wanted: str) -> tuple[Call, ...]:
    """The calls from one state to another. What is disabled can't be locked: it is enabled first."""
    if wanted in ("", actual):
        return ()
    enable = Call(f"enable{kind}", {"id": uuid})
    if wanted == ENABLED:
        return (enable,)
    if kind is Kind.ACCOUNT:
        # lockAccount itself is dead (530); disableAccount does both (recording account.lockAccount).
        close = Call("disableAccount", {"id": uuid, "lock": "true" if wanted == LOCKED else "false"})
    else:
        close = Call("lockUser" if wanted == LOCKED else "disableUser", {"id": uuid})
    if wanted == LOCKED and actual == DISABLED:
        return (enable, close)
    return (close,)


def _given(name: str, wanted: Fields) -> dict[str, str]:
    return {name: wanted[name]} if wanted.get(name) else {}
