"""Adds to users' snapshots what the API does not tell: how they log in.

In: rows of users, their snapshots. Out: snapshots with the field `login` where the settings say so. Called
by resources.py; what it asks is CloudStack's own database, which somebody else opens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from pipeline.core.entities import LOGIN, Snapshot
from pipeline.core.keys import KeyPolicy
from pipeline.core.passwords import NO_HASH, Login, is_federated

Covers = Callable[[KeyPolicy, str], bool]
"""Whether a policy covers the users of a domain (a UUID)."""


class Logins(Protocol):
    """CloudStack's own table. `native`: where hashes of passwords are told; `federated`: where providers
    are. Each method raises `TemporaryError`."""

    native: KeyPolicy
    federated: KeyPolicy

    async def values(self, uuids: Sequence[str]) -> Mapping[str, str | None]:
        """What stands for the login of each user that is there; None for a hash that is not carried."""

    async def login(self, uuid: str) -> Login | None:
        """The login itself, to be sealed at once."""

    async def replace(self, uuid: str, known: str, login: Login) -> None:
        """The user logs in like this from now on, where it still logs in as `known` says."""


async def with_logins(
    logins: Logins, covers: Covers, rows: Sequence[Mapping[str, Any]], users: Sequence[Snapshot]
) -> list[Snapshot]:
    """One question for all of them. Raises `TemporaryError`: a user whose login is not known just now must
    not be told as one that has none."""
    where = {row.get("id"): str(row.get("domainid")) for row in rows}
    covered = [
        user.uuid
        for user in users
        if not user.protected and covers(logins.federated, where.get(user.uuid, ""))
    ]
    values = await logins.values(covered) if covered else {}

    def told(user: Snapshot) -> Snapshot:
        if user.fields is None or user.uuid not in values:
            return user
        value = values[user.uuid]
        if not is_federated(value or "") and not covers(logins.native, where.get(user.uuid, "")):
            value = NO_HASH
        if value is None:
            return user
        return replace(user, fields={**user.fields, LOGIN: value})

    return [told(user) for user in users]
