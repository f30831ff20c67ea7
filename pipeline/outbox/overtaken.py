"""A call that was given up has taken effect after all, over what was applied since then.

In: the entity and what that call wrote. Out: its newest row is applied once more, and what the region holds
is known for our own doing. Called by RegionStore.overtaken, inside its transaction.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select, update

from pipeline import wire
from pipeline.outbox.schema import applied, outbox

AGAIN_MS: Final = 1_000
"""Several late calls are answered by one."""


def overtaken(connection: Connection, region: str, source: str, values: dict[str, str], now: int) -> bool:
    """Whether the region may hold something else than what was applied last. A row that is open is left: it
    reads before it writes, and knows then what is ours."""
    here = (applied.c.entity == source, applied.c.region == region)
    last = connection.execute(
        select(applied.c.version, applied.c["values"]).where(*here).with_for_update()
    ).one_or_none()
    if last is None:
        return False
    version, held = last
    before = wire.fields(held)
    if before is not None:
        after = {**before, **values}
        if after == before:
            return False
        new = {"values": wire.encode_fields(after).encode()}
        connection.execute(update(applied).where(*here).values(new))
    connection.execute(
        update(outbox)
        .where(
            outbox.c.entity == source,
            outbox.c.region == region,
            outbox.c.version == version,
            outbox.c.state == "delivered",
        )
        .values(state="pending", due_time=now + AGAIN_MS, processed_time=None)
    )
    return True
