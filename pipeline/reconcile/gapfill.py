"""Tells in its place what a region's bus lost: reads the region's event log beside the bus, and passes on
each row that the bus never told, as the bus would have told it.

In: the log, the bus as it lies in Kafka, and a mark up to where both were compared. Out: messages on
`events.<region>` with the source `gap-fill`; counts, the bus's silence and the need of a scan in the
database. Called by the region's worker, in one process of a region at a time (`alone`). asyncio, no Faust.
What is lost is decided in `pipeline.core.gap`.

It knows nothing of bridges: every few seconds it compares, so what was lost while a bridge was away is told
soon after, whether that one is back or not. The mark moves only over rows that were judged, after Kafka has
what was lost of them. What a dead process had passed on is known by the row's id in the message's header.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from bridges.rows import Position, Row, message
from pipeline.agents.publish import Message
from pipeline.core import topics
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.core.events import Unreadable, parse_event
from pipeline.core.gap import ROWS_MAX, Logged, Lost, Matcher, Own, Silence, trace
from pipeline.core.retry import Backoff
from pipeline.outbox.gaps import GapRow
from pipeline.reconcile.bus import Told

SOURCE: Final = "gap-fill"
BUS: Final = b"amqp"
"""The source of what came over the bus."""
TOLD: Final = frozenset({BUS, b"eventlog"})
"""Sources of what need not be told again: a region may have had its event log as the source for a while."""

OVERLAP_MS: Final = 30_000
"""How far behind the newest row each read begins: a row may appear after newer ones."""
QUIET_MS: Final = 3_600_000
"""No row appears in the log so late, nor do clocks differ so much: where the log is quiet the mark follows so
far behind the region's clock."""
FIRST_LOOKBACK_MS: Final = 5_000
"""Without a mark: what happened before the first start is for a scan; clocks are told in whole seconds."""
BUS_EARLIER_MS: Final = 300_000
"""How much earlier than the mark the topic is read: clocks differ, a message may be older than its row."""
SAVE_EVERY_MS: Final = 5_000
PUBLISHED_AT_ONCE: Final = 500
BACKOFF: Final = Backoff(first_s=0.5, cap_s=30.0)

log = logging.getLogger(__name__)


class Bus(Protocol):
    """The region's topic (`pipeline.reconcile.bus`). Raises `TemporaryError`."""

    def start(self, since: int | None) -> None: ...

    def mark_end(self) -> None: ...

    def batch(self) -> list[Told]: ...


class Mark(Protocol):
    """Where it is kept how far log and bus were compared (milliseconds, the region's clock)."""

    def load(self) -> int | None: ...

    def save(self, ms: int) -> None: ...


class Ledger(Protocol):
    """Where it is kept what was found (`pipeline.outbox.gaps`). Raises `TemporaryError`."""

    def row(self) -> GapRow: ...

    def count(self, number: int, newest: int) -> None: ...

    def silent(self, since: int | None) -> None: ...

    def need_scan(self, since: int) -> None: ...


@dataclass(frozen=True, slots=True)
class FillSettings:
    """`began`: when this process began, milliseconds of our clock. `forgets`: Kafka forgets (it is embedded),
    and so has nothing from before its start."""

    region: str
    interval_s: float
    grace_s: float
    began: int
    forgets: bool = False
    rows_max: int = ROWS_MAX


@dataclass(frozen=True, slots=True)
class Means:
    """What the gap fill works with. `horizon`: how long the log keeps a row, None for ever; `skew`: the
    region's clock minus ours. Times in milliseconds."""

    read_log: Callable[[int], AsyncIterator[Row]]
    horizon: Callable[[], Awaitable[int | None]]
    bus: Bus
    publish: Callable[[Sequence[Message]], Awaitable[None]]
    mark: Mark
    ledger: Ledger
    own: Own
    skew: Callable[[], int]
    clock: Callable[[], int]


@dataclass(slots=True)
class _State:
    """What one run has learned: where in the log it is, and what waits for its other side."""

    position: Position
    matcher: Matcher
    silence: Silence
    horizon: int | None
    saved: int
    silent_since: int | None
    uncounted: int = 0
    newest: int = 0
    unfilled: list[Lost] = field(default_factory=list)

    def judged_up_to(self) -> int:
        """Every row before this is judged, and filled where it was lost."""
        waiting = [one.row.trace.time for one in self.unfilled[:1]]
        oldest = self.matcher.oldest
        return min([self.position.since, *waiting, *([] if oldest is None else [oldest])])


