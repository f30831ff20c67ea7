"""Whether a joining region has every role that the records name: roles are matched by their names, since
their UUIDs differ from region to region.

In: the names that are needed, and those that are there. Out: findings. Only reads.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping

from pipeline.check.finding import Finding, Subject
from pipeline.cloudstack.client import CloudStack
from pipeline.outbox.engine import Engine
from pipeline.outbox.roles import roles_needed


async def examine(
    subject: Subject, client: CloudStack, engine: Engine, *, synced: bool = False
) -> list[Finding]:
    """A finding for each that is missing. `synced`: custom roles are made by the sync. Raises the errors of
    errors.py, and the database's."""
    needed = await asyncio.to_thread(roles_needed, engine)
    there: Counter[str] = Counter()
    async for page in client.pages("listRoles", {}, "role"):
        there.update(str(row.get("name")) for row in page)
    return list(judge(subject, needed, there, synced=synced))


def judge(
    subject: Subject, needed: Mapping[str, int], there: Mapping[str, int], *, synced: bool = False
) -> Iterator[Finding]:
    """`needed`: name → how many accounts have that role; `there`: name → how many such roles there are: names
    are unique only among roles of one type (source: the key of table `roles`)."""
    named = {name: accounts for name, accounts in needed.items() if name}
    for name, accounts in named.items():
        found = there.get(name, 0)
        whose = "1 account needs" if accounts == 1 else f"{accounts} accounts need"
        if not found and synced:
            yield subject.warn(
                f"there is no role named {name!r}, which {whose}: it comes if it is a custom one"
            )
        elif not found:
            yield subject.fail(f"there is no role named {name!r}, which {whose}: make one of that name")
        elif found > 1:
            yield subject.warn(f"there are {found} roles named {name!r}, which {whose}: one is taken, rename")
    if not named:
        yield subject.ok("the records name no role yet")
    elif all(there.get(name) == 1 for name in named):
        yield subject.ok(f"all role names that the records use are there: {len(named)}")
