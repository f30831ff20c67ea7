"""Which roles the accounts of the records have, by name.

In: the database. Out: how many accounts need each. Called before a region joins: it must have them all.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from sqlalchemy import Engine, select

from pipeline import wire
from pipeline.core.entities import Kind
from pipeline.outbox.engine import reading
from pipeline.outbox.schema import entity

AT_ONCE: Final = 1000
"""Records held at a time, however many there are."""


def roles_needed(engine: Engine) -> dict[str, int]:
    """Role's name → how many present accounts have it, the most needed first. Raises `TemporaryError`."""
    counts: Counter[str] = Counter()
    after = ""
    while True:
        query = (
            select(entity.c.uuid, entity.c.body)
            .where(entity.c.kind == Kind.ACCOUNT.value, entity.c.present.is_(True), entity.c.uuid > after)
            .order_by(entity.c.uuid)
            .limit(AT_ONCE)
        )
        with reading(engine) as connection:
            rows = connection.execute(query).all()
        if not rows:
            return dict(counts.most_common())
        after = rows[-1].uuid
        counts.update(wire.record(row.body).fields["role"].text for row in rows)
