"""How every region stands, for all regions at once: a number of queries that does not grow with regions or
rows.

In: the time. Out: one `Standing` a region. Called by the views' page of regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from sqlalchemy import Connection, Engine, and_, case, func, select

from pipeline.outbox.engine import reading
from pipeline.outbox.gaps import GapRow
from pipeline.outbox.mappings import OPEN
from pipeline.outbox.pulses import Pulse, read_pulses
from pipeline.outbox.schema import conflict, dead_letter, gap, hold, outbox, proof, region, scan

HOUR_MS: Final = 3_600_000
STEPS: Final = 12
DAY_MS: Final = 24 * HOUR_MS
STEP_MS: Final = HOUR_MS // STEPS
ENDS: Final = ("delivered", "dead")
HELD: Final = "held"
SHOWN: Final = (*ENDS, HELD)
"""What is shown of the last hour."""


@dataclass(frozen=True, slots=True)
class Proven:
    """The last look at whether all regions are equal. `since`: the first look that said so without another
    answer since."""

    equal: bool
    since: int
    time: int
    differences: int


@dataclass(frozen=True, slots=True)
class LastScan:
    """The newest full scan."""

    id: int
    state: str
    started_time: int
    ended_time: int | None
    equal: int
    different: int
    missing: int
    suspended: str | None


@dataclass(slots=True)
class Standing:
    """One region. `states`: outbox rows by state. `hour`: state → rows that ended so in each step of
    `STEP_MS` of the last hour, the oldest first. `last_delivered`: within that hour, in ms. `pulses`: its
    workers', the last heard of first."""

    region: str
    active: bool = False
    mode: str = ""
    is_master: bool = False
    host: str = ""
    states: dict[str, int] = field(default_factory=dict)
    oldest_open: int | None = None
    hour: dict[str, list[int]] = field(default_factory=lambda: {state: [0] * STEPS for state in SHOWN})
    last_delivered: int | None = None
    gap: GapRow | None = None
    scan: LastScan | None = None
    proof: Proven | None = None
    holds: int = 0
    violations: int = 0
    pulses: list[Pulse] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        """Whether anything there is not at its end."""
        return any(state not in ("delivered", "superseded") for state in self.states)


@dataclass(frozen=True, slots=True)
class Overview:
    """All regions, and what belongs to none. The counts of what has a page of its own."""

    regions: tuple[Standing, ...]
    conflicts: int
    dead_letters: int


def overview(engine: Engine, now: int, modes: Mapping[str, str]) -> Overview:
    """`modes`: the settings' regions; one that left them is told of while something waits there. Raises
    `TemporaryError`."""
    with reading(engine) as connection:
        found = _regions(connection, modes)
        _states(connection, found)
        for name in [name for name, one in found.items() if name not in modes and not one.waits]:
            del found[name]
        for read in (_oldest, _gaps, _scans, _proofs, _holds, _pulses):
            read(connection, found)
        _hour(connection, found, now)
        _held(connection, found, now)
        _violations(connection, found, now)
        lost = connection.execute(select(func.count()).select_from(conflict)).scalar_one()
        unread = connection.execute(select(func.count()).select_from(dead_letter)).scalar_one()
    return Overview(tuple(found.values()), lost, unread)


Found = dict[str, Standing]


def _regions(connection: Connection, modes: Mapping[str, str]) -> Found:
    """As the running processes have them; the settings' own, where none has started yet."""
    found = {name: Standing(name, mode=mode) for name, mode in modes.items()}
    for row in connection.execute(select(region).order_by(region.c.name)).mappings():
        name = row["name"]
        found[name] = Standing(name, row["active"], row["mode"], row["is_master"], row["host"])
    return found


def _states(connection: Connection, found: Found) -> None:
    query = select(outbox.c.region, outbox.c.state, func.count()).group_by(outbox.c.region, outbox.c.state)
    for name, state, number in connection.execute(query):
        found.setdefault(name, Standing(name)).states[state] = number


def _oldest(connection: Connection, found: Found) -> None:
    query = (
        select(outbox.c.region, func.min(outbox.c.created_time))
        .where(outbox.c.state.in_(OPEN))
        .group_by(outbox.c.region)
    )
    for name, time in connection.execute(query):
        if name in found:
            found[name].oldest_open = time


