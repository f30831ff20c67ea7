"""Machines, volumes and networks: only how many an account has, for what asks before it removes one.

Called by `dispatch` with a parsed call; `give` by tests. They go with their account, silently.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Final

from pipeline.sandbox import listing
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.render import Fields
from pipeline.sandbox.state import Account
from pipeline.sandbox.world import World

VMS: Final = "vms"
VOLUMES: Final = "volumes"
NETWORKS: Final = "networks"


def give(world: World, account: str, belongings: Mapping[str, int]) -> None:
    """The account (its UUID) owns so many of each. Raises KeyError for what there is not."""
    unknown = set(belongings) - {VMS, VOLUMES, NETWORKS}
    if unknown:
        raise KeyError(*unknown)
    world.accounts[world.by_uuid["Account"][account]].belongings.update(belongings)


def list_virtual_machines(call: Call) -> Answer:
    return _listed(call, "virtualmachine", VMS)


def list_volumes(call: Call) -> Answer:
    return _listed(call, "volume", VOLUMES)


def list_networks(call: Call) -> Answer:
    return _listed(call, "network", NETWORKS)


def _listed(call: Call, name: str, kind: str) -> Answer:
    """Nothing at all where nobody has any, as recorded."""
    view = listing.scope(call)
    owners = [
        one for one in call.world.live_accounts.values() if one.belongings.get(kind) and view.holds(one)
    ]
    count = sum(one.belongings[kind] for one in owners)
    return listing.listed(call, name, _each(owners, kind), lambda shown: shown, count)


def _each(owners: list[Account], kind: str) -> Iterator[Fields]:
    for owner in owners:
        for number in range(owner.belongings[kind]):
            yield {
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{owner.uuid}/{kind}/{number}")),
                "name": f"{kind.removesuffix('s')}-{number}",
                "account": owner.name,
                "domainid": owner.domain.uuid,
            }