class GapFill:
    """One region's, for one run of `run`."""

    def __init__(self, settings: FillSettings, means: Means) -> None:
        self._settings = settings
        self._means = means
        self._state: _State | None = None
        self._failures = 0

    async def run(self) -> None:
        """For ever; what fails for a while is tried again. Raises what is unknown."""
        while True:
            try:
                await self.cycle()
                pause_s = self._settings.interval_s
                if self._failures:
                    log.info("%s: the gap fill works again", self._settings.region)
                self._failures = 0
            except (TemporaryError, PermanentError) as error:
                self._failures += 1
                if self._failures == 1:
                    log.warning("%s: no gap fill now, trying for ever: %s", self._settings.region, error)
                asked_s = error.after_s if isinstance(error, TemporaryError) else None
                pause_s = BACKOFF.delay(self._failures, random.random(), asked_s)
            await asyncio.sleep(pause_s)

    async def cycle(self) -> None:
        """Compare once, and tell what is lost. Raises `TemporaryError` or `PermanentError`; what was found
        until then is not lost by that."""
        if self._state is None:
            self._state = await self._start()
        state = self._state
        await self._check_horizon(state)
        await self._fill(state)  # what could not be told the last time
        now = self._means.clock()
        await self._read_log(state, now)
        await self._read_bus(state)
        state.unfilled = state.matcher.judge(now)
        began = self._settings.began + self._means.skew()
        for one in state.unfilled:
            if one.row.trace.time >= began:  # of what was before, a Kafka that forgets has nothing
                state.silence.lost(one.row.trace.time)
        await self._fill(state)
        await self._report_silence(state)
        reached = state.judged_up_to()
        if reached - state.saved >= SAVE_EVERY_MS:
            await asyncio.to_thread(self._means.mark.save, reached)
            state.saved = reached
            state.matcher.forget(reached)

    async def _start(self) -> _State:
        means = self._means
        kept = await asyncio.to_thread(means.ledger.row)
        horizon = await means.horizon()
        since = await asyncio.to_thread(means.mark.load)
        if since is None:
            since = (self._settings.began + means.skew() - FIRST_LOOKBACK_MS) // 1000 * 1000
            # At once: a process that dies before it has compared anything leaves its beginning to the next.
            await asyncio.to_thread(means.mark.save, since)
        earlier = None if self._settings.forgets else since - means.skew() - BUS_EARLIER_MS
        await asyncio.to_thread(means.bus.start, earlier)
        log.info("%s: filling the gaps of its bus", self._settings.region)
        matcher = Matcher(int(self._settings.grace_s * 1000), self._settings.rows_max)
        position, silent = Position(since, OVERLAP_MS), kept.silent_since
        return _State(position, matcher, Silence(silent), horizon, since, silent)

    async def _check_horizon(self, state: _State) -> None:
        """What is older than the log's own horizon nobody can tell any more."""
        if state.horizon is None:
            return
        reaches = (self._means.clock() + self._means.skew() - state.horizon) // 1000 * 1000
        if state.position.since >= reaches:
            return
        log.warning(
            "%s: its event log no longer has all that its bus may have lost: a full scan is needed",
            self._settings.region,
        )
        await asyncio.to_thread(self._means.ledger.need_scan, state.position.since)
        state.position.since = reaches

    async def _read_log(self, state: _State, now: int) -> None:
        """What is new in the log, as much of it as may wait."""
        began, position = _monotonic(), state.position
        async for row in self._means.read_log(position.since):
            if state.matcher.full:
                position.advance(0, self._means.clock() + self._means.skew())  # as far as it was read
                return
            if position.is_new(row, _monotonic()):
                self._log_row(state, row, now)
        region_now = self._means.clock() + self._means.skew()  # right after its answer: ours may jump
        position.advance(began, region_now)
        position.since = max(position.since, (region_now - QUIET_MS) // 1000 * 1000)

    def _log_row(self, state: _State, row: Row, now: int) -> None:
        routing_key, body = message(row)
        try:
            told = trace(parse_event(body), self._means.own)
        except Unreadable:  # of another kind
            return
        if told is not None:
            state.matcher.logged(Logged(str(row.get("id")), told, routing_key, body), now)

    async def _read_bus(self, state: _State) -> None:
        """To its end as it is now."""
        await asyncio.to_thread(self._means.bus.mark_end)
        while batch := await asyncio.to_thread(self._means.bus.batch):
            for told in batch:
                self._hear(state, told)

    def _hear(self, state: _State, told: Told) -> None:
        source = told.headers.get(topics.HEADER_SOURCE)
        row_id = told.headers.get(topics.HEADER_ROW)
        try:
            event = parse_event(told.value)
        except Unreadable:
            return
        if source == BUS:
            state.silence.heard(event.time)
        if source in TOLD:
            heard = trace(event, self._means.own)
            if heard is not None:
                state.matcher.heard(heard)
        elif row_id is not None:
            state.matcher.filled(row_id.decode(errors="replace"), event.time)

    async def _fill(self, state: _State) -> None:
        """What is lost is told now, oldest first; it is counted after Kafka has it."""
        while state.unfilled:
            chosen = state.unfilled[:PUBLISHED_AT_ONCE]
            await self._means.publish([self._message(one.row) for one in chosen])
            del state.unfilled[: len(chosen)]
            state.uncounted += len(chosen)
            state.newest = max(state.newest, chosen[-1].row.trace.time)
            log.info("%s: %d events that its bus lost are told now", self._settings.region, len(chosen))
        if state.uncounted:
            await asyncio.to_thread(self._means.ledger.count, state.uncounted, state.newest)
            state.uncounted = 0

    def _message(self, row: Logged) -> Message:
        headers = {
            topics.HEADER_REGION: self._settings.region,
            topics.HEADER_SOURCE: SOURCE,
            topics.HEADER_ROUTING_KEY: row.routing_key,
            topics.HEADER_ROW: row.id,
        }
        return Message(topics.events(self._settings.region), row.trace.uuid.encode(), row.body, headers)

    async def _report_silence(self, state: _State) -> None:
        """Once when it begins, once when it ends; after that it is in the database."""
        if state.silent_since == state.silence.since:
            return
        await asyncio.to_thread(self._means.ledger.silent, state.silence.since)
        state.silent_since = state.silence.since
        if state.silence.since is None:
            log.info("%s: its bus speaks again", self._settings.region)
        else:
            log.warning(
                "%s: its event log moves and its bus says nothing. Does the bus's bean lie in "
                "META-INF/cloudstack/event, and is the exchange the configured one?",
                self._settings.region,
            )


def _monotonic() -> int:
    return time.monotonic_ns() // 1_000_000
