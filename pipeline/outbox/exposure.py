"""Who still has access in a region that the records do not give: desired states that take access away and
have not come to a good end there, as far as the region holds what they take.

In: a connection, a region. Out: the entities, the longest exposed first. Called by the page of exposure and
by whoever measures. Bounded: it is asked for ever, and a region that is down may have thousands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, exists, select, true

from pipeline import wire
from pipeline.core.records import Record
from pipeline.core.urgency import exposed_since
from pipeline.outbox.audit import OutboxRow
from pipeline.outbox.holding import refusal
from pipeline.outbox.schema import entity, outbox

UNSETTLED: Final = ("held", "dead", "pending", "published")
"""What waits for a person comes before what is on its way."""
LOOKED_AT: Final = 1_000
"""Rows of one region in one state."""

_ROW: Final = tuple(outbox.c[field.name] for field in fields(OutboxRow))


@dataclass(frozen=True, slots=True)
class Exposure:
    """One entity in one region. `since`: when it was disabled, locked or removed (ms), by the clock of the
    region where that was done. `row`: the newest desired state there."""

    record: Record
    region: str
    since: int
    row: OutboxRow

    @property
    def accepted(self) -> bool:
        """A person has refused the removal: it is to stay."""
        return self.row.state == "dead" and (self.row.message or "").startswith(refusal(""))


def read_exposures(connection: Connection, region: str) -> list[Exposure]:
    """At most `LOOKED_AT` for each of `UNSETTLED`."""
    found = [one for state in UNSETTLED for one in _in_state(connection, region, state)]
    return sorted(found, key=lambda one: (one.since, one.row.id))


def _in_state(connection: Connection, region: str, state: str) -> Iterator[Exposure]:
    newer = outbox.alias("newer")
    replaced = exists().where(
        newer.c.entity == outbox.c.entity,
        newer.c.region == outbox.c.region,
        newer.c.version > outbox.c.version,
    )
    query = (
        select(*_ROW, entity.c.body)
        .join(entity, entity.c.uuid == outbox.c.entity)
        .where(outbox.c.region == region, outbox.c.revokes == true(), outbox.c.state == state, ~replaced)
        .order_by(outbox.c.due_time, outbox.c.id)
        .limit(LOOKED_AT)
    )
    for row in connection.execute(query).mappings():
        one = _exposure(row, region)
        if one is not None:
            yield one


def _exposure(row: RowMapping, region: str) -> Exposure | None:
    columns: dict[str, Any] = dict(row)
    record = wire.record(columns.pop("body"))
    since = exposed_since(record, region)
    return None if since is None else Exposure(record, region, since, OutboxRow(**columns))