def _hour(connection: Connection, found: Found, now: int) -> None:
    began = now - HOUR_MS
    step = (outbox.c.processed_time - began) // STEP_MS
    query = (
        select(outbox.c.region, outbox.c.state, step, func.count(), func.max(outbox.c.processed_time))
        .where(outbox.c.processed_time > began)
        .group_by(step, outbox.c.region, outbox.c.state)  # in no index's order, which would be taken instead
    )
    for name, state, at, number, last in connection.execute(query):
        if name not in found or state not in ENDS:
            continue
        here = found[name]
        here.hour[state][min(STEPS - 1, int(at))] += number
        if state == "delivered":
            here.last_delivered = max(last, here.last_delivered or 0)


def _held(connection: Connection, found: Found, now: int) -> None:
    """Removals that became a person's business: their rows are not processed yet."""
    began = now - HOUR_MS
    step = (hold.c.created_time - began) // STEP_MS
    query = select(hold.c.region, step, func.count()).where(hold.c.created_time > began)
    for name, at, number in connection.execute(query.group_by(hold.c.region, step)):
        if name in found:
            found[name].hour[HELD][min(STEPS - 1, int(at))] += number


def _violations(connection: Connection, found: Found, now: int) -> None:
    """Of the last day."""
    query = select(conflict.c.lost_region, func.count()).where(conflict.c.reason.is_not(None))
    query = query.where(conflict.c.lost_region.in_(list(found)), conflict.c.time > now - DAY_MS)
    for name, number in connection.execute(query.group_by(conflict.c.lost_region)):
        found[name].violations = number


def _pulses(connection: Connection, found: Found) -> None:
    for one in read_pulses(connection):
        if one.region in found:
            found[one.region].pulses.append(one)


def _gaps(connection: Connection, found: Found) -> None:
    for row in connection.execute(select(*(gap.c[one.name] for one in fields(GapRow)))).mappings():
        if row["region"] in found:
            found[row["region"]].gap = GapRow(**row)


def _scans(connection: Connection, found: Found) -> None:
    newest = select(func.max(scan.c.id)).group_by(scan.c.region)
    columns = (scan.c[one.name] for one in fields(LastScan))
    for row in connection.execute(select(scan.c.region, *columns).where(scan.c.id.in_(newest))).mappings():
        values: dict[str, Any] = dict(row)
        here = found.get(values.pop("region"))
        if here is not None:
            here.scan = LastScan(**values)


def _proofs(connection: Connection, found: Found) -> None:
    """The newest answer of each region, and the first one since the other answer."""
    last = (
        select(
            proof.c.region,
            func.max(proof.c.time).label("newest"),
            func.max(case((proof.c.equal.is_(True), proof.c.time))).label("equal"),
            func.max(case((proof.c.equal.is_(False), proof.c.time))).label("unequal"),
        )
        .group_by(proof.c.region)
        .subquery()
    )
    other = case(
        (last.c.newest == last.c.equal, last.c.unequal), else_=last.c.equal
    )  # when the other answer was given last
    query = (
        select(
            proof.c.region,
            func.min(proof.c.time).label("since"),
            func.max(last.c.newest).label("newest"),
            func.max(last.c.equal).label("equal"),
            func.max(case((proof.c.time == last.c.newest, proof.c.differences), else_=0)).label(
                "differences"
            ),
        )
        .join(last, and_(last.c.region == proof.c.region, proof.c.time > func.coalesce(other, -1)))
        .group_by(proof.c.region)
    )
    for row in connection.execute(query):
        if row.region in found:
            equal = row.newest == row.equal
            found[row.region].proof = Proven(equal, row.since, row.newest, row.differences)


def _holds(connection: Connection, found: Found) -> None:
    """Removals that wait for a person: held, or in quarantine."""
    waits = and_(
        hold.c.decision.is_(None),
        (outbox.c.state == "held") | and_(outbox.c.state.in_(OPEN), hold.c.until.is_not(None)),
    )
    query = (
        select(hold.c.region, func.count())
        .join(outbox, outbox.c.id == hold.c.outbox_id)
        .where(waits)
        .group_by(hold.c.region)
    )
    for name, number in connection.execute(query):
        if name in found:
            found[name].holds = number
