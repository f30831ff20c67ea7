"""What the regions' buses lost, counted, and how far each gap fill has come.

In: what a gap fill found. Out: marks and counts that outlive every process. Called by the gap fill, and by
whoever shows how it stands; every method is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import Connection, Engine, case, select, update

from pipeline.outbox.engine import reading, writing
from pipeline.outbox.schema import gap, watermark
from pipeline.outbox.statements import insert_new, upsert

MARK: Final = "{region}/gap-fill"
"""The name of its mark in the table `watermark`."""


@dataclass(frozen=True, slots=True)
class GapRow:
    """One region's bus. `lost`: events that it never told; `filled`: those that were told in its place. Times
    in ms, None for never. `silent_since`: it says nothing while the log moves. `scan_needed_since`: changes
    since then may be neither in the log nor on the bus any more; only a full scan finds them."""

    region: str
    lost: int = 0
    filled: int = 0
    last_lost_time: int | None = None
    silent_since: int | None = None
    scan_needed_since: int | None = None


class GapStore:
    """One region's. Every method raises `TemporaryError` for what passes by itself."""

    def __init__(self, engine: Engine, region: str, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._region = region
        self._clock = clock
        self._name = MARK.format(region=region)

    def load(self) -> int | None:
        """All rows of the log before this time are judged, and what was lost of them is filled; None at
        first."""
        query = select(watermark.c.value).where(watermark.c.name == self._name)
        with reading(self._engine) as connection:
            return connection.execute(query).scalar_one_or_none()

    def save(self, ms: int) -> None:
        row = {"name": self._name, "value": ms, "time": self._clock()}
        with writing(self._engine) as connection:
            upsert(connection, watermark, [row], ("value", "time"))

    def row(self) -> GapRow:
        """What was counted so far."""
        return gaps(self._engine).get(self._region, GapRow(self._region))

    def count(self, number: int, newest: int) -> None:
        """So many more were lost and are filled; the newest of them happened then."""
        latest = case((gap.c.last_lost_time > newest, gap.c.last_lost_time), else_=newest)
        self._update(lost=gap.c.lost + number, filled=gap.c.filled + number, last_lost_time=latest)

    def silent(self, since: int | None) -> None:
        """The bus has been silent since then; None: it speaks."""
        self._update(silent_since=since)

    def need_scan(self, since: int) -> None:
        """What happened since then may be nowhere to be read. An earlier such time stays."""
        earliest = case((gap.c.scan_needed_since < since, gap.c.scan_needed_since), else_=since)
        self._update(scan_needed_since=earliest)

    def _update(self, **values: Any) -> None:
        with writing(self._engine) as connection:
            insert_new(connection, gap, [{"region": self._region, "lost": 0, "filled": 0}])
            connection.execute(update(gap).where(gap.c.region == self._region).values(**values))


def gaps(engine: Engine) -> dict[str, GapRow]:
    """Region → its row, for all that ever lost anything. Raises `TemporaryError`."""
    columns = [gap.c[field.name] for field in fields(GapRow)]
    with reading(engine) as connection:
        return {
            row["region"]: GapRow(**row)
            for row in connection.execute(select(*columns).order_by(gap.c.region)).mappings()
        }


def scan_needed(connection: Connection, region: str) -> bool:
    """Whether the bus may have lost what its log no longer tells, and no scan has looked since."""
    query = select(gap.c.scan_needed_since).where(gap.c.region == region)
    return connection.execute(query).scalar_one_or_none() is not None


def scanned(connection: Connection, region: str, began: int) -> None:
    """A full scan that began then (ms) is through: what was needed by then is needed no more."""
    done = (gap.c.region == region, gap.c.scan_needed_since <= began)
    connection.execute(update(gap).where(*done).values(scan_needed_since=None))
