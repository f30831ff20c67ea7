"""The ledger of conflicts: what two regions said differently, and what a region said that it may not say.

In: lines, in the transaction of the merge that they come from. Out: rows; and of what was not taken from its
region whether that is written down. Called by `hub`. The second kind of line has bounds: a region that was
taken over must fill no table. One line stands for all times that the same was said; what is beyond the bounds
is only counted (metric `region_sync_violations_total`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select

from pipeline.core.merge import LIFE
from pipeline.core.records import Conflict
from pipeline.core.roles import RULES, RULES_MAX
from pipeline.outbox.schema import MESSAGE_MAX, conflict
from pipeline.outbox.statements import chunks, cut, rows_by_key

LINES_PER_ENTITY: Final = 20
"""Of one entity and region, for as long as they are kept: nobody reads more to know what goes on."""
LINES_PER_HOUR: Final = 500
"""Of one region."""
HOUR_MS: Final = 3_600_000

log = logging.getLogger(__name__)

Owner = tuple[str, str]
"""(entity, region that said it)."""


def write_conflicts(connection: Connection, conflicts: Sequence[Conflict], now: int) -> None:
    """All that two regions said differently; of what a region may not say what is new, within the bounds."""
    violations = [one for one in conflicts if one.reason]
    lines = [one for one in conflicts if not one.reason]
    if violations:
        lines += _fresh(connection, violations, now)
    if lines:
        connection.execute(insert(conflict), [_row(one, now) for one in lines])


def read_unborn(connection: Connection, entities: Collection[Owner]) -> set[Owner]:
    """Which of these are written down as not taken from their region."""
    columns = (conflict.c.entity, conflict.c.field, conflict.c.kept, conflict.c.reason)
    key = (conflict.c.entity, conflict.c.lost_region)
    rows = rows_by_key(connection, (*columns, conflict.c.lost_region), key, entities)
    return {
        (row["entity"], row["lost_region"])
        for row in rows
        if row["reason"] and row["field"] == LIFE and row["kept"] == "absent"
    }


def _fresh(connection: Connection, violations: Sequence[Conflict], now: int) -> list[Conflict]:
    told, of_entity = _told(connection, {one.uuid for one in violations})
    room = _room(connection, {one.lost_stamp.region for one in violations}, now)
    found = []
    for one in violations:
        region = one.lost_stamp.region
        owner, said = (one.uuid, region), (one.uuid, region, one.field, _value(one, one.lost))
        if said in told:
            continue
        if of_entity[owner] >= LINES_PER_ENTITY or room[region] <= 0:
            log.warning("%s says more than is written down: %s of %s", region, one.field, one.uuid)
            continue
        told.add(said)
        of_entity[owner] += 1
        room[region] -= 1
        found.append(one)
    return found


def _told(
    connection: Connection, entities: set[str]
) -> tuple[set[tuple[str, str, str, str]], Counter[Owner]]:
    """(entity, region, field, value) of the lines that there are, and how many of each entity and region."""
    told: set[tuple[str, str, str, str]] = set()
    for chunk in chunks(sorted(entities)):
        query = select(conflict.c.entity, conflict.c.lost_region, conflict.c.field, conflict.c.lost)
        query = query.where(conflict.c.entity.in_(chunk), conflict.c.reason.is_not(None))
        told.update(tuple(row) for row in connection.execute(query))
    return told, Counter((entity, region) for entity, region, _, _ in told)


def _room(connection: Connection, regions: set[str], now: int) -> dict[str, int]:
    """How many lines each region may still get in this hour."""
    written: Counter[str] = Counter()
    query = (
        select(conflict.c.lost_region, func.count())
        .where(conflict.c.lost_region.in_(regions), conflict.c.time > now - HOUR_MS)
        .where(conflict.c.reason.is_not(None))
        .group_by(conflict.c.lost_region)
    )
    for region, number in connection.execute(query):
        written[region] = number
    return {region: LINES_PER_HOUR - written[region] for region in regions}


def _row(one: Conflict, now: int) -> dict[str, Any]:
    return {
        "entity": one.uuid,
        "field": one.field,
        "base": None if one.base is None else _value(one, one.base),
        "kept": _value(one, one.kept),
        "kept_time": one.kept_stamp.time,
        "kept_region": one.kept_stamp.region,
        "lost": _value(one, one.lost),
        "lost_time": one.lost_stamp.time,
        "lost_region": one.lost_stamp.region,
        "time": now,
        "reason": cut(one.reason, MESSAGE_MAX) or None,
    }


def _value(line: Conflict, text: str) -> str:
    """A role's rules are kept whole: a person may let them win."""
    return cut(text, RULES_MAX if line.field == RULES else MESSAGE_MAX)
