"""Users' keys and logins on their way from one region's worker to another's, sealed: who asks, who answers.

In: a user, one of its fields, and the value that a region should hold. Out: the sealed text that a region
which holds it has left there. Called by the region workers, in threads; every method is one transaction and
may be run again. Nothing here can be read by anybody but the region that asked. One question for a user, a
field and a region at a time; it goes once it has served.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Engine, delete, insert, select, update

from pipeline.outbox.confirmed import read_confirmed
from pipeline.outbox.engine import reading, writing
from pipeline.outbox.mappings import is_present
from pipeline.outbox.schema import outbox, rmap, sealed

ASKED_AT_ONCE: Final = 100
"""Questions that one look goes through."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What lies there for a region. `text`: None while nobody has answered. `tries`: how often that was asked
    before, because the answer could not be used."""

    fingerprint: str
    asked_time: int
    tries: int
    sender: str | None = None
    text: str | None = dataclasses.field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of `region` for what stands behind a field of a user that this region holds, as `local`."""

    id: int
    entity: str
    region: str
    field: str
    fingerprint: str
    local: str


class SealedStore:
    """One region's questions and answers. Every method raises `TemporaryError` for what passes by itself."""

    def __init__(self, engine: Engine, region: str, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._region = region
        self._clock = clock

    def find(self, entity: str, field: str) -> Sealed | None:
        """What lies here for the user (canonical UUID)."""
        query = select(
            sealed.c.fingerprint, sealed.c.asked_time, sealed.c.tries, sealed.c.sender, sealed.c.text
        ).where(*self._mine(entity, field))
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Sealed(*row)

    def ask(self, entity: str, field: str, fingerprint: str, tries: int = 0) -> Sealed:
        """This question takes the place of any other about that field of the user here."""
        asked = Sealed(fingerprint, self._clock(), tries)
        row = {"entity": entity, "region": self._region, "field": field, "fingerprint": fingerprint}
        with writing(self._engine) as connection:
            connection.execute(delete(sealed).where(*self._mine(entity, field)))
            connection.execute(insert(sealed).values(**row, asked_time=asked.asked_time, tries=tries))
        return asked

    def forget(self, entity: str, field: str) -> None:
        """It has served, or is not needed any more."""
        with writing(self._engine) as connection:
            connection.execute(delete(sealed).where(*self._mine(entity, field)))

    def _mine(self, entity: str, field: str) -> tuple[ColumnElement[bool], ...]:
        return sealed.c.entity == entity, sealed.c.region == self._region, sealed.c.field == field

    def asked(self, after: int) -> tuple[list[Asked], int]:
        """Open questions of other regions that this one can answer, as far as is known of what it holds; of
        those with an id above `after`. And where the next look begins: 0 after the last one."""
        query = (
            select(
                sealed.c.id,
                sealed.c.entity,
                sealed.c.region,
                sealed.c.field,
                sealed.c.fingerprint,
                rmap.c.uuid.label("local"),
            )
            .outerjoin(
                rmap,
                (rmap.c.source == sealed.c.entity) & (rmap.c.region_id == self._region) & is_present(),
            )
            .where(sealed.c.id > after, sealed.c.text.is_(None), sealed.c.region != self._region)
            .order_by(sealed.c.id)
            .limit(ASKED_AT_ONCE)
        )
        with reading(self._engine) as connection:
            found = connection.execute(query).all()
            here = [Asked(*row) for row in found if row.local is not None]
            held = read_confirmed(connection, self._region, {one.local for one in here}) if here else {}
        answerable = [one for one in here if (held.get(one.local) or {}).get(one.field) == one.fingerprint]
        return answerable, found[-1].id if len(found) == ASKED_AT_ONCE else 0

    def answer(self, question: Asked, text: str) -> None:
        """Only where it is still open; what waits for it there is due at once."""
        now = self._clock()
        with writing(self._engine) as connection:
            answered = connection.execute(
                update(sealed)
                .where(
                    sealed.c.id == question.id,  # which SQLite gives again
                    sealed.c.entity == question.entity,
                    sealed.c.region == question.region,
                    sealed.c.field == question.field,
                    sealed.c.fingerprint == question.fingerprint,
                    sealed.c.text.is_(None),
                )
                .values(sender=self._region, text=text)
            ).rowcount
            if answered:
                connection.execute(
                    update(outbox)
                    .where(
                        outbox.c.entity == question.entity,
                        outbox.c.region == question.region,
                        outbox.c.state == "pending",
                        outbox.c.due_time > now,
                    )
                    .values(due_time=now)
                )
