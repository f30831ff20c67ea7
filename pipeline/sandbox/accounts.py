"""The account commands that describe an account: create it with its first user, and update it.

Called by `dispatch` with a parsed call. Rules and texts: recorded, and AccountManagerImpl of
apache/cloudstack.
"""

from __future__ import annotations

from pipeline.sandbox import access, render
from pipeline.sandbox.account_states import addressed
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.domains import BAD_NETWORK_DOMAIN, valid_network_domain
from pipeline.sandbox.errors import ApiError, denied, internal, invalid, runtime, wrong_parameter
from pipeline.sandbox.state import (
    ADMIN_ROLE,
    RESOURCE_ADMIN,
    ROOT_ADMIN,
    SYSTEM_ACCOUNT_ID,
    Account,
    Domain,
    NewAccount,
    NewUser,
    Role,
)

_ROLE_BY_TYPE = {0: "User", 1: "Root Admin", 2: "Domain Admin", 3: "Resource Admin"}
_TYPE_WORDS = {1: "ADMIN", 3: "RESOURCE_DOMAIN_ADMIN"}
_BAD_ON_UPDATE = (
    "Invalid network domain or format. Total length shouldn't exceed 190 chars. "
    "Every domain part must be between 1 "
    "and 63 characters long, can contain ASCII letters 'a' through 'z', the digits "
    "'0' through '9', and the hyphen "
    "('-'); can't start or end with \"-\""
)


def create_account(call: Call) -> Answer:
    if not call.need("password"):
        raise wrong_parameter("Empty passwords are not allowed")
    role, type_ = _role_and_type(call)
    domain = call.entity("domainid", Domain)
    what = f"Account Name: {call.need('username')}, Domain Id:{domain.id if domain else 'null'}"
    account = call.audited_all(
        [("ACCOUNT.CREATE", f"creating Account. {what}"), ("USER.CREATE", f"creating User. {what}")],
        lambda: _create(call, domain or call.world.root, role, type_),
    )
    return {"account": render.account(call.world, account)}


def _role_and_type(call: Call) -> tuple[Role, int]:
    """The role beats the type; with neither, the call is refused."""
    role, type_ = call.entity("roleid", Role), call.whole("accounttype")
    if role is not None and not role.removed:
        return role, render.account_type(role.type)
    name = _ROLE_BY_TYPE.get(type_) if type_ is not None else None
    found = next((r for r in call.world.roles.values() if r.default and r.name == name), None)
    if name is None or found is None or type_ is None:
        raise wrong_parameter("Neither account type and role ID are not provided")
    return found, type_


def _create(call: Call, domain: Domain, role: Role, type_: int) -> Account:
    world, username = call.world, call.need("username")
    for value, word in (
        (username, "Username"),
        (call.text("firstname"), "Firstname"),
        (call.text("lastname"), "Lastname"),
    ):
        if not value:
            raise invalid(f"{word} is empty")
    if domain.removed:
        raise invalid(f"The domain {domain.id} does not exist; unable to create account")
    access.check_domain(call.account, domain)
    if world.find_user(username, domain) is not None:
        raise invalid(f"The user {username} already exists in domain {domain}")
    new = NewAccount(
        name=call.text("account") or username,
        domain=domain,
        role=role,
        type=type_,
        networkdomain=call.text("networkdomain"),
        details=call.pairs("accountdetails") or {},
        uuid=call.text("accountid"),
    )
    _check_new(call, new)
    return _with_first_user(call, new)


def _check_new(call: Call, new: NewAccount) -> None:
    if new.type == ROOT_ADMIN and new.domain.parent is not None:
        raise invalid(
            f"Invalid account type {_TYPE_WORDS[new.type]} given for an account in "
            f"domain {new.domain}; unable to "
            "create user of admin role type in non-ROOT domain."
        )
    if call.world.find_account(new.name, new.domain) is not None:
        raise invalid(f"The specified account: {new.name} already exists")
    if new.networkdomain and not valid_network_domain(new.networkdomain):
        raise invalid(BAD_NETWORK_DOMAIN)
    if new.type == RESOURCE_ADMIN:
        raise invalid(
            f"The account cannot be created as domain {new.domain} is not associated with any private Zone"
        )


