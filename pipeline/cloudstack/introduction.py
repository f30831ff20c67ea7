"""Who we are in a region, and what it came with.

In: the client. Out: the root domain, our own user, the region's own accounts. Called by resources.py before
anything else is read. Raises the errors of errors.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipeline.cloudstack.answers import named, rows
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.errors import Unauthorised
from pipeline.cloudstack.snapshots import is_reserved

_SLIM: Final = {"listall": "true", "details": "min"}


async def root_domain(client: CloudStack) -> str:
    """Its UUID. Raises `Unauthorised` where our account does not see it."""
    async for page in client.pages("listDomains", {"level": "0", **_SLIM}, "domain"):
        for row in page:
            if row.get("level") == 0:
                return named("listDomains", row, "id")
    raise Unauthorised("our account does not see the root domain: it must be a root administrator's")


async def own_user(client: CloudStack) -> Mapping[str, Any]:
    """Our own user's object, by the key or by the session."""
    apikey = client.apikey
    if apikey:
        inner = await client.call("getUser", {"userapikey": apikey})
        found = inner.get("user")
    else:
        inner = await client.call("listUsers", {"id": client.session_user, "listall": "true"})
        found = next(iter(rows("listUsers", inner, "user")), None)
    if not isinstance(found, dict):
        raise Unauthorised("the region does not tell which user our credentials belong to")
    return found


async def reserved_accounts(client: CloudStack, root: str) -> frozenset[str]:
    """The region's own accounts: all are administrators' in the root domain."""
    params = {"domainid": root, "isrecursive": "false", "accounttype": "1", **_SLIM}
    pages = client.pages("listAccounts", params, "account")
    own = [row async for page in pages for row in page if is_reserved(row)]
    return frozenset(named("listAccounts", row, "id") for row in own)
