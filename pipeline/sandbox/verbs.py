"""What the traffic generator can do: every verb of domains, accounts and users, and some that must be
refused.

Comes in: a `Chooser` over one region's present state. Goes out: a command with its parameters, or None
where there is nothing to do it to. Used by `traffic`.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.sandbox.chooser import Chooser
from pipeline.sandbox.dump import protected
from pipeline.sandbox.state import ENABLED, Domain, User

Request = tuple[str, dict[str, str]]

TIMEZONES = ("UTC", "Europe/Berlin", "Asia/Tokyo", "America/New_York")
MAX_TREE = 5


def _person(name: str) -> dict[str, str]:
    return {
        "username": name,
        "password": f"Pw-{name}",
        "email": f"{name}@example.org",
        "firstname": f"F{name}",
        "lastname": f"L{name}",
    }


def create_domain(pick: Chooser) -> Request:
    params = {"name": pick.name("d"), "parentdomainid": pick.place().uuid}
    if pick.rng.random() < 0.3:
        params["networkdomain"] = f"{params['name']}.example.org"
    return "createDomain", params


def rename_domain(pick: Chooser) -> Request | None:
    domain = pick.domain()
    return ("updateDomain", {"id": domain.uuid, "name": pick.name("d")}) if domain is not None else None


def domain_network(pick: Chooser) -> Request | None:
    domain = pick.domain()
    value = pick.rng.choice(["", f"{pick.name('n')}.example.org"])
    return ("updateDomain", {"id": domain.uuid, "networkdomain": value}) if domain is not None else None


def move_domain(pick: Chooser) -> Request | None:
    domain = pick.domain()
    if domain is None:
        return None
    target = pick.place()
    if target is domain.parent or target.within(domain):
        target = pick.world.root
    return "moveDomain", {"domainid": domain.uuid, "parentdomainid": target.uuid}


def delete_leaf(pick: Chooser) -> Request | None:
    domain = pick.domain(lambda one: not one.children and not one.accounts)
    return ("deleteDomain", {"id": domain.uuid}) if domain is not None else None


def delete_tree(pick: Chooser) -> Request | None:
    """Small ones only, so that the traffic does not eat its own world."""

    def small(one: Domain) -> bool:
        below = list(pick.world.below(one))
        held = [account for domain in below for account in domain.accounts.values()]
        return len(below) + len(held) <= MAX_TREE and all(pick.mine(account.name) for account in held)

    domain = pick.domain(small)
    return ("deleteDomain", {"id": domain.uuid, "cleanup": "true"}) if domain is not None else None


def create_account(pick: Chooser) -> Request:
    name = pick.name("a")
    return "createAccount", {
        **_person(name),
        "account": name,
        "domainid": pick.place().uuid,
        "roleid": pick.role(),
    }


def rename_account(pick: Chooser) -> Request | None:
    """With the domain, as one should: without it nobody checks the name."""
    account = pick.account()
    if account is None:
        return None
    params = {"id": account.uuid, "domainid": account.domain.uuid, "newname": pick.name("a")}
    return "updateAccount", params


def account_network(pick: Chooser) -> Request | None:
    account = pick.account()
    value = pick.rng.choice(["", f"{pick.name('n')}.example.org"])
    return ("updateAccount", {"id": account.uuid, "networkdomain": value}) if account is not None else None


def account_role(pick: Chooser) -> Request | None:
    account = pick.account()
    return ("updateAccount", {"id": account.uuid, "roleid": pick.role()}) if account is not None else None


def disable_account(pick: Chooser) -> Request | None:
    account = pick.account()
    return ("disableAccount", {"id": account.uuid, "lock": "false"}) if account is not None else None


def lock_account(pick: Chooser) -> Request | None:
    account = pick.account()
    return ("disableAccount", {"id": account.uuid, "lock": "true"}) if account is not None else None


def enable_account(pick: Chooser) -> Request | None:
    account = pick.account(lambda one: one.state != ENABLED) or pick.account()
    return ("enableAccount", {"id": account.uuid}) if account is not None else None


def delete_account(pick: Chooser) -> Request | None:
    account = pick.account(lambda one: all(pick.mine(user.username) for user in one.users.values()))
    return ("deleteAccount", {"id": account.uuid}) if account is not None else None


def create_user(pick: Chooser) -> Request | None:
    account = pick.account(lambda one: one.state == ENABLED)
    if account is None:
        return None
    person = _person(pick.name("u"))
    if pick.rng.random() < 0.3:
        person["timezone"] = pick.rng.choice(TIMEZONES)
    return "createUser", {**person, "account": account.name, "domainid": account.domain.uuid}


def _user_change(pick: Chooser, changes: dict[str, str]) -> Request | None:
    user = pick.user()
    return ("updateUser", {"id": user.uuid, **changes}) if user is not None else None


def rename_user(pick: Chooser) -> Request | None:
    return _user_change(pick, {"username": pick.name("u")})


def user_email(pick: Chooser) -> Request | None:
    return _user_change(pick, {"email": f"{pick.name('m')}@example.org"})


def user_names(pick: Chooser) -> Request | None:
    return _user_change(pick, {"firstname": pick.name("f"), "lastname": pick.name("l")})


def user_timezone(pick: Chooser) -> Request | None:
    return _user_change(pick, {"timezone": pick.rng.choice(TIMEZONES)})


def disable_user(pick: Chooser) -> Request | None:
    user = pick.user()
    return ("disableUser", {"id": user.uuid}) if user is not None else None


def lock_user(pick: Chooser) -> Request | None:
    """Locks the account too when it was the last enabled user."""

    def fits(user: User) -> bool:
        others = sum(1 for one in user.account.users.values() if one.state == ENABLED and one is not user)
        return user.state == ENABLED and (pick.silent or others > 0)

    user = pick.user(fits)
    return ("lockUser", {"id": user.uuid}) if user is not None else None


def enable_user(pick: Chooser) -> Request | None:
    """Enables the account too."""
    user = pick.user(lambda one: one.state != ENABLED and (pick.silent or one.account.state == ENABLED))
    return ("enableUser", {"id": user.uuid}) if user is not None else None


def move_user(pick: Chooser) -> Request | None:
    user = pick.user(lambda one: len(one.account.domain.accounts) > 1)
    if user is None:
        return None
    others = [a for a in user.account.domain.accounts.values() if a is not user.account and not protected(a)]
    others = [a for a in others if pick.mine(a.name)]
    return ("moveUser", {"id": user.uuid, "accountid": pick.rng.choice(others).uuid}) if others else None


def delete_user(pick: Chooser) -> Request | None:
    user = pick.user()
    return ("deleteUser", {"id": user.uuid}) if user is not None else None


def wrong_unknown(pick: Chooser) -> Request:
    """An entity that nobody has."""
    nobody = pick.world.new_uuid()
    commands = ("updateUser", "updateDomain", "deleteAccount", "enableAccount", "lockUser")
    return pick.rng.choice(commands), {"id": nobody}


def wrong_duplicate(pick: Chooser) -> Request | None:
    """A name that is taken, in another case."""
    domain = pick.domain()
    if domain is None or domain.parent is None:
        return None
    return "createDomain", {"name": domain.name.upper(), "parentdomainid": domain.parent.uuid}


def wrong_twin_user(pick: Chooser) -> Request | None:
    user = pick.user(lambda one: one.account.state == ENABLED)
    if user is None:
        return None
    place = {"account": user.account.name, "domainid": user.account.domain.uuid}
    return "createUser", {**_person(user.username), **place}


def wrong_missing(pick: Chooser) -> Request:
    return "createUser", {"username": pick.name("u")}


def wrong_value(pick: Chooser) -> Request | None:
    domain = pick.domain()
    return (
        ("updateDomain", {"id": domain.uuid, "networkdomain": "not a domain!"})
        if domain is not None
        else None
    )


# Each with its weight.
VALID: tuple[tuple[Callable[[Chooser], Request | None], float], ...] = (
    (create_domain, 6), (rename_domain, 3), (domain_network, 3), (move_domain, 2), (delete_leaf, 1),
    (delete_tree, 0.5),
    (create_account, 10), (rename_account, 4), (account_network, 3), (account_role, 3),
    (disable_account, 2), (lock_account, 2), (enable_account, 4), (delete_account, 2),
    (create_user, 14), (rename_user, 5), (user_email, 8), (user_names, 8), (user_timezone, 4),
    (disable_user, 3),
    (lock_user, 3), (enable_user, 5), (move_user, 3), (delete_user, 4),
)  # fmt: skip
INVALID: tuple[Callable[[Chooser], Request | None], ...] = (
    wrong_unknown, wrong_duplicate, wrong_twin_user, wrong_missing, wrong_value,
)  # fmt: skip
