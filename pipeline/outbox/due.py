"""Takes the open rows whose time has come, for one worker to publish.

In: a transaction, whose rows, when they are due. Out: the rows, leased. Called by the region's store.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, select, update

from pipeline.outbox.mappings import OPEN, local_by_canonical
from pipeline.outbox.schema import outbox
from pipeline.outbox.statements import chunks

LEASE_MS: Final = 60_000
"""How long a worker has to publish a row that was due before another may take it."""


class DueRow(NamedTuple):
    """One row, and its message with the key. `revokes`: it goes by the lane for revocations."""

    id: int
    key: bytes
    body: bytes
    revokes: bool


def take_due(
    connection: Connection,
    which: Sequence[ColumnElement[bool]],
    when: Sequence[ColumnElement[bool]],
    at: tuple[int, int],
) -> list[DueRow]:
    """`at`: now, and how many at most. The oldest first, leased for `LEASE_MS`."""
    now, limit = at
    columns = (outbox.c.id, outbox.c.entity, outbox.c.region, outbox.c.body, outbox.c.revokes)
    found: list[Any] = []
    # Each by its index, so that no more rows than these are locked.
    for state, due in product(OPEN, when):
        query = (
            select(*columns)
            .where(*which, outbox.c.state == state, due)
            .order_by(outbox.c.due_time, outbox.c.id)
            .limit(limit)
            .with_for_update()
        )
        found += connection.execute(query).all()
    taken = sorted(found, key=lambda row: row.id)[:limit]
    for chunk in chunks([row.id for row in taken]):
        connection.execute(update(outbox).where(outbox.c.id.in_(chunk)).values(due_time=now + LEASE_MS))
    locals_ = local_by_canonical(connection, {(row.entity, row.region) for row in taken})
    keys = [locals_.get((row.entity, row.region), row.entity) for row in taken]
    return [
        DueRow(row.id, key.encode(), row.body, bool(row.revokes))
        for row, key in zip(taken, keys, strict=True)
    ]
