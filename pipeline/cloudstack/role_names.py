"""Which role is meant by a name in one region.

In: a role's name, as the records have it. Out: its UUID there. Called by `resources`: accounts are given
roles by UUID, and a role's UUID differs from region to region.
"""

from __future__ import annotations

from pipeline.cloudstack.answers import named
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.errors import NoSuchRole, Refused
from pipeline.cloudstack.snapshots import ROOT_ADMIN_ROLES


class RoleNames:
    """Of one region."""

    def __init__(self, client: CloudStack) -> None:
        self._client = client
        self._uuids: dict[str, str] = {}
        self._admins: frozenset[str] = frozenset()

    async def read(self) -> None:
        """Learns them all."""
        uuids: dict[str, str] = {}
        admins: set[str] = set()
        async for page in self._client.pages("listRoles", {}, "role"):
            for row in page:
                name, uuid = (named("listRoles", row, key) for key in ("name", "id"))
                uuids.setdefault(name, uuid)
                if row.get("type") == ROOT_ADMIN_ROLES:
                    admins.add(name)
        self._uuids, self._admins = uuids, frozenset(admins)

    async def uuid(self, name: str, *, fresh: bool) -> str:
        """`fresh`: what was learned before may be wrong by now. Raises NoSuchRole when the region has none,
        also after a look, and Refused when it would make a root administrator: nobody's word from elsewhere
        does that."""
        if fresh or name not in self._uuids or name in self._admins:
            await self.read()
        if name in self._admins:
            words = f"the role {name!r} is a root administrator's here: no region's word gives it"
            raise Refused(words, status=431, command="listRoles")
        try:
            return self._uuids[name]
        except KeyError:
            raise NoSuchRole(name) from None
