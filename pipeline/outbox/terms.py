"""Numbers that only grow, one for each time that a worker is given a region's partitions.

In: a region. Out: the next number. Called by a region's worker, before it reads anything for what it was
given: so of two workers of one region the later one has the greater number, whatever their clocks say, and
whoever compares them knows whose word is the older one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine, select, update

from pipeline.outbox.engine import writing
from pipeline.outbox.schema import watermark
from pipeline.outbox.statements import insert_new

TERM: Final = "{region}/term"
"""The name of its row in the table `watermark`."""


class Terms:
    """One region's."""

    def __init__(self, engine: Engine, region: str, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._name = TERM.format(region=region)
        self._clock = clock

    def next(self) -> int:
        """Greater than every one before. Raises `TemporaryError`."""
        row = watermark.c.name == self._name
        with writing(self._engine) as connection:
            insert_new(connection, watermark, [{"name": self._name, "value": 0, "time": self._clock()}])
            counted = {"value": watermark.c.value + 1, "time": self._clock()}
            connection.execute(update(watermark).where(row).values(counted))
            return int(connection.execute(select(watermark.c.value).where(row)).scalar_one())
