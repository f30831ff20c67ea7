"""The user commands: create, update, enable, disable, lock, move, delete.

Called by `dispatch` with a parsed call. Rules and texts: recorded, and AccountManagerImpl of
apache/cloudstack.
"""

from __future__ import annotations

from pipeline.sandbox import access, render
from pipeline.sandbox.accounts import key_access, new_user
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.errors import denied, internal, invalid, runtime, wrong_parameter
from pipeline.sandbox.jobs import Result
from pipeline.sandbox.state import (
    DISABLED,
    ENABLED,
    LOCKED,
    PROJECT,
    SYSTEM_ACCOUNT_ID,
    Account,
    Domain,
    User,
)
from pipeline.sandbox.submit import JobSpec, submit


def create_user(call: Call) -> Answer:
    if not call.need("password"):
        raise wrong_parameter("Empty passwords are not allowed")
    words = (
        f"creating User. UserName: {call.need('username')}, FirstName :{call.need('firstname')}, "
        f"LastName: {call.need('lastname')}"
    )
    return {"user": render.user(call.audited("USER.CREATE", words, lambda: _create(call)))}


def _create(call: Call) -> User:
    """The account must be enabled, and the name free in the whole domain."""
    world, username = call.world, call.need("username")
    domain = call.entity("domainid", Domain) or world.root
    if domain.removed:
        raise runtime(f"The domain {domain.id} does not exist; unable to create user")
    access.check_domain(call.account, domain)
    name = call.need("account")
    account = next((a for a in world.find_accounts(name, domain) if a.state == ENABLED), None)
    if account is None:
        raise invalid(f"Unable to find account {name} in domain {domain} to create user")
    if account.id == SYSTEM_ACCOUNT_ID:
        raise denied(f"Account: {account} is a system account, can't add a user to it")
    if world.find_user(username, domain) is not None:
        raise runtime(f"The user {username} already exists in domain {domain.id}")
    access.check_privilege(call, account)
    user = world.add_user(new_user(call), account)
    call.touch(user)
    return user


def update_user(call: Call) -> Answer:
    user = call.needed("id", User)
    call.audited("USER.UPDATE", f"Updating User. UserId: {user.id}", lambda: _update(call, user))
    return {"user": render.user(user)}


def _update(call: Call, user: User) -> None:
    if user.removed:
        raise invalid(f"Unable to find user with id: {user.id}")
    if user.account.type == PROJECT:
        raise invalid(f"Unable to find user with: {user}")
    if user.account.id == SYSTEM_ACCOUNT_ID:
        raise denied(f"user: {user} is a system account; update is not allowed.")
    access.check_account(call.account, user.account)
    access.check_privilege(call, user.account)
    keys = _checked_keys(call, user)
    for name, word in (("firstname", "Firstname"), ("lastname", "Lastname")):
        value = call.text(name)
        if value is not None and not value.strip():
            raise invalid(f"{word} cannot be empty.")
    _check_username(call, user)
    _check_password(call, user)
    if keys is not None:
        call.world.set_keys(user, *keys)
    _switch_key_access(call, user)
    _write(call, user)


def _checked_keys(call: Call, user: User) -> tuple[str, str] | None:
    apikey, secretkey = call.text("userapikey") or "", call.text("usersecretkey") or ""
    if bool(apikey.strip()) != bool(secretkey.strip()):
        raise invalid("Please provide a userApiKey/userSecretKey pair")
    if not apikey.strip():
        return None
    owner = call.world.users_by_apikey.get(apikey)
    if owner is not None and owner is not user:
        raise invalid(f"The API key [{apikey}] already exists in the system. Please provide a unique key.")
    return apikey, secretkey


def _switch_key_access(call: Call, user: User) -> None:
    word = call.text("apikeyaccess")
    if word is not None:
        user.apikeyaccess = key_access(word)
        text = f"Api key access was changed for the User to {word.upper()}"
        call.event("API.KEY.ACCESS.UPDATE", "Completed", text, kind="User", entity=user)


def _check_username(call: Call, user: User) -> None:
    username = call.text("username")
    if username is None:
        return
    if not username.strip():
        raise invalid("Username cannot be empty.")
    for other in call.world.find_users(username):
        if other is user:
            continue
        if other.account.domain is user.account.domain:
            where = other.account.domain
            raise invalid(
                f"Username [{other.username}] already exists in domain [id={where.uuid},name={where.name}]"
            )


def _check_password(call: Call, user: User) -> None:
    """Administrators need not know the current one; plain users must."""
    password, current = call.text("password"), call.text("currentpassword")
    if password is None:
        return
    if not password.strip():
        raise invalid("Password cannot be empty or blank.")
    if not call.account.admin:
        if not (current or "").strip():
            raise invalid("To set a new password the current password must be provided.")
        if not call.world.passwords.accepts(user, current or ""):
            raise invalid("Current password is incorrect.")


