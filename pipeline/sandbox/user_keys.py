"""The API keys of users: register new ones, read them.

Called by `dispatch` with a parsed call. Rules and texts: recorded, and AccountManagerImpl of
apache/cloudstack.
"""

from __future__ import annotations

from pipeline.sandbox import access
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.errors import denied, invalid
from pipeline.sandbox.state import SYSTEM_ACCOUNT_ID, User


def register_user_keys(call: Call) -> Answer:
    user = call.needed("id", User)
    call.audited("REGISTER.USER.KEY", "register for the developer API keys", lambda: _register(call, user))
    return {"userkeys": {"apikey": user.apikey, "secretkey": user.secretkey}}


def _register(call: Call, user: User) -> None:
    if user.removed:
        raise invalid("unable to find user by id")
    if user.account.id == SYSTEM_ACCOUNT_ID:
        raise denied(f"user: {user} is system account, update is not allowed")
    access.check_account(call.account, user.account)
    access.check_privilege(call, user.account)
    call.world.set_keys(user, call.region.new_key(), call.region.new_key())


def get_user_keys(call: Call) -> Answer:
    """Others' secret keys too, for a root administrator (recorded)."""
    user = call.needed("id", User)
    if user.removed:
        raise invalid("Unable to find user by id")
    access.check_account(call.account, user.account)
    access.check_privilege(call, user.account)
    keys = {"apikey": user.apikey, "secretkey": user.secretkey} if user.apikey else {}
    granted = user.apikeyaccess if user.apikeyaccess is not None else user.account.apikeyaccess
    return {"userkeys": {**keys, "apikeyaccess": granted is not False}}
