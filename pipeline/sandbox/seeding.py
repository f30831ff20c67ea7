"""What a region starts with, and how benchmarks fill one.

Comes in: an empty world. Goes out: ROOT, the default roles, the system and admin accounts, the sync's
service account; or many domains, accounts and users at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources

from pipeline.sandbox.state import (
    ADMIN_ACCOUNT_ID,
    NORMAL,
    ROOT_ADMIN,
    Account,
    Domain,
    NewAccount,
    NewUser,
    RegionRow,
    Role,
    User,
)
from pipeline.sandbox.world import World

SERVICE = "svc-sync"
ADMIN_PASSWORD = "password"  # noqa: S105 (the fresh install's own, known to everybody)
# What an administrator below root may call besides all that a plain user may
# (source: the commands' own annotations).
_ADMIN_RULES = (
    "createAccount", "updateAccount", "enableAccount", "disableAccount", "lockAccount", "deleteAccount",
    "createUser", "enableUser", "disableUser", "lockUser", "deleteUser",  "getUser", "getUserKeys",
    "createDomain", "updateDomain", "deleteDomain", "listDomains", "listDomainChildren",
    "listRoles", "updateResourceLimit", "updateResourceCount", "listConfigurations",
)  # fmt: skip
_READING_RULES = ("list*", "get*", "queryAsyncJobResult")


def seed_world(world: World, new_key: Callable[[], str]) -> dict[str, User]:
    """Returns the users `system`, `admin` and the service user, the last two with keys."""
    root = world.add_domain("ROOT", None, ADMIN_ACCOUNT_ID)
    roles = _default_roles(world)
    seeded: dict[str, User] = {}
    for name in ("system", "admin", SERVICE):
        account = world.add_account(NewAccount(name, root, roles["Root Admin"], ROOT_ADMIN))
        account.default = name != SERVICE
        words = {"admin": ("Admin", "User"), "system": ("system", "cloud"), SERVICE: ("Svc", "Sync")}[name]
        email = "svc@example.org" if name == SERVICE else "admin@mailprovider.com"
        password = ADMIN_PASSWORD if name == "admin" else new_key()
        seeded[name] = world.add_user(NewUser(name, password, words[0], words[1], email), account)
        seeded[name].default = account.default
    for name in ("admin", SERVICE):
        world.set_keys(seeded[name], new_key(), new_key())
    world.region_rows[1] = RegionRow(1, "Local", "http://localhost:8080/client/")
    return seeded


def _default_roles(world: World) -> dict[str, Role]:
    text = resources.files("pipeline.sandbox").joinpath("data/roles.json").read_text("utf-8")
    known = json.loads(text)
    roles: dict[str, Role] = {}
    for row in known["roles"]:
        role = roles[row["name"]] = world.add_role(row["name"], row["type"], row["description"])
        role.default = True
        for rule in _rules(row, known["user_rules"]):
            world.add_permission(role, rule, True)
    return roles


def _rules(row: dict[str, str], user_rules: list[str]) -> list[str]:
    name, type_ = row["name"], row["type"]
    if name == "Root Admin":
        return ["*"]
    if name.startswith("Read-Only"):
        return (
            [*_READING_RULES]
            if type_ == "Admin"
            else [r for r in user_rules if r.startswith(("list", "get"))]
        )
    if type_ == "Admin":
        return [*_READING_RULES, *user_rules]
    if type_ == "User":
        return list(user_rules)
    return [*user_rules, *_ADMIN_RULES]


def load(world: World, domains: int, accounts: int, users: int) -> None:
    """Domains spread over two levels, accounts over the domains, users over the accounts; each account
    gets one user.

    `users` counts all of them, so at least as many as accounts. Names are `load-d1`, `load-a1`, `load-u1`
    …
    """
    role = next(r for r in world.roles.values() if r.name == "User")
    made: list[Domain] = []
    for number in range(1, domains + 1):
        parent = world.root if number <= max(domains // 10, 1) else made[number % max(domains // 10, 1)]
        made.append(world.add_domain(f"load-d{number}", parent, ADMIN_ACCOUNT_ID))
    places = made or [world.root]
    holders: list[Account] = []
    for number in range(1, accounts + 1):
        new = NewAccount(f"load-a{number}", places[number % len(places)], role, NORMAL)
        holders.append(world.add_account(new))
    for number in range(1, max(users, accounts) + 1):
        name = f"load-u{number}"
        world.add_user(
            NewUser(name, "Passw0rd!x", "First", "Last", f"{name}@example.org"),
            holders[(number - 1) % len(holders)],
        )
