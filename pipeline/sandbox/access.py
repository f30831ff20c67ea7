"""Who may do what: a role's rules for commands, and the domain tree for entities.

Used by `dispatch` (commands) and by the command modules (entities). Words its refusals as CloudStack does
(source: DomainChecker, AccountManagerImpl of apache/cloudstack).
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from pipeline.sandbox.call import Call
from pipeline.sandbox.errors import ApiError, denied, invalid, unauthorized
from pipeline.sandbox.state import (
    ADMIN_ACCOUNT_ID,
    PROJECT,
    ROLE_RANK,
    SYSTEM_ACCOUNT_ID,
    Account,
    Domain,
    Role,
    User,
)


def allowed(role: Role | None, command: str) -> bool:
    """Whether a role's rules let a command through: the first rule that matches decides, none means no."""
    if role is None or not role.enabled:
        return False
    if role.default and role.name == "Root Admin":
        return True
    for permission in role.permissions:
        if permission.rule == command or ("*" in permission.rule and fnmatchcase(command, permission.rule)):
            return permission.allow
    return False


def check_domain(caller: Account, domain: Domain) -> None:
    """Raises 531 unless the domain is the caller's own or, for an administrator, lies below it."""
    inside = domain is caller.domain if not caller.admin else domain.within(caller.domain)
    if not inside:
        raise denied(f"Account {caller} does not have permission to operate within domain id={domain.uuid}")


def check_account(caller: Account, account: Account) -> None:
    """Raises 531 unless the account is the caller's own or stands below its administration."""
    if caller.id in (SYSTEM_ACCOUNT_ID, account.id) or caller.root_admin:
        return
    if caller.admin and account.domain.within(caller.domain):
        return
    raise denied("Caller does not have permission to operate with provided resource.")


def check_privilege(call: Call, target: Account) -> None:
    """A caller may not change accounts of a higher role, nor a plain user others of his own (531)."""
    caller = call.account
    if target.type == PROJECT or caller.id in (SYSTEM_ACCOUNT_ID, ADMIN_ACCOUNT_ID):
        return
    mine, theirs = _rank(caller), _rank(target)
    if mine > theirs:
        raise denied(
            f"The calling account [{caller.name}, {caller.uuid}] has a lower role type than the user account "
            f"[{target.name}, {target.uuid}]"
        )
    if mine == theirs and caller is not target and not caller.admin:
        raise denied(
            f"The calling account [{caller.name}, {caller.uuid}] is not allowed to "
            "perform this operation on users "
            "from other accounts of the same role type within the domain"
        )
    if not caller.root_admin:
        check_escalation(call, target)


def check_escalation(call: Call, target: Account) -> None:
    """Nobody hands out a role that can do more than his own (531)."""
    caller = call.account
    if caller.root_admin or caller.role is target.role:
        return
    for command in call.region.apis:
        if allowed(target.role, command) and not allowed(caller.role, command):
            raise denied(
                f"User of Account {caller} and domain {caller.domain} can not create an "
                "account with access to more "
                "privileges they have themself."
            )


def _rank(account: Account) -> int:
    return ROLE_RANK.get(account.role.type, 99) if account.role is not None else 99


def check_command(call: Call) -> None:
    """Raises 432 for a command that the caller's role does not allow. CloudStack names a random id there."""
    if not allowed(call.account.role, call.command):
        raise ApiError(
            432,
            f"The API [{call.command}] does not exist or is not available for the account for user id "
            f"[{call.world.new_uuid()}].",
        ).under("errorresponse")


def check_usable(user: User | None) -> User:
    """Raises 401 unless user and account are enabled: a disabled or locked caller's key is dead."""
    if user is None or user.removed or user.account.removed:
        raise unauthorized()
    if user.state != "enabled" or user.account.state != "enabled":
        raise unauthorized()
    return user


def changeable_account(call: Call, user: User, what: str) -> Account:
    """The account of a user that is to be changed; `what` names the change for a system user's refusal."""
    account = user.account
    if account.type == PROJECT:
        raise invalid(f"Unable to find active user {user}")
    if account.id == SYSTEM_ACCOUNT_ID:
        raise denied(f"user: {user} is a system user, {what} is not allowed")
    check_account(call.account, account)
    check_privilege(call, account)
    return account
