"""A region's own event log as a source, for regions without a bus: asked again and again by `listEvents`.

In: rows of listEvents (an injected reader), and from when to read (an injected `Watermark`). Out: the same
messages as the bus would have carried, by `Relay.take`. Called by `bridge`. Runs on asyncio, on one task.

The watermark moves only over rows that Kafka has, and stays `overlap_s` behind: rows tell whole seconds, and
a second may still grow. What is read twice for that is told apart by the row's id.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from bridges.relay import Clock, Counters, Relay, Sink
from bridges.rows import Position, Row, concerns_us, message
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.core.retry import Backoff

EventReader = Callable[[int], AsyncIterator[Row]]
"""All rows from a time (milliseconds, inclusive) on, oldest first. Raises TemporaryError, PermanentError."""

OpenLog = Callable[[], AbstractAsyncContextManager[EventReader]]
"""Opens the way to one region's event log, inside the loop that uses it."""

OTHER_KIND: Final = "of another kind"
_ROOM_EVERY: Final = 100
_REPORTS_EVERY_S: Final = 0.02
_ROOM_LATER_S: Final = 0.2
_SAVE_EVERY_MS: Final = 5000

log = logging.getLogger(__name__)


class Watermark(Protocol):
    """Where it is remembered from when to read (milliseconds). Raises TemporaryError."""

    def load(self) -> int | None:
        """The last saved; None when there never was one."""

    def save(self, ms: int) -> None: ...


class Backlog(Protocol):
    """What Kafka holds that the region's worker has not read: bounded where Kafka forgets (embedded)."""

    def has_room(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How one region's event log is followed. Times in seconds.

    `first_lookback_s`: how far back the very first read goes, without a watermark; generous, since the
    region's clock may be behind ours. `in_flight`: rows handed to Kafka and not reported.
    """

    region: str
    poll_interval_s: float = 1.0
    overlap_s: float = 30.0
    first_lookback_s: float = 600.0
    in_flight: int = 5000
    drain_limit_s: float = 10.0


class EventLogSource:
    """Follows one region's event log until `stop`. One use only."""

    def __init__(self, settings: LogSettings, relay: Relay, sink: Sink, counters: Counters) -> None:
        self._settings = settings
        self._relay = relay
        self._sink = sink
        self._counters = counters
        self._backoff = Backoff(first_s=0.5, cap_s=30.0)
        self._failures = 0
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Take nothing new; `run` ends when Kafka has what is under way, or `drain_limit_s` is over."""
        self._stop.set()

    async def run(
        self, open_log: OpenLog, watermark: Watermark | None, backlog: Backlog | None, clock: Clock
    ) -> None:
        """Read, relay, wait for Kafka, move the watermark; for ever. Raises `BrokenSink`."""
        async with open_log() as read:
            saved = await self._load(watermark)
            first = clock() - int(self._settings.first_lookback_s * 1000)
            position = Position(first if saved is None else saved, int(self._settings.overlap_s * 1000))
            while not self._stop.is_set():
                began = _monotonic()
                if not await self._tried(self._unless_stopped(self._read(read, position, backlog))):
                    continue
                self._reached()
                if await self._delivered():
                    position.advance(began, clock())
                    saved = await self._save(watermark, position.since, saved)
                    await self._pause(self._settings.poll_interval_s)
            await self._drain()
            await self._save(watermark, position.since, None)

    async def _unless_stopped(self, reading: Coroutine[None, None, None]) -> None:
        """A region that does not answer must not hold up a stop: what is cut off here is read again."""
        task, stop = asyncio.ensure_future(reading), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    async def _read(self, read: EventReader, position: Position, backlog: Backlog | None) -> None:
        """One whole read, row by row: nothing of a long log is held here."""
        taken = 0
        async for row in read(position.since):
            if self._stop.is_set():
                return
            if not position.is_new(row, _monotonic()):
                continue
            if taken % _ROOM_EVERY == 0:
                await self._room(backlog)
            taken += 1
            if concerns_us(row):
                self._relay.take(*message(row), _nothing)
            else:
                self._counters.dropped[OTHER_KIND] += 1

    async def _room(self, backlog: Backlog | None) -> None:
        """Wait until Kafka has taken enough, and its readers have read enough, for some more."""
        self._sink.poll()
        while self._sink.waiting >= self._settings.in_flight and not self._stop.is_set():
            await self._pause(_REPORTS_EVERY_S)
        while backlog is not None and not self._stop.is_set():
            if await asyncio.to_thread(backlog.has_room):
                return
            await self._pause(_ROOM_LATER_S)

    async def _delivered(self) -> bool:
        """Wait until Kafka has all; False when stopped before."""
        while self._sink.waiting:
            if self._stop.is_set():
                return False
            await self._pause(_REPORTS_EVERY_S)
        return not self._stop.is_set()

    async def _drain(self) -> None:
        deadline = _monotonic() + int(self._settings.drain_limit_s * 1000)
        while self._sink.waiting and _monotonic() < deadline:
            self._sink.poll()
            await asyncio.sleep(_REPORTS_EVERY_S)

    async def _tried(self, attempt: Awaitable[None]) -> bool:
        """False after a failure, which is waited over; the region's first is told, and its recovery."""
        region = self._settings.region
        try:
            await attempt
        except (TemporaryError, PermanentError) as error:
            self._failures += 1
            self._counters.connected = False
            if self._failures == 1:
                log.warning("event log of %s cannot be followed, trying for ever: %s", region, error)
            asked = error.after_s if isinstance(error, TemporaryError) else None
            await self._pause(self._backoff.delay(self._failures, random.random(), asked))
            return False
        return True

    def _reached(self) -> None:
        if not self._counters.connected:
            if self._failures:
                self._counters.reconnects += 1
            tries = f" after {self._failures} failed tries" if self._failures else ""
            log.info("following the event log of %s%s", self._settings.region, tries)
        self._failures = 0
        self._counters.connected = True

    async def _load(self, watermark: Watermark | None) -> int | None:
        found: list[int | None] = []

        async def attempt() -> None:
            found.append(None if watermark is None else await asyncio.to_thread(watermark.load))

        while not found and not self._stop.is_set():
            await self._tried(attempt())
        return found[0] if found else None

    async def _save(self, watermark: Watermark | None, since: int, saved: int | None) -> int | None:
        """Not at each step: a crash reads some seconds more again."""
        if watermark is None or (saved is not None and since - saved < _SAVE_EVERY_MS):
            return saved
        try:
            await asyncio.to_thread(watermark.save, since)
        except TemporaryError as error:
            log.warning("the watermark of %s cannot be saved now: %s", self._settings.region, error)
            return saved
        return since

    async def _pause(self, seconds: float) -> None:
        """Wait, hearing Kafka's reports; a stop ends it at once."""
        self._sink.poll()
        self._counters.unacked = self._sink.waiting
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            self._sink.poll()


def _monotonic() -> int:
    return time.monotonic_ns() // 1_000_000


def _nothing() -> None:
    """The log needs no acknowledgement: its watermark waits for the sink as a whole."""