def _with_first_user(call: Call, new: NewAccount) -> Account:
    """Account and user in one transaction: where the user's UUID is taken, the account goes again."""
    account = call.world.add_account(new)
    try:
        access.check_privilege(call, account)
        user = call.world.add_user(new_user(call), account)
    except ApiError:
        call.world.undo_account(account)
        raise
    call.touch(account)
    call.touch(user)
    return account


def new_user(call: Call) -> NewUser:
    """The user that createAccount and createUser describe alike."""
    return NewUser(
        username=call.need("username"),
        password=call.need("password"),
        firstname=call.need("firstname"),
        lastname=call.need("lastname"),
        email=call.need("email"),
        timezone=call.text("timezone"),
        uuid=call.text("userid"),
    )


def update_account(call: Call) -> Answer:
    account = call.audited("ACCOUNT.UPDATE", "updating account", lambda: _update(call), started=True)
    return {"account": render.account(call.world, account, access=False)}


def _update(call: Call) -> Account:
    account = addressed(call, enabled=True)
    if account is None:
        raise internal('Cannot invoke "com.cloud.user.Account.getId()" because "account" is null')
    if account.id == SYSTEM_ACCOUNT_ID:
        raise invalid("Can not modify system account")
    access.check_domain(call.account, account.domain)
    access.check_privilege(call, account)
    _switch_key_access(call, account)
    role, networkdomain, name = call.entity("roleid", Role), call.text("networkdomain"), call.text("newname")
    if name is not None:
        _check_new_name(call, account, name)
    if networkdomain and not valid_network_domain(networkdomain):
        raise invalid(_BAD_ON_UPDATE)
    if role is not None:
        _check_role(call, account, role)
    if name is None and networkdomain is None and role is None and call.text("apikeyaccess") is None:
        # recorded: with nothing to write, or only details, the update counts as failed
        domain = call.entity("domainid", Domain)
        raise runtime(
            f"Unable to update account {account} by accountId: {account.id} OR by name: "
            f"{call.text('account') or 'null'} in domain {domain.id if domain else 'null'}"
        )
    _write(call, account)
    call.touch(account)
    return account


def _switch_key_access(call: Call, account: Account) -> None:
    word = call.text("apikeyaccess")
    if word is None:
        return
    account.apikeyaccess = key_access(word)
    call.event(
        "API.KEY.ACCESS.UPDATE",
        "Completed",
        f"Api key access was changed for the Account to {word.upper()}",
        entity=account,
    )


def key_access(word: str) -> bool | None:
    """Raises 431 for anything but enabled, disabled, inherit in any case."""
    choices = {"ENABLED": True, "DISABLED": False, "INHERIT": None}
    if word.upper() not in choices:
        raise invalid("ApiKeyAccess value can only be Enabled/Disabled/Inherit")
    return choices[word.upper()]


def _check_new_name(call: Call, account: Account, name: str) -> None:
    """Unique only in the domain that was *given*: without domainid there is no check (recorded)."""
    domain = call.entity("domainid", Domain)
    if not name:
        raise invalid(
            f"The new account name for account '{account}' within domain "
            f"'{domain or 'null'}' is empty string. "
            "Account will be not renamed."
        )
    twin = call.world.find_account(name, domain) if domain is not None else None
    if twin is not None and twin is not account:
        raise invalid(
            f"The account with the proposed name '{name}' exists in the domain '{domain}' "
            f"with existing account {twin}"
        )


def _check_role(call: Call, account: Account, role: Role) -> None:
    if role.removed:
        raise invalid(
            f"Role with ID '{role.id}' is not found or not available for the account "
            f"'{account}' in the domain "
            f"'{call.entity('domainid', Domain) or 'null'}'."
        )
    if role.type == ADMIN_ROLE and account.domain.parent is not None:
        raise denied(
            f"Unable to update account role to {role.name},  as the user does not belong to the ROOT domain"
        )


def _write(call: Call, account: Account) -> None:
    role, networkdomain, name = call.entity("roleid", Role), call.text("networkdomain"), call.text("newname")
    if role is not None:
        call.world.change_role(account, role)
        account.type = render.account_type(role.type)
    if name is not None:
        call.world.rename_account(account, name)
    if networkdomain is not None:
        account.networkdomain = networkdomain or None
    account.details.update(call.pairs("accountdetails") or {})
