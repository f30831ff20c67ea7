"""Which users' logins a region tells of, and what stands for them.

In: UUIDs of users as they are read by the API. Out: values of the field `login`. Called by the client's
resources while they make snapshots of users, and by the worker that copies logins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pipeline.core.keys import KeyPolicy
from pipeline.core.passwords import Login, stands_for
from pipeline.userdb.logins import LoginStore


class UserLogins:
    """One region's. `native`: where hashes are carried; `federated`: where identity providers are."""

    def __init__(self, store: LoginStore, native: KeyPolicy, federated: KeyPolicy) -> None:
        self._store = store
        self.native = native
        self.federated = federated

    async def values(self, uuids: Sequence[str]) -> dict[str, str | None]:
        """Of those users that are there; None for a hash that is not carried. Raises `TemporaryError`."""
        found = await asyncio.to_thread(self._store.read, uuids)
        return {uuid: stands_for(login) for uuid, login in found.items()}

    async def login(self, uuid: str) -> Login | None:
        """To be sealed at once. Raises `TemporaryError`."""
        return (await asyncio.to_thread(self._store.read, [uuid])).get(uuid)

    async def replace(self, uuid: str, known: str, login: Login) -> None:
        """See `LoginStore.replace`."""
        await asyncio.to_thread(self._store.replace, uuid, known, login)