def _write(call: Call, user: User) -> None:
    """E-mail and time zone are taken as they are, blank ones are ignored."""
    user.firstname = call.text("firstname") or user.firstname
    user.lastname = call.text("lastname") or user.lastname
    username, password = call.text("username"), call.text("password")
    if username is not None:
        call.world.rename_user(user, username)
    if password is not None:
        call.world.passwords.set(user, password)
    for name in ("email", "timezone"):
        value = call.text(name)
        if value and value.strip():
            setattr(user, name, value)
    if call.flag("mandate2fa"):
        user.two_factor = True


def _active(call: Call, user: User, what: str) -> User:
    if user.removed:
        raise invalid(f"Unable to find active user by id {user.id}")
    access.changeable_account(call, user, what)
    return user


def enable_user(call: Call) -> Answer:
    """Enables its account too, in silence (source: AccountManagerImpl.enableUser)."""
    user = call.needed("id", User)

    def work() -> None:
        _active(call, user, "enabling")
        user.state = user.account.state = ENABLED
        user.wrong_logins = 0

    call.audited("USER.ENABLE", f"enabling User. UserId: {user.id}", work)
    return {"user": render.user(user)}


def disable_user(call: Call) -> Answer:
    user = call.needed("id", User)
    owner = call.world.accounts[SYSTEM_ACCOUNT_ID] if user.removed else user.account

    def work() -> Result:
        _active(call, user, "disabling").state = DISABLED
        return {"user": render.user(user)}

    return submit(
        call,
        JobSpec(
            type="USER.DISABLE",
            command="org.apache.cloudstack.api.command.admin.user.DisableUserCmd",
            scheduled=f"disabling user: {user.id}",
            doing=f"disabling User. UserId: {user.id}",
            work=work,
            owner=owner,
        ),
    )


def lock_user(call: Call) -> Answer:
    """Locks its account too, in silence, where no other user of it is enabled (source)."""
    user = call.needed("id", User)
    call.audited("USER.LOCK", "locking User", lambda: _lock(call, user))
    return {"user": render.user(user)}


def _lock(call: Call, user: User) -> None:
    if user.removed:
        raise invalid("Unable to find user by id")
    account = access.changeable_account(call, user, "locking")
    if user.state == LOCKED:
        return
    if user.state == DISABLED:
        raise runtime(f"Unable to lock user {user}")
    user.state = LOCKED
    if all(one.state != ENABLED for one in account.users.values()):
        if account.state == DISABLED:
            raise runtime(f"Unable to lock user {user}")
        account.state = LOCKED


def _removable(user: User) -> User:
    if user.removed:
        raise invalid("The specified user doesn't exist in the system")
    if user.default:
        raise invalid("The user is default and can't be (re)moved")
    return user


def delete_user(call: Call) -> Answer:
    user = call.needed("id", User)
    call.audited("USER.DELETE", f"deleting User. UserId: {user.id}", lambda: _delete(call, user))
    return {"success": True}


def _delete(call: Call, user: User) -> None:
    _removable(user)
    if call.user is user:
        raise invalid(
            "The caller is requesting to delete itself. As a security measure, ACS will "
            "not allow this operation. "
            f"To delete user {user.username} (ID: {user.uuid}, Domain: "
            f"{user.account.domain.uuid}), request to another "
            "user with permission to execute the operation."
        )
    if user.account.type == PROJECT:
        raise invalid("Project users cannot be deleted or moved.")
    access.check_account(call.account, user.account)
    access.check_privilege(call, user.account)
    call.world.remove_user(user)


def move_user(call: Call) -> Answer:
    """The event names the dead row's fresh UUID, since that row is the entity of the call (recorded)."""
    user = call.needed("id", User)
    if call.entity("accountid", Account) is None and call.text("account") is None:
        raise internal("provide either an account name or an account id!")
    words = f"moving User to a new account. UserId: {user.id}"
    call.audited("USER.MOVE", words, lambda: _move(call, user))
    return {"success": True}


def _move(call: Call, user: User) -> None:
    _removable(user)
    access.check_account(call.account, user.account)
    access.check_privilege(call, user.account)
    domain, name = user.account.domain, call.text("account")
    target = None
    if name:
        target = next((a for a in call.world.find_accounts(name, domain) if a.state == ENABLED), None)
    given = call.entity("accountid", Account)
    if target is None and given is not None and not given.removed:
        target = given
    if target is None:
        raise runtime("no account name or account id. this should have been caught before this point")
    if target.domain is not domain:
        raise invalid(
            "moving a user from an account in one domain to an account in another domain is not supported!"
        )
    if target is not user.account:
        call.world.move_user(user, target)
