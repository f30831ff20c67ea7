"""Remembers calls that changed nothing, so that the same ones are not made for ever, not even over restarts.

In: what apply found after its calls; what the hub hears of an entity that is stuck. Out: rows of `futile`,
and dead rows that are due again, since the region holds something else now. Called inside the transactions
of RegionStore, HubStore and AuditStore.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, select, update

from pipeline import wire
from pipeline.core.effect import Futile
from pipeline.core.records import Record
from pipeline.outbox.mappings import Mapping
from pipeline.outbox.schema import MESSAGE_MAX, futile, outbox
from pipeline.outbox.statements import chunks, cut, rows_by_key, upsert


def read(connection: Connection, ids: Collection[int]) -> dict[int, Futile]:
    """Outbox id → what its last calls left undone."""
    found: dict[int, Futile] = {}
    for chunk in chunks(ids):
        query = select(futile).where(futile.c.outbox_id.in_(chunk))
        for row in connection.execute(query).mappings():
            found[row["outbox_id"]] = Futile(row["difference"], wire.fields(row["seen"]), row["times"])
    return found


def write(connection: Connection, region: str, found: Sequence[tuple[int, str, Futile]]) -> None:
    """(outbox id, entity, what its calls left undone)."""
    rows = [
        {
            "outbox_id": id_,
            "entity": uuid,
            "region": region,
            "difference": cut(one.difference, MESSAGE_MAX),
            "seen": wire.encode_fields(one.seen).encode(),
            "times": one.times,
        }
        for id_, uuid, one in found
    ]
    upsert(connection, futile, rows, ("difference", "seen", "times"))


def forget(connection: Connection, ids: Collection[int]) -> None:
    """These rows may begin anew."""
    for chunk in chunks(ids):
        connection.execute(delete(futile).where(futile.c.outbox_id.in_(chunk)))


def revive(connection: Connection, seen: Sequence[tuple[Record, Mapping]], now: int) -> None:
    """(record, where it was just observed): where that region holds something else than calls without
    effect had left, its dead row is tried again."""
    confirmed = {(record.uuid, at.region): record.region(at.region).confirmed for record, at in seen}
    key = (futile.c.entity, futile.c.region)
    rows = rows_by_key(connection, (*key, futile.c.outbox_id, futile.c.seen), key, confirmed)
    moved = [
        row["outbox_id"]
        for row in rows
        if confirmed[row["entity"], row["region"]] != wire.fields(row["seen"])
    ]
    for chunk in chunks(moved):
        connection.execute(
            update(outbox)
            .where(outbox.c.id.in_(chunk), outbox.c.state == "dead")
            .values(state="pending", due_time=now, waits_for=None, processed_time=None)
        )
    forget(connection, moved)
