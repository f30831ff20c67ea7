"""What a plan has to know of all records: where each is, which names are taken, what is under way already.

In: kinds, UUIDs. Out: small rows, in pages by UUID; nothing here decodes a record. Called by
`pipeline.reconcile.planning`, in threads.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, case, select

from pipeline.core.entities import Kind
from pipeline.outbox.engine import reading
from pipeline.outbox.schema import entity, outbox
from pipeline.outbox.settle import PLANNED
from pipeline.outbox.statements import chunks

HELD: Final = "held"
DEAD: Final = "refused"
REFUSED: Final = (HELD, DEAD)
"""How the words begin where nothing goes on by itself."""
_WAY: Final = "on its way"
_WORDS: Final = {"held": HELD, "dead": DEAD, "pending": _WAY, "published": _WAY}


@dataclass(frozen=True, slots=True)
class Place:
    """A present record: its canonical UUID, its name, the canonical UUID of what it is in."""

    uuid: str
    name: str
    parent: str


class Directory:
    """Read-only. Every method raises `TemporaryError` for what passes by itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def present(self, kind: Kind, after: str, limit: int) -> list[Place]:
        """The records of a kind that are not removed, in the order of their UUIDs: at most `limit`, from the
        one after `after`."""
        query = (
            select(entity.c.uuid, entity.c.name, entity.c.parent)
            .where(entity.c.kind == kind.value, entity.c.present.is_(True), entity.c.uuid > after)
            .order_by(entity.c.uuid)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [Place(*row) for row in connection.execute(query)]

    def under_way(self, region: str, uuids: Collection[str]) -> dict[str, str]:
        """Canonical UUID → what its newest desired state in the region waits for, in words; only those that
        are not settled."""
        newest: dict[str, tuple[str, str | None]] = {}
        message = case((outbox.c.result == PLANNED, "mode plan"), else_=outbox.c.message)  # not all its calls
        with reading(self._engine) as connection:
            for chunk in chunks(uuids):
                query = (
                    select(outbox.c.entity, outbox.c.state, message)
                    .where(outbox.c.region == region, outbox.c.entity.in_(chunk))
                    .order_by(outbox.c.version)
                )
                newest.update((uuid, (state, words)) for uuid, state, words in connection.execute(query))
        return {
            uuid: f"{_WORDS[state]}: {words}" if words else _WORDS[state]
            for uuid, (state, words) in newest.items()
            if state in _WORDS
        }
