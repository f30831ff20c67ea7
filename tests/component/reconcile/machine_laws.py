"""What must be true once everything is at rest: all regions are equal, or each difference is accounted for by
a row of the outbox that says why.

In: a world at rest. Out: a sentence for each difference that nothing accounts for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from pipeline import wire
from pipeline.core.entities import Kind
from pipeline.core.makeshift import is_makeshift
from pipeline.core.records import Record
from pipeline.outbox.engine import reading
from pipeline.outbox.schema import conflict, entity, hold, outbox, rmap
from tests.component.reconcile.machine_rig import Site
from tests.component.reconcile.machine_world import MachineWorld

Key = tuple[str, str]
"""(canonical UUID, region)."""


@dataclass
class Findings:
    """`broken`: differences that nothing accounts for; `reasons`: how the others are accounted for."""

    broken: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass
class Books:
    """The records, the mappings, and the newest row of each entity in each region."""

    records: dict[str, Record]
    canonical: dict[Key, str]
    local: dict[Key, str]
    newest: dict[Key, Any]
    now: int

    def reason(self, uuid: str, region: str, depth: int = 0) -> str | None:
        """Why the entity differs there, in the outbox's words; None: nothing says why."""
        row = self.newest.get((uuid, region))
        if row is None or depth > 20:
            return None
        if row.state in ("held", "dead"):
            return f"{row.state}: {row.message}" if row.message else None
        if row.state not in ("pending", "published"):
            return None
        if row.until is not None and row.decision is None and self.now < row.until:
            return f"{row.message}"
        if row.waits_for is not None and (why := self.reason(row.waits_for, region, depth + 1)):
            return f"waits: {why}"
        return None


async def findings(world: MachineWorld) -> Findings:
    """All regions that take part."""
    books = _read(world)
    found = Findings()
    for site in world.active:
        held = await _held(site)
        _compare(books, site.region.name, held, found)
    dumps = [site.region.dump() for site in world.active]
    if not found.broken and not found.reasons and any(one != dumps[0] for one in dumps):
        found.broken.append(f"the regions differ though all are as recorded: {dumps}")
    return found


def removed_by_nobody(world: MachineWorld) -> list[str]:
    """Where people removed nothing: the records that are removed all the same, and of which the ledger does
    not say why. It does of what was lost in the only region that held it, below something that nobody had
    told of yet: that can be made again nowhere.
    """
    records = _read(world).records
    with reading(world.engine) as connection:
        told = set(connection.execute(select(conflict.c.entity).where(conflict.c.field == "life")).scalars())
    return [
        f"{one.kind} {one.uuid} {one.fields['name'].text}: {one.life}"
        for one in records.values()
        if not one.life.present and one.uuid not in told
    ]


def _compare(
    books: Books, region: str, held: dict[str, tuple[Kind, dict[str, str]]], found: Findings
) -> None:
    def account_for(uuid: str, what: str) -> None:
        why = books.reason(uuid, region)
        if why is None:
            row = books.newest.get((uuid, region))
            found.broken.append(f"{region}: {what}; newest row: {row}")
        else:
            found.reasons[why] += 1

    seen = set()
    for local, (kind, fields) in held.items():
        uuid = books.canonical.get((local, region))
        record = books.records.get(uuid or "")
        if uuid is None or record is None:
            found.broken.append(f"{region}: nobody knows {kind} {local} {fields}")
            continue
        seen.add(uuid)
        wanted = record.desired()
        if wanted is None:
            account_for(uuid, f"{kind} {uuid} {fields['name']} is here and was removed")
            continue
        parent = fields["parent"]
        canonical = {**fields, "parent": books.canonical.get((parent, region), parent)}
        if canonical != wanted:
            differing = {
                name: (canonical[name], wanted[name]) for name in wanted if canonical[name] != wanted[name]
            }
            account_for(uuid, f"{kind} {uuid} {fields['name']} differs (here, wanted): {differing}")
    for uuid, record in books.records.items():
        if record.life.present and uuid not in seen:
            account_for(uuid, f"{record.kind} {uuid} {record.fields['name'].text} is missing")


async def _held(site: Site) -> dict[str, tuple[Kind, dict[str, str]]]:
    """UUID there → what the region holds, all of it that may be synced."""
    resources = site.desk.resources
    found: dict[str, tuple[Kind, dict[str, str]]] = {}
    for pages in (resources.domains(), resources.accounts(), resources.users()):
        async for page in pages:
            for one in page:
                if not one.protected and not is_makeshift(one) and one.fields is not None:
                    found[one.uuid] = (one.kind, dict(one.fields))
    await asyncio.sleep(0)
    return found


def _read(world: MachineWorld) -> Books:
    columns = (outbox.c.entity, outbox.c.region, outbox.c.version, outbox.c.state, outbox.c.message)
    more = (outbox.c.waits_for, outbox.c.due_time, hold.c.until, hold.c.decision)
    rows = select(*columns, *more).outerjoin(hold, hold.c.outbox_id == outbox.c.id)
    with reading(world.engine) as connection:
        records = [wire.record(body) for body in connection.execute(select(entity.c.body)).scalars()]
        mapped = connection.execute(select(rmap.c.source, rmap.c.region_id, rmap.c.uuid)).all()
        newest = {
            (row.entity, row.region): row for row in connection.execute(rows.order_by(outbox.c.version))
        }
    return Books(
        records={one.uuid: one for one in records},
        canonical={(uuid, region): source for source, region, uuid in mapped},
        local={(source, region): uuid for source, region, uuid in mapped},
        newest=newest,
        now=world.clock(),
    )
