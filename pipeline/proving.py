"""Proves in a demonstration that one login and one pair of keys are good in every region: somebody makes a
user in the first one, gives it keys there, changes them, and changes its password in the last one.

In: running simulated regions with a pipeline between them. Out: the regions that took a call signed with the
user's newest keys, and those that let it in by its newest password and by no older one. Called by the demo
(`--credentials`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.errors import Unauthorised
from pipeline.cloudstack.session import Credentials
from pipeline.sandbox.launch import SimulatedRegion, now_ms
from pipeline.sandbox.state import User

LOOK_EVERY_S: Final = 0.2
PROBE: Final = "listAccounts"
"""A user sees its own account."""


@dataclass(frozen=True, slots=True)
class Proven:
    """The regions, by name, in which the user's keys are good, and to which it logs in."""

    keys: tuple[str, ...]
    logins: tuple[str, ...]

    def everywhere(self, names: Sequence[str]) -> bool:
        """Whether both are good in all of these."""
        return self.keys == self.logins == tuple(names)


@dataclass(frozen=True, slots=True)
class _Made:
    """The user, by its UUID in the region where it was made."""

    uuid: str
    name: str
    domain: str
    password: str


async def prove(regions: Sequence[SimulatedRegion], limit_s: float) -> Proven:
    """Waits for each region, or until the limit."""
    first, last, deadline = regions[0], regions[-1], time.monotonic() + limit_s
    async with _administrator(first) as admin:
        made = await _user(admin)
        await _keys(admin, made.uuid)
        newest = await _keys(admin, made.uuid)
    logged_in = [region.name for region in regions if await _logs_in(region, made, made.password, deadline)]
    password = _password()
    if last.name in logged_in:
        async with _administrator(last) as admin:
            await admin.call("updateUser", {"id": _found(last, made).uuid, "password": password})
        logged_in = [region.name for region in regions if await _logs_in(region, made, password, deadline)]
    good = [name for name in logged_in if not await _lets_in(_named(regions, name), made, made.password)]
    return Proven(tuple([one.name for one in regions if await _works(one, newest, deadline)]), tuple(good))


@asynccontextmanager
async def _administrator(region: SimulatedRegion) -> AsyncIterator[CloudStack]:
    keys = Credentials(region.admin.apikey, region.admin.secretkey)
    client = CloudStack(ClientSettings(region.endpoint, keys), clock=now_ms)
    try:
        yield client
    finally:
        await client.aclose()


async def _user(admin: CloudStack) -> _Made:
    """A user of a domain and an account of its own."""
    mark, password = secrets.token_hex(4), _password()
    roles = await admin.call("listRoles", {"name": "User"})
    domain = (await admin.call("createDomain", {"name": f"keys-{mark}"}))["domain"]["id"]
    human = {
        "username": f"keys-{mark}",
        "password": password,
        "email": f"keys-{mark}@example.org",
        "firstname": "Key",
        "lastname": "Holder",
    }
    account = {"account": f"keys-{mark}", "domainid": domain, "roleid": roles["role"][0]["id"]}
    made = await admin.call("createAccount", human | account)
    return _Made(str(made["account"]["user"][0]["id"]), f"keys-{mark}", f"/keys-{mark}", password)


def _password() -> str:
    return f"Aa1-{secrets.token_urlsafe()}"


async def _keys(admin: CloudStack, user: str) -> Credentials:
    made = (await admin.call("registerUserKeys", {"id": user}))["userkeys"]
    return Credentials(made["apikey"], made["secretkey"])


async def _works(region: SimulatedRegion, pair: Credentials, deadline: float) -> bool:
    while not await _takes(region, pair):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_EVERY_S)
    return True


async def _logs_in(region: SimulatedRegion, made: _Made, password: str, deadline: float) -> bool:
    """Asks the region only when it holds that password: five wrong log-ins disable a user."""
    world = region.region.world
    while not any(world.passwords.accepts(user, password) for user in world.find_users(made.name)):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_EVERY_S)
    return await _lets_in(region, made, password)


async def _lets_in(region: SimulatedRegion, made: _Made, password: str) -> bool:
    return await _takes(region, Credentials(username=made.name, password=password, domain=made.domain))


async def _takes(region: SimulatedRegion, credentials: Credentials) -> bool:
    client = CloudStack(ClientSettings(region.endpoint, credentials), clock=now_ms)
    try:
        await client.call(PROBE, {})
    except Unauthorised:
        return False
    finally:
        await client.aclose()
    return True


def _found(region: SimulatedRegion, made: _Made) -> User:
    return region.region.world.find_users(made.name)[0]


def _named(regions: Sequence[SimulatedRegion], name: str) -> SimulatedRegion:
    return next(region for region in regions if region.name == name)
