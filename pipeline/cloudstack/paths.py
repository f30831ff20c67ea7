"""Where a user's domain is: a user's listing names its domain by UUID and last name alone.

In: rows of the API, as they come by. Out: whether the credentials of a user in a domain are the sync's
business.
Called by resources.py before it makes snapshots of users. Without a rule that tells domains apart nothing is
ever read for it. What is known is forgotten after a while: a domain may have been renamed or moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pipeline.cloudstack.answers import rows
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.errors import NotFound
from pipeline.core.keys import KeyPolicy

KEPT_MS: Final = 300_000
"""So long may a renamed domain be taken for what it was."""
SINGLY: Final = 8
"""So many unknown domains are read one by one; more by pages of all of them."""

_SLIM: Final = {"listall": "true", "details": "min"}

Row = Mapping[str, Any]


class Paths:
    """The domains of one region, as far as these policies ask for them."""

    def __init__(self, client: CloudStack, policies: Sequence[KeyPolicy]) -> None:
        self._client = client
        self._asked_for = any(policy.everywhere is None for policy in policies)
        self._known: dict[str, str] = {}
        self._since = 0

    def covers(self, policy: KeyPolicy, domain: str) -> bool:
        """Whether the policy covers the users of that domain (a UUID); not where its path is not known."""
        if policy.everywhere is not None:
            return policy.everywhere
        path = self._known.get(domain)
        return path is not None and policy.covers(path)

    def note(self, found: Iterable[Row]) -> None:
        """Rows of domains, or of accounts, which tell the paths of theirs."""
        for row in found:
            uuid, path = (
                (row.get("domainid"), row.get("domainpath"))
                if "domainpath" in row
                else (
                    row.get("id"),
                    row.get("path"),
                )
            )
            if isinstance(uuid, str) and isinstance(path, str):
                self._known[uuid] = path.partition("/")[2]

    async def learn(self, users: Iterable[Row]) -> None:
        """Reads what is not known of the domains of these users. Raises as the client does."""
        if not self._asked_for:
            return
        now = self._client.now
        if not 0 <= now - self._since < KEPT_MS:
            self._known.clear()
            self._since = now
        unknown = {
            domain for row in users if isinstance(domain := row.get("domainid"), str)
        } - self._known.keys()
        if len(unknown) > SINGLY:
            async for page in self._client.pages("listDomains", _SLIM, "domain"):
                self.note(page)
            return
        for domain in sorted(unknown):
            try:
                inner = await self._client.call("listDomains", {"id": domain, **_SLIM})
            except NotFound:
                continue
            self.note(rows("listDomains", inner, "domain"))
