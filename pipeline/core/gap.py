"""Which rows of a region's event log came over its bus, and which the bus lost.

In: events of both sides as `Trace`s, and the time as an argument. Out: the rows that were lost. Pure; called
by the gap fill.

The bus carries no event id (cloudstack.md), so the two sides are matched by what both tell: type, entity and
second, as a multiset. CloudStack takes the time for the log and for the bus one after the other, so a second
may differ by one. A row is not judged before a grace is over, counted from when *we* saw it, so that no clock
is compared with another: under a RabbitMQ alarm an event comes up to 41 s late (cloudstack.md).

What can't be told apart: a message that a bridge relayed twice stands for two rows of one entity, type and
second. A moved user's rows show another UUID than the bus did (recording user.move): such a row costs a hint
that finds nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.core.entities import Kind
from pipeline.core.events import HINT, Event, changes_nothing, known

SECOND_MS: Final = 1000
NEAR_MS: Final = (0, -SECOND_MS, SECOND_MS)
"""Where a row's message may be, seen from the row: the same second first."""
ROWS_MAX: Final = 20_000
"""Rows that wait for their message; the log keeps what is beyond that."""
HEARD_MAX: Final = 100_000
"""Messages that wait for their row; beyond that the oldest are forgotten, and cost a needless hint each."""
SILENT_AFTER: Final = 5
"""So many rows one after the other without any message since: the bus is silent. One or two may be lost."""


class Trace(NamedTuple):
    """What both sides tell of one event; `time` in milliseconds, whole seconds."""

    type: str
    kind: Kind
    uuid: str
    time: int


@dataclass(frozen=True, slots=True)
class Own:
    """The sync's own user: its UUID (the bus names callers so), its name and its account's (the log does)."""

    uuid: str
    name: str
    account: str

    def caused(self, event: Event) -> bool:
        if event.actor:
            return event.actor == self.uuid
        return (event.actor_name, event.actor_account) == (self.name, self.account)


def trace(event: Event, own: Own) -> Trace | None:
    """What has to be on both sides; None for what nobody misses: announcements, log-ins, types that are not
    known, events that name no entity, hints, and what the sync did itself."""
    if event.type == HINT or not known(event) or changes_nothing(event):
        return None
    if event.uuid is None or own.caused(event):
        return None
    return Trace(event.type, event.kind, event.uuid, event.time)


@dataclass(frozen=True, slots=True)
class Logged:
    """One row of the event log: its id, its trace, and the message that the bus would have had of it."""

    id: str
    trace: Trace
    routing_key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """A row without a message, and when it was first seen (milliseconds, our clock)."""

    row: Logged
    seen_at: int


class Matcher:
    """Remembers what waits for its other side. Times in milliseconds."""

    def __init__(self, grace: int, rows_max: int = ROWS_MAX, heard_max: int = HEARD_MAX) -> None:
        self._grace = grace
        self._rows_max = rows_max
        self._heard_max = heard_max
        self._rows: dict[str, Lost] = {}  # each would be lost if its grace were over
        self._heard: Counter[Trace] = Counter()
        self._filled: dict[str, int] = {}

    @property
    def full(self) -> bool:
        """No row may be added before some were judged."""
        return len(self._rows) >= self._rows_max

    @property
    def oldest(self) -> int | None:
        """The time of the oldest row that is not judged yet."""
        return min((one.row.trace.time for one in self._rows.values()), default=None)

    def logged(self, row: Logged, now: int) -> None:
        """The log has this row. What it showed first counts: a user's move changes what it shows later."""
        self._rows.setdefault(row.id, Lost(row, now))

    def heard(self, message: Trace) -> None:
        """The bus had this message."""
        self._heard[message] += 1
        if len(self._heard) > self._heard_max:
            del self._heard[next(iter(self._heard))]

    def filled(self, row_id: str, time: int) -> None:
        """This row was found lost before, perhaps by another process, and is filled."""
        self._filled[row_id] = time
        if len(self._filled) > self._heard_max:
            del self._filled[next(iter(self._filled))]

    def judge(self, now: int) -> list[Lost]:
        """The rows that are lost, oldest first, each once. To be called after the bus was read to where it
        ended at `now` or later. What was first seen later than `now` (our clock was set back) has its grace
        from now on."""
        self._rows = {
            row_id: one if one.seen_at <= now else Lost(one.row, now) for row_id, one in self._rows.items()
        }
        self._settle(lambda _: True, NEAR_MS[:1])
        self._settle(lambda one: one.seen_at + self._grace <= now, NEAR_MS)
        lost = [one for one in self._rows.values() if one.seen_at + self._grace <= now]
        for one in lost:
            del self._rows[one.row.id]
        return sorted(lost, key=lambda one: one.row.trace.time)

    def forget(self, before: int) -> None:
        """No row older than this will come any more."""
        limit = before - SECOND_MS
        self._heard = Counter({one: count for one, count in self._heard.items() if one.time >= limit})
        self._filled = {row_id: time for row_id, time in self._filled.items() if time >= limit}

    def _settle(self, chosen: Callable[[Lost], bool], near: tuple[int, ...]) -> None:
        """Take away the chosen rows that were filled or whose message is near."""
        settled = [
            row_id
            for row_id, one in self._rows.items()
            if chosen(one) and (row_id in self._filled or self._take(one.row.trace, near))
        ]
        for row_id in settled:
            del self._rows[row_id]

    def _take(self, row: Trace, near: tuple[int, ...]) -> bool:
        """Use up the row's message, where there is one."""
        for distance in near:
            message = row._replace(time=row.time + distance)
            left = self._heard.get(message, 0)
            if left:
                if left > 1:
                    self._heard[message] = left - 1
                else:
                    del self._heard[message]
                return True
        return False


class Silence:
    """Tells a bus that says nothing at all from one that loses some: the log moves, the bus does not. All
    times are the region's own, of events, in milliseconds."""

    def __init__(self, since: int | None = None) -> None:
        """`since`: when it fell silent, as far as an earlier process knew."""
        self.since = since
        self._lost: list[int] = []
        self._spoke = 0

    def heard(self, time: int) -> None:
        """The bus told something, whatever it was, that happened then."""
        self._spoke = max(self._spoke, time)
        self._lost = [one for one in self._lost if one > self._spoke]
        if self.since is not None and time > self.since:
            self.since = None

    def lost(self, time: int) -> None:
        """It did not tell what happened then. That it told something later says that it is not silent."""
        if time <= self._spoke or self.since is not None:
            return
        self._lost.append(time)
        if len(self._lost) >= SILENT_AFTER:
            self.since, self._lost = min(self._lost), []
