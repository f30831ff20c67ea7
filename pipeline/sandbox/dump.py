"""A region's contents without UUIDs, times and numbers, so that two regions can be compared.

Comes in: a world. Goes out: plain dicts. Used by tests, `/sandbox/state` and the demo. The system,
default and sync accounts with their users are left out, and so are project accounts.
"""

from __future__ import annotations

from pipeline.sandbox.seeding import SERVICE
from pipeline.sandbox.state import PROJECT, Account
from pipeline.sandbox.world import World

Row = dict[str, str]
Dump = dict[str, dict[str, Row]]


def protected(account: Account) -> bool:
    """Whether nobody's sync may touch the account."""
    return (
        account.default
        or account.type == PROJECT
        or (account.name == SERVICE and account.domain.parent is None)
    )


def dump(world: World) -> Dump:
    """`domains` by path, `accounts` by path|name, `users` by path|account|username. Names compare with
    their case.
    """
    out: Dump = {"domains": {}, "accounts": {}, "users": {}}
    for domain in sorted(world.live_domains.values(), key=lambda one: one.path):
        if domain.parent is not None:
            _put(out["domains"], domain.path, {"networkdomain": domain.networkdomain or ""})
        for account in sorted(domain.accounts.values(), key=lambda one: one.name):
            if not protected(account):
                _add_account(out, f"{domain.path}|{account.name}", account)
    return out


def _add_account(out: Dump, key: str, account: Account) -> None:
    role = account.role.name if account.role is not None and account.role.name else ""
    _put(
        out["accounts"],
        key,
        {"state": account.state, "role": role, "networkdomain": account.networkdomain or ""},
    )
    for user in sorted(account.users.values(), key=lambda one: one.username):
        row = {
            "firstname": user.firstname,
            "lastname": user.lastname,
            "email": user.email,
            "timezone": user.timezone or "",
            "state": user.state,
        }
        _put(out["users"], f"{key}|{user.username}", row)


def _put(rows: dict[str, Row], key: str, row: Row) -> None:
    """Twins (an unchecked rename makes them) get a number each."""
    number = 2
    free = key
    while free in rows:
        free = f"{key}#{number}"
        number += 1
    rows[free] = row
