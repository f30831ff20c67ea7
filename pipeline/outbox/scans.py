"""What a full scan of a region remembers: that it runs, how far it has come, what it found, and what the
region is known to hold.

In: pages as they were compared. Out: the pages that are done, for whoever goes on after a crash; what is
known of listed entities; what is known to be there, and what should be and is not. Called by
`pipeline.reconcile`, in threads; every method is one transaction and may be run again. Of several owners one
scans: the row of a scan that is not over carries the region's name in `lease`, which is unique, and an owner
that is silent for `LEASE_MS` has lost it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from pipeline.core.compare import DIGEST_BYTES, Held, Outcome
from pipeline.core.entities import Kind
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.outbox.confirmed import read_held
from pipeline.outbox.engine import reading, writing
from pipeline.outbox.gaps import scan_needed, scanned
from pipeline.outbox.presence import Absent, read_absent, read_known, read_present
from pipeline.outbox.schema import MESSAGE_MAX, scan, scan_page, watermark
from pipeline.outbox.standstill import Standstill
from pipeline.outbox.statements import cut, insert_new

LEASE_MS: Final = 60_000
"""An owner that says nothing for so long is dead."""
RESUME_MS: Final = 3_600_000
"""What was listed longer ago than this is listed again: by then it says little about what is missing now."""
NEEDED_AGAIN_MS: Final = 600_000
"""How soon, and how often, a scan is tried that the gap fill needs."""

RUNNING: Final = "running"
DONE: Final = "done"
SUSPENDED: Final = "suspended"
ABANDONED: Final = "abandoned"

COUNTS: Final[Mapping[Outcome, str]] = {one: one.value.replace(" ", "_") for one in Outcome}
"""The columns that count outcomes."""


class ScanRunning(TemporaryError):
    """Another process scans this region just now."""


class ScanLost(PermanentError):
    """Another process has taken this scan over, since its owner was silent for too long."""


@dataclass(frozen=True, slots=True)
class ScanRow:
    """One scan as the table has it. `ms`: how long it was at work; `suspended`: why nothing was concluded
    about what is missing."""

    id: int
    region: str
    state: str
    started_time: int
    ended_time: int | None
    calls: int
    ms: int
    counts: dict[Outcome, int]
    suspended: str | None

    @property
    def entities(self) -> int:
        """How many were listed."""
        return sum(n for one, n in self.counts.items() if one is not Outcome.MISSING)


@dataclass(frozen=True, slots=True)
class PageDone:
    """One page, compared and hinted at. `total`: of the kind, as the region said with it; `digests`: of the
    UUIDs that it listed."""

    kind: Kind
    page: int
    total: int
    digests: tuple[bytes, ...]
    counts: Mapping[Outcome, int]
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Running:
    """A scan that is ours. `pages`: what was done before, (kind, page) → total of the kind."""

    id: int
    owner: str
    started_time: int
    pages: dict[tuple[Kind, int], int]


class ScanStore:
    """One region's scans. Every method raises `TemporaryError` for what passes by itself."""

    def __init__(self, engine: Engine, region: str, clock: Callable[[], int]) -> None:
        self._engine = engine
        self.region = region
        self._clock = clock
        self._standstill = Standstill()

    def begin(self, owner: str) -> Running:
        """A new scan, or the one that a dead owner left. Raises `ScanRunning`."""
        now = self._clock()
        try:
            with writing(self._engine) as connection:
                left = self._left(connection, now)
                number, started = left or (self._new(connection, owner, now), now)
                changed = {"owner": owner, "heartbeat_time": now}
                connection.execute(update(scan).where(scan.c.id == number).values(changed))
                pages = _pages(connection, number)
        except IntegrityError as error:
            raise ScanRunning(f"a scan of {self.region} has just begun") from error
        return Running(number, owner, started, pages)

    def beat(self, running: Running) -> None:
        """The owner lives. Raises `ScanLost`."""
        with writing(self._engine) as connection:
            self._own(connection, running, {"heartbeat_time": self._clock()})

    def page_done(self, running: Running, done: PageDone) -> None:
        """Once for each page, whatever how often it is said. Raises `ScanLost`."""
        row = {
            "scan": running.id,
            "kind": done.kind.value,
            "page": done.page,
            "total": done.total,
            "listed": len(done.digests),
            "digests": b"".join(done.digests),
        }
        with writing(self._engine) as connection:
            self._own(connection, running, {"heartbeat_time": self._clock()})
            place = and_(
                scan_page.c.scan == running.id,
                scan_page.c.kind == done.kind.value,
                scan_page.c.page == done.page,
            )
            if connection.execute(select(scan_page.c.page).where(place)).scalar_one_or_none() is not None:
                return
            insert_new(connection, scan_page, [row])
            self._own(connection, running, _added(done.counts) | {"calls": scan.c.calls + done.calls})

    def pause(self, running: Running, ms: int) -> None:
        """The owner ends early: another may go on at once."""
        with writing(self._engine) as connection:
            self._own(connection, running, {"heartbeat_time": 0, "ms": scan.c.ms + ms})

    def end(self, running: Running, missing: Mapping[Outcome, int], suspended: str | None, ms: int) -> None:
        """It is over. What it needed to go on is forgotten. Raises `ScanLost`."""
        values = {
            "state": SUSPENDED if suspended else DONE,
            "suspended": None if suspended is None else cut(suspended, MESSAGE_MAX),
            "ended_time": self._clock(),
            "lease": None,
            "ms": scan.c.ms + ms,
        }
        with writing(self._engine) as connection:
            self._own(connection, running, _added(missing) | values)
            connection.execute(delete(scan_page).where(scan_page.c.scan == running.id))
            if suspended is None:
                scanned(connection, self.region, running.started_time)

    def row(self, number: int) -> ScanRow | None:
        """One scan."""
        with reading(self._engine) as connection:
            found = connection.execute(select(scan).where(scan.c.id == number)).mappings().one_or_none()
        return None if found is None else _row(found)

    def newest(self) -> ScanRow | None:
        """The region's last scan, over or not."""
        query = select(scan).where(scan.c.region == self.region).order_by(scan.c.id.desc()).limit(1)
        with reading(self._engine) as connection:
            found = connection.execute(query).mappings().one_or_none()
        return None if found is None else _row(found)

    def due(self, interval_ms: int) -> int:
        """When the next periodic scan is to begin (ms): an interval after the last one began. The first one
        an interval after this was first asked, so that a region that is new here is not taken in by
        surprise. Soon, where the gap fill needs one; now, where a clock that ran ahead began the last one."""
        last = self.newest()
        with reading(self._engine) as connection:
            if scan_needed(connection, self.region):
                interval_ms = min(interval_ms, NEEDED_AGAIN_MS)
        now = self._clock()
        if last is not None:
            soon = last.state == RUNNING or last.started_time > now + LEASE_MS
            return min(last.started_time, now) if soon else last.started_time + interval_ms
        name = f"scan/{self.region}"
        with writing(self._engine) as connection:
            insert_new(connection, watermark, [{"name": name, "value": now, "time": now}])
            first = connection.execute(select(watermark.c.value).where(watermark.c.name == name)).scalar_one()
        return int(first) + interval_ms if first <= now + LEASE_MS else now

    def held(self, locals: Collection[str]) -> dict[str, Held]:
        """UUID here → what is known of it here; only those that are known."""
        with reading(self._engine) as connection:
            return read_held(connection, self.region, locals)

    def known(self, kind: Kind) -> int:
        """How many entities of the kind are known to be here."""
        with reading(self._engine) as connection:
            return read_known(connection, self.region, kind)

    def present(self, kind: Kind, after: str, limit: int) -> list[tuple[str, int]]:
        """(UUID here, when this was written) of entities that are known to be here, in the order of their
        UUIDs: at most `limit`, from the one after `after`."""
        with reading(self._engine) as connection:
            return read_present(connection, self.region, kind, after, limit)

    def absent(self, kind: Kind, after: str, limit: int) -> list[Absent]:
        """Entities that live and are not known to be here, in the order of their canonical UUIDs: at most
        `limit`, from the one after `after`."""
        with reading(self._engine) as connection:
            return read_absent(connection, self.region, kind, after, limit)

    def digests(self, running: Running, kind: Kind) -> set[int]:
        """Of all that was listed of the kind, as numbers: the smallest that a set can hold."""
        query = select(scan_page.c.digests).where(
            scan_page.c.scan == running.id, scan_page.c.kind == kind.value
        )
        found: set[int] = set()
        with reading(self._engine) as connection:
            for joined in connection.execute(query).scalars():
                found.update(numbers(joined))
        return found

    def _left(self, connection: Connection, now: int) -> tuple[int, int] | None:
        """The scan that a dead owner left, and when it was begun; one that is too old is given up."""
        query = select(scan).where(scan.c.lease == self.region).with_for_update()
        found = connection.execute(query).mappings().one_or_none()
        if found is None:
            return None
        silent_ms = now - found["heartbeat_time"]
        still_ms = self._standstill.lasts((found["id"], found["owner"], found["heartbeat_time"]), now)
        if max(silent_ms, still_ms) < LEASE_MS:
            raise ScanRunning(
                f"a scan of {self.region} is running: it said so {max(0, silent_ms) // 1000} s ago"
            )
        if now - found["started_time"] < RESUME_MS:
            return int(found["id"]), int(found["started_time"])
        over = {"state": ABANDONED, "lease": None, "ended_time": now}
        connection.execute(update(scan).where(scan.c.id == found["id"]).values(over))
        connection.execute(delete(scan_page).where(scan_page.c.scan == found["id"]))
        return None

    def _new(self, connection: Connection, owner: str, now: int) -> int:
        row = {
            "region": self.region,
            "lease": self.region,
            "owner": owner,
            "state": RUNNING,
            "started_time": now,
            "heartbeat_time": now,
            "calls": 0,
            "ms": 0,
        }
        row |= dict.fromkeys(COUNTS.values(), 0)
        key = connection.execute(insert(scan).values(row)).inserted_primary_key
        return int(key[0]) if key is not None else 0

    def _own(self, connection: Connection, running: Running, values: Mapping[str, Any]) -> None:
        mine = and_(scan.c.id == running.id, scan.c.owner == running.owner, scan.c.lease == self.region)
        held = connection.execute(select(scan.c.id).where(mine).with_for_update()).scalar_one_or_none()
        if held is None:
            raise ScanLost(f"the scan of {self.region} belongs to another process now")
        connection.execute(update(scan).where(scan.c.id == running.id).values(dict(values)))


def numbers(joined: bytes) -> list[int]:
    """Digests that were written one after the other."""
    starts = range(0, len(joined), DIGEST_BYTES)
    return [int.from_bytes(joined[start : start + DIGEST_BYTES], "big") for start in starts]


def _pages(connection: Connection, number: int) -> dict[tuple[Kind, int], int]:
    query = select(scan_page.c.kind, scan_page.c.page, scan_page.c.total).where(scan_page.c.scan == number)
    return {(Kind(kind), page): total for kind, page, total in connection.execute(query)}


def _added(counts: Mapping[Outcome, int]) -> dict[str, Any]:
    return {COUNTS[one]: scan.c[COUNTS[one]] + n for one, n in counts.items()}


def _row(found: Mapping[Any, Any]) -> ScanRow:
    return ScanRow(
        id=found["id"],
        region=found["region"],
        state=found["state"],
        started_time=found["started_time"],
        ended_time=found["ended_time"],
        calls=found["calls"],
        ms=found["ms"],
        counts={one: found[name] for one, name in COUNTS.items()},
        suspended=found["suspended"],
    )
