"""The account commands that change a state: enable, disable and lock, delete; and how a call names its
account.

Called by `dispatch` with a parsed call. Rules and texts: recorded, and AccountManagerImpl of
apache/cloudstack.
"""

from __future__ import annotations

from pipeline.sandbox import access, render
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.errors import ApiError, denied, internal, invalid, runtime
from pipeline.sandbox.jobs import Result
from pipeline.sandbox.state import (
    DISABLED,
    ENABLED,
    LOCKED,
    PROJECT,
    SYSTEM_ACCOUNT_ID,
    Account,
    Domain,
)
from pipeline.sandbox.submit import JobSpec, submit

_PACKAGE = "org.apache.cloudstack.api.command.admin.account."


NO_DOMAIN = 'Cannot invoke "java.lang.Long.longValue()" because "domainId" is null'


def addressed(call: Call, enabled: bool = False) -> Account | None:
    """The account by id, else by name and domain; `enabled`: by name only where it is enabled."""
    account = call.entity("id", Account)
    if account is not None:
        return None if account.removed else account
    name, domain = call.text("account"), call.entity("domainid", Domain)
    if name is None or domain is None:
        return None
    return next(
        (a for a in call.world.find_accounts(name, domain) if not enabled or a.state == ENABLED), None
    )


def missing(call: Call) -> ApiError:
    """Nobody of that id or name. Without a domain CloudStack stumbles over wording this (source)."""
    given, domain = call.entity("id", Account), call.entity("domainid", Domain)
    if domain is None:
        return internal(NO_DOMAIN)
    number = given.id if given else "null"
    return invalid(
        f"Unable to find account by accountId: {number} OR by name: "
        f"{call.text('account') or 'null'} in domain {domain}"
    )


def _changeable(call: Call, account: Account | None, what: str) -> Account:
    if account is None or account.type == PROJECT:
        raise missing(call)
    if account.id == SYSTEM_ACCOUNT_ID:
        raise denied(f"Account: {account} is a system account, {what} is not allowed")
    access.check_account(call.account, account)
    access.check_privilege(call, account)
    call.touch(account)
    return account


def enable_account(call: Call) -> Answer:
    account = call.audited("ACCOUNT.ENABLE", "enabling account", lambda: _enable(call), started=True)
    return {"account": render.account(call.world, account)}


def _enable(call: Call) -> Account:
    account = _changeable(call, addressed(call), "enable")
    account.state = ENABLED
    return account


def disable_account(call: Call) -> Answer:
    """With lock=true it locks; the events say ACCOUNT.DISABLE either way."""
    lock = call.flag("lock")
    domain, given = call.entity("domainid", Domain), call.entity("id", Account)
    name = call.text("account") or "null"
    doing = (
        f"{'locking' if lock else 'disabling'} account. Account Name: {name}, Domain "
        f"Id:{domain.id if domain else 'null'}"
    )
    owner = given or addressed(call) or call.world.accounts[SYSTEM_ACCOUNT_ID]

    def work() -> Result:
        account = _changeable(call, addressed(call), "lock" if lock else "disable")
        return _shown_in_job(call, _lock(call, account) if lock else _disable(account))

    return submit(
        call,
        JobSpec(
            type="ACCOUNT.DISABLE",
            command=f"{_PACKAGE}DisableAccountCmd",
            scheduled=f"disabling account: {name} in domain: {domain.uuid if domain else 'null'}",
            doing=doing,
            work=work,
            owner=owner,
            instance_type="Account",
            instance_id=given.uuid if given else None,
        ),
    )


def _shown_in_job(call: Call, account: Account) -> Result:
    return {"account": {**render.account(call.world, account), "jobstatus": 0}}


def _disable(account: Account) -> Account:
    account.state = DISABLED
    return account


def _lock(call: Call, account: Account) -> Account:
    """Only an enabled account can be locked; a locked one stays so."""
    if account.state == DISABLED:
        domain = call.entity("domainid", Domain)
        if domain is None:
            raise internal(NO_DOMAIN)
        raise runtime(
            f"Unable to lock account {account} by accountId: {account.id} OR by name: "
            f"{call.text('account') or 'null'} in domain {domain}"
        )
    account.state = LOCKED
    return account


def lock_account(_call: Call) -> Answer:
    """Dead in CloudStack itself."""
    raise runtime(
        "LockAccount does not lock accounts. Its implementation is disabled. Use DisableAccount instead"
    )


def delete_account(call: Call) -> Answer:
    account = call.needed("id", Account)
    return submit(
        call,
        JobSpec(
            type="ACCOUNT.DELETE",
            command=f"{_PACKAGE}DeleteAccountCmd",
            scheduled=f"Deleting user account {account.name} (ID: {account.uuid}) and all "
            "corresponding users",
            doing=f"deleting account. Account ID: {account.uuid}",
            work=lambda: _delete(call, account),
            owner=call.account,
            instance_type="Account",
            instance_id=account.uuid,
        ),
    )


def _delete(call: Call, account: Account) -> Result:
    """Deleting a removed account succeeds (recorded)."""
    if call.account is account:
        raise invalid(
            "Deletion of your own account is not allowed. To delete account "
            f"{account.name} (ID: {account.uuid}, "
            f"Domain: {account.domain.uuid}), request to another user with permissions "
            "to perform the operation."
        )
    if account.removed:
        return {"success": True}
    if account.type == PROJECT:
        raise invalid("The specified account does not exist in the system")
    access.check_account(call.account, account)
    if account.default:
        raise invalid("The account is default and can't be removed")
    managed = [p.id for p in call.world.projects.values() if p.owner is account and not p.removed]
    if managed:
        raise invalid(
            f"Unable to delete account [{account.id}], because it manages the "
            f"following project(s): {managed}. "
            "Please, remove the account from these projects or demote it to a regular project role first."
        )
    access.check_privilege(call, account)
    call.world.remove_account(account)
    return {"success": True}
