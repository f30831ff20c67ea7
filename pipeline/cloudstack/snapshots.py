"""An API object as a Snapshot. Pure.

In: an object of listDomains, listAccounts, listUsers or listRoles (with its rules as one text), and what is
known of the region. Out: the Snapshot, in the region's own UUIDs but for the root domain, which is called
ROOT everywhere. Called by resources.py. The objects' fields: golden/ (bulk listings), and cloudstack.md for
what is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.cloudstack.errors import Garbled
from pipeline.core.entities import API_KEY, ENABLED, ROOT, ROOT_ADMIN_TYPE, Fields, Kind, Snapshot
from pipeline.core.events import Unreadable, parse_time
from pipeline.core.keys import fingerprint
from pipeline.core.limits import BORROWED, TYPES, limit_text
from pipeline.core.soundness import TEXT_MAX, UUID_MAX, is_text

PROJECT_ACCOUNT: Final = 5
"""The `accounttype` of the account behind a project."""

SYSTEM_ACCOUNT: Final = "system"

ROOT_ADMIN_ACCOUNT: Final = 1
ROOT_ADMIN_ROLES: Final = ROOT_ADMIN_TYPE
"""The `accounttype` of root administrators, and the `roletype` of all roles that make one."""

Object = Mapping[str, Any]


def nowhere(_domain: str) -> bool:
    """No user's keys are told."""
    return False


@dataclass(frozen=True, slots=True)
class Identity:
    """What a region's own things are called: root domain, our user and account, and the accounts of the
    region's own (`reserved`: default and system accounts), all by UUID. `shares_keys` says of a domain
    whether its users' keys are told, by their fingerprint; `tells_limits`: those of domains and accounts are,
    as far as a listing shows them. `role`: our own account's."""

    root: str
    user: str
    account: str
    reserved: frozenset[str] = frozenset()
    shares_keys: Callable[[str], bool] = nowhere
    tells_limits: bool = False
    role: str = ""


def snapshot(kind: Kind, obj: Object, identity: Identity) -> Snapshot:
    """What `obj` says of one entity. Raises `Garbled` where that is none (no id, text that is none)."""
    uuid, fields = _uuid(kind, obj), _FIELDS[kind](obj, identity)
    own = _PROTECTED[kind](obj, identity)
    root_admin = not own and kind is not Kind.DOMAIN and is_root_admin(obj)
    return Snapshot(
        kind=kind,
        uuid=uuid,
        fields=fields,
        created=_created(obj),
        protected=own or root_admin,
        users=_users(obj, identity) if kind is Kind.ACCOUNT else (),
        root_admin=root_admin,
    )


def is_root_admin(obj: Object) -> bool:
    """Whether an account, a user's account, or a role is a root administrator's, by whatever role."""
    if "roletype" not in obj and "accounttype" not in obj:
        return obj.get("type") == ROOT_ADMIN_ROLES
    return obj.get("accounttype") == ROOT_ADMIN_ACCOUNT or obj.get("roletype") == ROOT_ADMIN_ROLES


def is_reserved(account: Object) -> bool:
    """Whether an account is the region's own: default, system, or a project's."""
    if account.get("isdefault") is True or account.get("accounttype") == PROJECT_ACCOUNT:
        return True
    return account.get("name") == SYSTEM_ACCOUNT and account.get("accounttype") == 1


def _domain(obj: Object, identity: Identity) -> Fields:
    return {
        "name": _text(obj, "name"),
        "networkdomain": _text(obj, "networkdomain"),
        "parent": _domain_id(_text(obj, "parentdomainid"), identity),
        **_limits(obj, identity, BORROWED),
    }


def _account(obj: Object, identity: Identity) -> Fields:
    return {
        "name": _text(obj, "name"),
        "networkdomain": _text(obj, "networkdomain"),
        "role": _text(obj, "rolename"),
        "state": _state(obj),
        "parent": _domain_id(_text(obj, "domainid"), identity),
        **({} if is_root_admin(obj) else _limits(obj, identity)),  # whoever is one has none
    }


