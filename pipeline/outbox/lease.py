"""A lease by name: which process of many does what only one should do.

In: a name and an owner. Out: whether it is ours. Called through `pipeline.reconcile.alone`. Times are those
of the processes' clocks: where they differ by more than the lease lasts, two may work at once for a while. A
lease that nobody has prolonged for that long by our own clock is over too, however far ahead its owner's was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine, or_, select, update

from pipeline.outbox.engine import writing
from pipeline.outbox.schema import lease
from pipeline.outbox.standstill import Standstill
from pipeline.outbox.statements import insert_new

LASTS_MS: Final = 20_000
"""A dead owner's work is taken over after so long."""


class Lease:
    """One process's hold on `name`; `owner` tells processes apart. Raises `TemporaryError`."""

    def __init__(self, engine: Engine, name: str, owner: str, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._name = name
        self._owner = owner
        self._clock = clock
        self._standstill = Standstill()

    def take(self) -> bool:
        """True: it is ours until `LASTS_MS` from now, or until it is taken again."""
        now = self._clock()
        with writing(self._engine) as connection:
            insert_new(connection, lease, [{"name": self._name, "owner": "", "until_time": 0}])
            columns = select(lease.c.owner, lease.c.until_time).where(lease.c.name == self._name)
            owner, until = connection.execute(columns).one()
            free = [lease.c.owner == self._owner, lease.c.until_time <= now]
            if self._standstill.lasts((owner, until), now) >= LASTS_MS:
                free.append((lease.c.owner == owner) & (lease.c.until_time == until))
            changed = connection.execute(
                update(lease)
                .where(lease.c.name == self._name, or_(*free))
                .values(owner=self._owner, until_time=now + LASTS_MS)
            )
            return bool(changed.rowcount)

    def release(self) -> None:
        """Another may take it at once."""
        with writing(self._engine) as connection:
            connection.execute(
                update(lease)
                .where(lease.c.name == self._name, lease.c.owner == self._owner)
                .values(until_time=0)
            )
