"""Gives a user the login that it has elsewhere, in CloudStack's own database.

In: a plan's call for that. Out: nothing; the region is read afterwards. Called by the caller of plans, after
the user was created by the API. A region that does not know the hash's form would shut the user out, so its
settings are asked before.
"""

from __future__ import annotations

import asyncio
from typing import Final

from pipeline.agents.desk import Desk
from pipeline.agents.keys import WAIT_MOST_MS, KeyAwaited, Keys
from pipeline.cloudstack.answers import rows
from pipeline.core.entities import LOGIN, Snapshot
from pipeline.core.errors import TemporaryError
from pipeline.core.passwords import Login, encoder
from pipeline.core.plan import Call
from pipeline.core.records import Desired

ORDER: Final = "user.password.encoders.order"
EXCLUDED: Final = ("user.password.encoders.exclude", "user.authenticators.exclude")
"""Recordings read.listConfigurations.user.password.encoders.*; the last one says who may check a password."""
KNOWN_MS: Final = 600_000
"""So long is the region's answer good."""


class Passwords:
    """One region's. `keys`: by which they come."""

    def __init__(self, desk: Desk, keys: Keys) -> None:
        self._desk = desk
        self._keys = keys
        self._encoders: frozenset[str] = frozenset()
        self._asked: int | None = None

    async def give(self, call: Call, desired: Desired, before: Snapshot) -> None:
        """Raises `KeyAwaited` while it is not here or the region could not use it, and `TemporaryError`."""
        login = Login(*await self._keys.handed(desired.uuid, LOGIN, call.login))
        logins = self._desk.resources.logins
        if logins is None:
            raise KeyAwaited("waits for its password: this worker has no user_database", WAIT_MOST_MS)
        if login.is_native and login.password:
            await self._check(login)
        known = (before.fields or {}).get(LOGIN)
        if known is None:
            raise TemporaryError(f"user {before.uuid}: how it logs in is not known yet")
        await self._desk.tenure.before_change()
        loop = asyncio.get_running_loop()
        began, error = loop.time(), None
        try:
            await logins.replace(before.uuid, known, login)
        except Exception as failed:
            error = str(failed)
            raise
        finally:
            self._desk.client.note(call.command, error, (loop.time() - began) * 1000)
        await self._keys.served(desired.uuid, LOGIN)

    async def _check(self, login: Login) -> None:
        """Raises `KeyAwaited` where the region's CloudStack would not know the hash."""
        form, now = encoder(login.password) or "", self._desk.clock()
        if self._asked is None or not 0 <= now - self._asked < KNOWN_MS:
            self._encoders, self._asked = await self._known_forms(), now
        if form not in self._encoders:
            self._asked = None
            words = f"{self._desk.region} checks none of the form {form} ({ORDER}, {', '.join(EXCLUDED)})"
            raise KeyAwaited(f"waits for its password: {words}", WAIT_MOST_MS)

    async def _known_forms(self) -> frozenset[str]:
        excluded: set[str] = set()
        for name in EXCLUDED:
            excluded |= await self._listed(name)
        return frozenset(await self._listed(ORDER) - excluded)

    async def _listed(self, name: str) -> set[str]:
        """The words of a setting; none where the region has no such setting."""
        inner = await self._desk.client.call("listConfigurations", {"name": name})
        said = [str(row.get("value") or "") for row in rows("listConfigurations", inner, "configuration")]
        return {word.strip().upper() for value in said for word in value.split(",") if word.strip()}