def _limits(obj: Object, identity: Identity, but: Collection[str] = ()) -> Fields:
    """Of the types that this region knows, and shows here."""
    if not identity.tells_limits:
        return {}
    shown = ((one.field, limit_text(obj.get(one.listed))) for one in TYPES if one.name not in but)
    return {name: text for name, text in shown if text is not None}


def _user(obj: Object, identity: Identity) -> Fields:
    shared = identity.shares_keys(_text(obj, "domainid"))
    keys = {API_KEY: fingerprint(_text(obj, "apikey"))} if shared else {}
    return {
        "name": _text(obj, "username"),
        "firstname": _text(obj, "firstname"),
        "lastname": _text(obj, "lastname"),
        "email": _text(obj, "email"),
        "timezone": _text(obj, "timezone"),
        "state": _state(obj),
        "parent": _text(obj, "accountid"),
        **keys,
    }


def _role(obj: Object, _identity: Identity) -> Fields:
    rules = obj.get("rules")
    if not isinstance(rules, str):
        raise Garbled("a role comes without its rules")
    return {
        "name": _text(obj, "name"),
        "description": _text(obj, "description"),
        "type": _text(obj, "type"),
        "public": "false" if obj.get("ispublic") is False else "true",
        "rules": rules,
        "parent": ROOT,
    }


_FIELDS: Final = {Kind.DOMAIN: _domain, Kind.ACCOUNT: _account, Kind.USER: _user, Kind.ROLE: _role}


def _root(obj: Object, identity: Identity) -> bool:
    return obj["id"] == identity.root or obj.get("level") == 0


def _own_account(obj: Object, identity: Identity) -> bool:
    return obj["id"] == identity.account or obj["id"] in identity.reserved or is_reserved(obj)


def _own_user(obj: Object, identity: Identity) -> bool:
    """A user is protected with its account; a user's object shows no more of that than its UUID and type."""
    account = obj.get("accountid")
    return (
        obj["id"] == identity.user
        or obj.get("isdefault") is True
        or obj.get("accounttype") == PROJECT_ACCOUNT
        or account == identity.account
        or account in identity.reserved
    )


def _own_role(obj: Object, identity: Identity) -> bool:
    """Built-in roles are everywhere; ours says what we may do."""
    return obj.get("isdefault") is True or obj["id"] == identity.role


_PROTECTED: Final = {
    Kind.DOMAIN: _root,
    Kind.ACCOUNT: _own_account,
    Kind.USER: _own_user,
    Kind.ROLE: _own_role,
}


def _users(account: Object, identity: Identity) -> tuple[Snapshot, ...]:
    """The account's users, oldest first; those of a protected account are protected with it."""
    listed = account.get("user") or ()
    if not isinstance(listed, list | tuple) or not all(isinstance(user, dict) for user in listed):
        raise Garbled("the account's users are no list of objects")
    users = [snapshot(Kind.USER, user, identity) for user in listed]
    if _own_account(account, identity):
        users = [Snapshot(u.kind, u.uuid, u.fields, u.created, protected=True) for u in users]
    return tuple(sorted(users, key=lambda user: (user.created or 0, user.uuid)))


def _state(obj: Object) -> str:
    return _text(obj, "state").lower() or ENABLED


def _domain_id(uuid: str, identity: Identity) -> str:
    return ROOT if uuid == identity.root else uuid


def _text(obj: Object, key: str) -> str:
    value = obj.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Garbled(f"{key}: is no text")
    text = str(value)
    if not is_text(text, TEXT_MAX):
        raise Garbled(f"{key}: has more than {TEXT_MAX} characters, or some that can't be kept")
    return text


def _uuid(kind: Kind, obj: Object) -> str:
    value = obj.get("id")
    if not isinstance(value, str) or not value or not is_text(value, UUID_MAX):
        raise Garbled(f"a {kind} has no id that can be kept")
    return value


def _created(obj: Object) -> int | None:
    """The root domain and the default accounts have no creation time (golden/, bulk listings)."""
    try:
        return parse_time(_text(obj, "created"))
    except Unreadable:
        return None
