"""Every function of the hub's store and of a region's store that writes, each with a world to write to.

In: an engine of an emptied database. Out: a prepared world, and the call. `CASES` must name all of them: a
test compares it with the stores' own code. Called by the tests of the database's faults.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Engine

from pipeline.core.entities import Kind
from pipeline.core.records import Conflict, RegionState, Stamp
from pipeline.core.removal import Asked, Limits, Losses
from pipeline.outbox.audit import AuditStore, RegionRow
from pipeline.outbox.holds import Pending
from pipeline.outbox.hub import Change, DeadLetter, HubStore
from pipeline.outbox.region import CallRow, RegionStore
from pipeline.outbox.schema import metadata, outbox
from pipeline.outbox.settle import PLANNED
from tests.unit.outbox.builders import NOW, Clock, at, desired, keep, record, rows, settled

LATER: Final = NOW + 10_000_000
DOMAIN = record(Kind.DOMAIN, "d1", "dom")
OTHER = record(Kind.DOMAIN, "d2", "other")
ACCOUNT = record(Kind.ACCOUNT, "a1", "acme", "d1")
USER = record(Kind.USER, "u1", "jo", "a1")
PLAN = record(Kind.USER, "u2", "planned", "a1")
EARLY = record(Kind.ACCOUNT, "a9", "early", "d9")
"""It was seen before its domain, which turns out to be `OTHER`."""
NOT_EQUAL: Final = frozenset({"id", "outbox_id"})
"""Numbers that a transaction which was rolled back has used up."""


@dataclass(frozen=True)
class World:
    engine: Engine
    hub: HubStore
    region: RegionStore
    merged: list[Change] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    """Entity → its outbox row."""


def prepared(engine: Engine) -> World:
    """A domain and an account that r2 holds, with a row delivered; rows that wait, one of which takes access
    away; one that is planned."""
    clock = Clock()
    world = World(engine, HubStore(engine, clock), RegionStore(engine, "r2", clock))
    AuditStore(engine).save_regions([RegionRow("r2", "h", "/", "", "", is_master=False)])
    keep(world.hub, DOMAIN, OTHER, ACCOUNT, USER, EARLY, regions=("r1", "r2"))
    changes = []
    for one in (DOMAIN, ACCOUNT, USER):
        stored = world.hub.load([one.uuid])[one.uuid]
        wanted = replace(desired(one), revokes=one is USER)
        changes.append(Change(stored.record, stored.revision, (wanted,)))
    changes.append(Change(PLAN, None, (desired(PLAN),)))
    world.hub.commit(changes, NOW)
    done = settled(ACCOUNT, applied=ACCOUNT.desired(), present=True, parent="d1")
    world.region.settle([done, settled(PLAN, "held", result=PLANNED)], NOW)
    world.merged.extend(_merged(world.hub))
    world.ids.update({one["entity"]: one["id"] for one in rows(engine, outbox)})
    return world


def _merged(hub: HubStore) -> list[Change]:
    """What came of a batch that was merged, of the records as they are now."""
    changes = []
    for uuid, stored in sorted(hub.load([DOMAIN.uuid, OTHER.uuid]).items()):
        regions = {**stored.record.regions, "r2": RegionState(confirmed=None)}
        newer = replace(stored.record, version=7, regions=regions)
        lost = Conflict(uuid, "name", "a", "b", Stamp(2, "r1"), "c", Stamp(1, "r2"))
        said = replace(lost, reason="r2 is not a source for /dom")
        late = (desired(newer, version=8),)
        changes.append(Change(newer, stored.revision, (desired(newer),), (lost, said), at(newer, "r2"), late))
    return changes


def _settle(world: World) -> None:
    calls = (CallRow("updateDomain", 200, None, 5, NOW), CallRow("updateDomain", None, "no answer", 5, NOW))
    dom = settled(DOMAIN, applied=DOMAIN.desired(), present=True, parent="ROOT", calls=calls)
    world.region.settle([dom, settled(USER, "dead", message="refused")], LATER)


def _decide(world: World) -> None:
    pending = [
        Pending(world.ids["u1"], "u1", Asked(Kind.USER, "enabled")),
        Pending(world.ids["a1"], "a1", _WITH_MACHINES),
    ]
    world.region.decide(pending, Limits())


_WITH_MACHINES: Final = Asked(Kind.ACCOUNT, "enabled", Losses(vms=1))


def _letters(world: World) -> None:
    letters = [DeadLetter("t", 0, n, "r2", "k", "why", b"body", NOW) for n in range(3)]
    world.hub.keep_dead_letters(letters)


def _republished(world: World) -> None:
    ids = [id_ for id_, *_ in world.region.due(LATER, 10)]
    world.region.republished(ids, LATER, LATER + 1)


Write = Callable[[World], Any]

CASES: Final[dict[str, Write]] = {
    "HubStore.adopt": lambda world: world.hub.adopt("d9", "d2"),
    "HubStore.commit": lambda world: world.hub.commit(world.merged, LATER),
    "HubStore.published": lambda world: world.hub.published([*world.ids.values()], LATER),
    "HubStore.keep_dead_letters": _letters,
    "RegionStore.decide": _decide,
    "RegionStore.release_planned": lambda world: world.region.release_planned(LATER),
    "RegionStore.came_with": lambda world: world.region.came_with("a1", ["u1", "u2"]),
    "RegionStore.settle": _settle,
    "RegionStore.mint": lambda world: world.region.mint("d1", Kind.DOMAIN, "fresh", NOW),
    "RegionStore.due": lambda world: world.region.due(LATER, 10),
    "RegionStore.due_revocations": lambda world: world.region.due_revocations(LATER, 10),
    "RegionStore.republished": _republished,
    "RegionStore.reopen": lambda world: world.region.reopen("a1", {"state": "locked"}, LATER),
    "RegionStore.overtaken": lambda world: world.region.overtaken("a1", {"name": "late"}, LATER),
    "RegionStore.wake_all": lambda world: world.region.wake_all(NOW + 1),
}


def writers() -> set[str]:
    """The methods of both stores whose code begins a transaction that writes."""
    return {
        f"{store.__name__}.{name}"
        for store in (HubStore, RegionStore)
        for name, method in inspect.getmembers(store, inspect.isfunction)
        if "writing(self._engine)" in inspect.getsource(method)
    }


def kept(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """All that the database holds, but for numbers that a rolled-back transaction uses up."""
    return {
        table.name: sorted(
            ({k: v for k, v in one.items() if k not in NOT_EQUAL} for one in rows(engine, table)), key=repr
        )
        for table in metadata.sorted_tables
    }
