"""Reads what the removal of an account or a domain would take along in its region.

In: the account or domain as just read. Out: counts. Called by apply before each removal. Four calls at once,
one row each: an answer's `count` is all that matters. Projects' own machines are not counted: CloudStack
removes no account that administers a project (cloudstack.md), and the project itself is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from pipeline.cloudstack.resources import Resources
from pipeline.core.entities import Kind, Snapshot
from pipeline.core.removal import Losses

_LISTS: Final[Mapping[str, tuple[str, str, Mapping[str, str]]]] = {
    "vms": ("listVirtualMachines", "virtualmachine", {}),
    "volumes": ("listVolumes", "volume", {}),
    # Without the filter CloudStack tells of shared networks too, which belong to nobody here (source:
    # NetworkServiceImpl.searchForNetworks).
    "networks": ("listNetworks", "network", {"networkfilter": "account"}),
    "projects": ("listProjects", "project", {}),
}
"""Field of `Losses` → command, array in its answer, parameters of its own."""

_ONE: Final = (1, 1)


async def read_losses(resources: Resources, entity: Snapshot) -> Losses:
    """What `entity` owns, and for a domain all that is below it; a user and a role own nothing. Raises as
    the client does."""
    if entity.kind in (Kind.USER, Kind.ROLE) or entity.fields is None:
        return Losses()
    if entity.kind is Kind.ACCOUNT:
        domain = resources.domain_id(entity.fields["parent"])
        whose = {"account": entity.fields["name"], "domainid": domain}
    else:
        whose = {"domainid": entity.uuid, "isrecursive": "true"}

    async def count(command: str, item: str, own: Mapping[str, str]) -> int:
        _, found = await resources.client.page(command, {**whose, **own, "listall": "true"}, item, _ONE)
        return found

    counts = await asyncio.gather(*(count(*one) for one in _LISTS.values()))
    return Losses(**dict(zip(_LISTS, counts, strict=True)))
