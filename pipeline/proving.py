"""Proves in a demonstration that one user's API keys are good in every region: somebody makes a user in the
first one, gives it keys there, changes them, and calls the others with the same.

In: running simulated regions with a pipeline between them. Out: the regions that took a call signed with the
user's newest keys, by name. Called by the demo (`--credentials`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Final

from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.errors import Unauthorised
from pipeline.cloudstack.session import Credentials
from pipeline.sandbox.launch import SimulatedRegion, now_ms

LOOK_EVERY_S: Final = 0.2
PROBE: Final = "listAccounts"
"""A user sees its own account."""


async def prove_keys(regions: Sequence[SimulatedRegion], limit_s: float) -> list[str]:
    """Waits for each region to take the keys, or until the limit."""
    first, deadline = regions[0], time.monotonic() + limit_s
    admin = CloudStack(
        ClientSettings(first.endpoint, Credentials(first.admin.apikey, first.admin.secretkey)), clock=now_ms
    )
    try:
        user = await _user(admin)
        await _keys(admin, user)
        newest = await _keys(admin, user)
    finally:
        await admin.aclose()
    works = []
    for region in regions:
        client = CloudStack(ClientSettings(region.endpoint, newest), clock=now_ms)
        try:
            if await _works(client, deadline):
                works.append(region.name)
        finally:
            await client.aclose()
    return works


async def _user(admin: CloudStack) -> str:
    """A user of a domain and an account of its own."""
    mark = secrets.token_hex(4)
    roles = await admin.call("listRoles", {"name": "User"})
    domain = (await admin.call("createDomain", {"name": f"keys-{mark}"}))["domain"]["id"]
    human = {
        "username": f"keys-{mark}",
        "password": secrets.token_urlsafe(),
        "email": f"keys-{mark}@example.org",
        "firstname": "Key",
        "lastname": "Holder",
    }
    account = {"account": f"keys-{mark}", "domainid": domain, "roleid": roles["role"][0]["id"]}
    made = await admin.call("createAccount", human | account)
    return str(made["account"]["user"][0]["id"])


async def _keys(admin: CloudStack, user: str) -> Credentials:
    made = (await admin.call("registerUserKeys", {"id": user}))["userkeys"]
    return Credentials(made["apikey"], made["secretkey"])


async def _works(client: CloudStack, deadline: float) -> bool:
    while True:
        try:
            await client.call(PROBE, {})
            return True
        except Unauthorised:
            if time.monotonic() > deadline:
                return False
        await asyncio.sleep(LOOK_EVERY_S)
