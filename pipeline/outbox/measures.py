"""What the database knows of how it stands, for whoever measures: by bounded queries, since it is asked every
few seconds for ever.

In: the regions' names. Out: one `Measured` each, and the last proof. Called by `pipeline.metrics`, in a
thread. What is through (delivered, superseded) is not counted: that would be most of a table that grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, func, select, text

from pipeline.core.compare import Outcome
from pipeline.core.effect import TRIES_WITHOUT_EFFECT
from pipeline.outbox.engine import reading
from pipeline.outbox.exposure import read_exposures
from pipeline.outbox.gaps import GapRow, gaps
from pipeline.outbox.scans import COUNTS, DONE
from pipeline.outbox.schema import futile, hold, outbox, proof, scan, watermark

COUNTED_MAX: Final = 100_000
"""Rows of one state in one region that are counted: there are more than enough by then."""
SCANS_SEEN: Final = 50
"""How many scans of a region are looked at for one that was through."""
PARKED_MS: Final = 120_000
"""A pending row that is not due for so long waits for a person, or for the end of a quarantine: what waits
for a parent, or is tried again, is due sooner."""
PENDING: Final = "pending"
PARKED: Final = "parked"
WAITING: Final = (PENDING, PARKED, "published", "held", "dead")
"""States that are not the end, as they are counted."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One region. `rows`: state → number; `oldest`: state → when the oldest such row was written; `holds`:
    removals that wait for a person; `no_progress`: rows whose calls change nothing. `scan`: how the newest
    scan stands, None when there was none, with what it `found`; `scan_done`: when the last one was through,
    or since when the first one is due. `exposures`: entities that still have access here, but for removals
    that a person refused; `exposed_since`: the first of them. Times in ms."""

    region: str
    rows: dict[str, int]
    oldest: dict[str, int]
    holds: int
    no_progress: int
    gap: GapRow
    scan: str | None = None
    scan_done: int | None = None
    found: dict[Outcome, int] = field(default_factory=dict)
    exposures: int = 0
    exposed_since: int | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """The last verify: when, and how many entities differed."""

    time: int
    differences: int


def measure(engine: Engine, regions: Sequence[str], now: int) -> list[Measured]:
    """Raises `TemporaryError`."""
    lossy = gaps(engine)
    with reading(engine) as connection:
        return [_measure(connection, lossy.get(name, GapRow(name)), now) for name in regions]


def looked(engine: Engine) -> Looked | None:
    """None: nobody has looked yet. Raises `TemporaryError`."""
    query = select(proof.c.time, proof.c.differences).order_by(proof.c.id.desc()).limit(1)
    with reading(engine) as connection:
        found = connection.execute(query).one_or_none()
    return None if found is None else Looked(*found)


def answers(engine: Engine) -> None:
    """Raises `TemporaryError` while the database does not answer."""
    with reading(engine) as connection:
        connection.execute(text("SELECT 1")).scalar_one()


def _measure(connection: Connection, gap: GapRow, now: int) -> Measured:
    name = gap.region
    rows, oldest = {}, {}
    for state in WAITING:
        # Both come from the index alone: an id is in every index, and a smaller one was written earlier.
        few = select(outbox.c.id).where(outbox.c.region == name, *_is(state, now)).limit(COUNTED_MAX)
        some = few.subquery()
        number, first = connection.execute(select(func.count(), func.min(some.c.id)).select_from(some)).one()
        rows[state] = number
        if first is not None:
            since = select(outbox.c.created_time).where(outbox.c.id == first)
            oldest[state] = connection.execute(since).scalar_one()
    newest, done, found = _scans(connection, name)
    exposed = [one for one in read_exposures(connection, name) if not one.accepted]
    return Measured(
        region=name,
        rows=rows,
        oldest=oldest,
        holds=_holds(connection, name),
        no_progress=_no_progress(connection, name),
        gap=gap,
        scan=newest,
        scan_done=done,
        found=found,
        exposures=len(exposed),
        exposed_since=exposed[0].since if exposed else None,
    )


def _is(state: str, now: int) -> list[ColumnElement[bool]]:
    if state == PARKED:
        return [outbox.c.state == PENDING, outbox.c.due_time > now + PARKED_MS]
    soon = [outbox.c.due_time <= now + PARKED_MS] if state == PENDING else []
    return [outbox.c.state == state, *soon]


def _holds(connection: Connection, name: str) -> int:
    """Rows that mode plan holds wait for nobody, and have no line in the ledger."""
    held = (
        select(outbox.c.id)
        .where(outbox.c.region == name, outbox.c.state == "held")
        .limit(COUNTED_MAX)
        .subquery()
    )
    query = (
        select(func.count())
        .select_from(held)
        .join(hold, hold.c.outbox_id == held.c.id)
        .where(hold.c.decision.is_(None))
    )
    return int(connection.execute(query).scalar_one())


def _no_progress(connection: Connection, name: str) -> int:
    stopped = select(futile.c.outbox_id).where(
        futile.c.region == name, futile.c.times >= TRIES_WITHOUT_EFFECT
    )
    some = stopped.limit(COUNTED_MAX).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def _scans(connection: Connection, name: str) -> tuple[str | None, int | None, dict[Outcome, int]]:
    query = select(scan).where(scan.c.region == name).order_by(scan.c.id.desc()).limit(SCANS_SEEN)
    seen = connection.execute(query).mappings().all()
    first_due = select(watermark.c.value).where(watermark.c.name == f"scan/{name}")
    done = next((row["ended_time"] for row in seen if row["state"] == DONE), None)
    if done is None:
        done = connection.execute(first_due).scalar_one_or_none()
    if not seen:
        return None, done, {}
    found = {one: int(seen[0][column]) for one, column in COUNTS.items()}
    return str(seen[0]["state"]), done, found
