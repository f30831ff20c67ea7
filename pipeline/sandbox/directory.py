"""listAccounts, listUsers, getUser: who is in the region, as far as the caller may see it.

Called by `dispatch` with a parsed call. Rules: recorded, and QueryManagerImpl of apache/cloudstack.
Look-ups by id, by user name, by account or by one domain go over an index; the rest walks.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.sandbox import access, render
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.errors import denied, internal, invalid
from pipeline.sandbox.listing import Scope, full_details, listed, matches, same, scope
from pipeline.sandbox.state import NORMAL, SYSTEM_ACCOUNT_ID, Account, Domain, User

_ACCOUNT_FILTERS = {"name", "state", "accounttype", "keyword", "apikeyaccess", "iscleanuprequired"}
_USER_FILTERS = {"username", "state", "accounttype", "keyword", "usersource", "apikeyaccess"}


def list_accounts(call: Call) -> Answer:
    """Project accounts are left out. `listall` with a domain goes below it (source)."""
    limits, full = full_details(call), call.account.root_admin
    wanted = call.entity("id", Account)
    count = -1
    found: Iterable[Account]
    if wanted is not None:
        if wanted.removed or wanted.id == SYSTEM_ACCOUNT_ID:
            raise invalid(f"Unable to find account by id {wanted.id}")
        access.check_account(call.account, wanted)
        found = [wanted]
    else:
        view = _account_scope(call)
        if view == Scope() and not _ACCOUNT_FILTERS & call.values.keys():
            count = len(call.world.live_accounts) - 1
        found = (one for one in _accounts(call, view) if _fits_account(call, one))
    return listed(call, "account", found, lambda a: render.account(call.world, a, full, limits), count)


def _account_scope(call: Call) -> Scope:
    caller, domain = call.account, call.entity("domainid", Domain)
    if domain is not None:
        if domain.removed:
            raise invalid(f"Domain id={domain.id} doesn't exist")
        access.check_domain(caller, domain)
    if call.flag("listall") and caller.admin:
        if domain is None and caller.root_admin:
            return Scope()
        return Scope(domain=domain or caller.domain, below=True)
    if not caller.admin or domain is None:
        return Scope(account=caller)
    return Scope(domain=domain, below=call.flag("isrecursive"))


def _accounts(call: Call, view: Scope) -> Iterable[Account]:
    world = call.world
    if view.account is not None:
        return [view.account]
    if view.domain is not None:
        name = call.text("name")
        if name is not None and not view.below:
            return world.find_accounts(name, view.domain)
        domains = world.below(view.domain) if view.below else [view.domain]
        found = [one for domain in domains for one in domain.accounts.values()]
        return sorted((one for one in found if one.id != SYSTEM_ACCOUNT_ID), key=lambda one: one.id)
    return (one for one in world.live_accounts.values() if one.id != SYSTEM_ACCOUNT_ID)


def _fits_account(call: Call, account: Account) -> bool:
    type_, access_word = call.whole("accounttype"), call.text("apikeyaccess")
    return (
        same(call.text("name"), account.name)
        and same(call.text("state"), account.state)
        and (type_ is None or account.type == type_)
        and same(access_word, render.access_text(account.apikeyaccess))
        and not call.flag("iscleanuprequired")
        and matches(call.text("keyword"), account.name, account.state)
    )


def list_users(call: Call) -> Answer:
    """A plain user sees only himself. A removed id gives an empty object, not an error (recorded)."""
    caller, wanted = call.account, call.entity("id", User)
    if caller.type == NORMAL:
        if wanted is not None and wanted is not call.user:
            raise denied("Calling user is not authorized to see the user requested by id")
        wanted = call.user
    view = scope(call, by_id=wanted is not None)
    count = -1
    if wanted is None and view == Scope() and not _USER_FILTERS & call.values.keys():
        count = len(call.world.live_users) - 1
    found = (one for one in _users(call, view, wanted) if _fits_user(call, one))
    full = caller.root_admin
    return listed(call, "user", found, lambda u: render.user(u, _below_caller(call, u), full), count)


def _below_caller(call: Call, user: User) -> bool:
    mine = call.account.domain
    return user.account.domain is not mine and user.account.domain.within(mine)


def _users(call: Call, view: Scope, wanted: User | None) -> Iterable[User]:
    world, username = call.world, call.text("username")
    if wanted is not None:
        candidates: Iterable[User] = [] if wanted.removed else [wanted]
    elif username is not None:
        candidates = world.find_users(username)
    elif view.account is not None:
        candidates = view.account.users.values()
    elif view.domain is not None:
        domains = world.below(view.domain) if view.below else [view.domain]
        inside = [
            user
            for domain in domains
            for account in domain.accounts.values()
            for user in account.users.values()
        ]
        candidates = sorted(inside, key=lambda user: user.id)
    else:
        candidates = world.live_users.values()
    return (one for one in candidates if one.account.id != SYSTEM_ACCOUNT_ID and view.holds(one.account))


def _fits_user(call: Call, user: User) -> bool:
    type_, access_word = call.whole("accounttype"), call.text("apikeyaccess")
    return (
        same(call.text("username"), user.username)
        and same(call.text("state"), user.state)
        and (type_ is None or user.account.type == type_)
        and same(call.text("usersource"), "native")
        and same(access_word, render.access_text(user.apikeyaccess))
        and matches(
            call.text("keyword"),
            user.username,
            user.firstname,
            user.lastname,
            user.email,
            user.state,
            user.account.name,
        )
    )


def get_user(call: Call) -> Answer:
    """The owner of an API key."""
    user = call.world.users_by_apikey.get(call.need("userapikey"))
    if user is None:
        raise internal("User with specified API key does not exist")
    access.check_account(call.account, user.account)
    return {"user": render.user(user)}
