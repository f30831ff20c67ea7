"""Scans one region: lists everything, compares it with what is known, and asks for what differs to be read.

In: the way to a region, what is remembered of its scans, an owner's name. Out: a row of `scan`, and hints;
the region itself is never written to. Called by a region's worker now and then, and by `region-sync scan`.
What lives and was never seen there is told to be absent: the list has shown it, nothing is left to read.
Pages are read a few at a time and forgotten; of each entity eight bytes are remembered, for what is missing.
Everything may be cut off anywhere: whoever begins the region's next scan goes on with the pages that are not
done."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from pipeline.cloudstack.client import PAGE, PAGES_MAX
from pipeline.cloudstack.resources import Resources
from pipeline.core.compare import SHORT_SHARE, Outcome, compare, digest, too_short
from pipeline.core.entities import Kind
from pipeline.core.errors import TemporaryError
from pipeline.core.events import ABSENT, SCAN
from pipeline.core.makeshift import is_makeshift
from pipeline.core.retry import Backoff
from pipeline.outbox.scans import PageDone, Running, ScanLost, ScanRow, ScanStore, numbers
from pipeline.reconcile.asking import Asking, Entity

AT_ONCE: Final = 4
"""Pages under way: more of them hardly go faster (cloudstack.md), and the region has other things to do."""
BEAT_EVERY_S: Final = 10.0
TRIES: Final = 5
"""Of one page. After that the scan ends, and goes on later."""
PATIENCE: Final = Backoff(first_s=0.5, cap_s=10.0)
MISSING_AT_ONCE: Final = 500

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is: entities listed, and how many there are as far as the region has said."""

    listed: int
    total: int


def untold(_: Progress) -> None:
    """For whoever does not want to know."""


class Scanner:
    """Scans of one region, one after the other."""

    def __init__(
        self, resources: Resources, store: ScanStore, asking: Asking, short_share: float = SHORT_SHARE
    ) -> None:
        """`short_share`: the share of the known entities that may be missing before none is believed to
        be."""
        self._resources = resources
        self._store = store
        self._asking = asking
        self._short_share = short_share

    async def run(self, owner: str, told: Callable[[Progress], None] = untold) -> ScanRow:
        """One scan from its beginning, or from where a dead owner left it, to its end. Raises `ScanRunning`
        while another process scans, `TemporaryError` when the region or Kafka can't be reached."""
        running = await asyncio.to_thread(self._store.begin, owner)
        began = time.monotonic()
        try:
            missing, suspended = await self._alive(running, told)
            await asyncio.to_thread(self._store.end, running, missing, suspended, _ms_since(began))
        except BaseException:
            await self._pause(running, _ms_since(began))
            raise
        row = await asyncio.to_thread(self._store.row, running.id)
        assert row is not None  # noqa: S101 - rows of scans are never removed
        return row

    async def _alive(
        self, running: Running, told: Callable[[Progress], None]
    ) -> tuple[Mapping[Outcome, int], str | None]:
        """The scan, while the owner's heart beats: it stops when another one has taken it over."""
        scanning = asyncio.create_task(self._scan(running, told))
        beating = asyncio.create_task(self._beat(running))
        try:
            await asyncio.wait({scanning, beating}, return_when=asyncio.FIRST_COMPLETED)
            if not scanning.done():
                beating.result()  # it ends by an error only
            return await scanning
        finally:
            await _ended(scanning, beating)

    async def _beat(self, running: Running) -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY_S)
            try:
                await asyncio.to_thread(self._store.beat, running)
            except TemporaryError as error:
                log.warning("scan of %s: %s", self._store.region, error)

    async def _pause(self, running: Running, ms: int) -> None:
        """Whoever comes next goes on at once; where even that can't be written, when the lease has run
        out."""
        try:
            await asyncio.to_thread(self._store.pause, running, ms)
        except (TemporaryError, ScanLost) as error:
            log.info("scan of %s: left as it is: %s", self._store.region, error)

    async def _scan(
        self, running: Running, told: Callable[[Progress], None]
    ) -> tuple[Mapping[Outcome, int], str | None]:
        done = dict(running.pages)
        while todo := pages_left(done, self._resources.kinds):
            await self._read(running, deque(todo), done, told)
        missing, suspended = await self._believed(running)
        if suspended is None:
            for kind in self._resources.kinds:  # parents before children
                seen = await asyncio.to_thread(self._store.digests, running, kind)
                async for found in self._missing(running, kind, seen):
                    await self._patiently(partial(self._asking.ask, found))
                missing[Outcome.MISSING] += await self._tell_absent(kind, seen)
        return missing, suspended

    async def _read(
        self,
        running: Running,
        todo: deque[tuple[Kind, int]],
        done: dict[tuple[Kind, int], int],
        told: Callable[[Progress], None],
    ) -> None:
        """These pages, a few at a time."""

        async def drain() -> None:
            while todo:
                kind, number = todo.popleft()
                with self._resources.client.recording() as calls:
                    page = await self._patiently(partial(self._page, kind, number))
                page = replace(page, calls=len(calls))
                await asyncio.to_thread(self._store.page_done, running, page)
                done[kind, number] = page.total
                told(progress(done))

        tasks = [asyncio.create_task(drain()) for _ in range(min(AT_ONCE, len(todo)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            await _ended(*tasks)

    async def _page(self, kind: Kind, number: int) -> PageDone:
        """One page read, compared, and what differs in it asked for."""
        listed, total = await self._resources.page(kind, number)
        page = [seen for seen in listed if not is_makeshift(seen)]
        held = await asyncio.to_thread(self._store.held, [seen.uuid for seen in page])
        compared = compare(page, held)
        await self._asking.ask([(kind, seen.uuid) for seen in compared.found])
        digests = tuple(digest(seen.uuid) for seen in listed)
        return PageDone(kind, number, total, digests, compared.counts)

    async def _believed(self, running: Running) -> tuple[Counter[Outcome], str | None]:
        """How many are missing, and why nothing may be concluded from that, if so: for all kinds together,
        since a region that shows too few accounts may have cut its list of domains too."""
        counts: Counter[Outcome] = Counter()
        for kind in self._resources.kinds:
            known = await asyncio.to_thread(self._store.known, kind)
            seen = await asyncio.to_thread(self._store.digests, running, kind)
            missing = 0
            async for found in self._missing(running, kind, seen):
                missing += len(found)
            counts[Outcome.MISSING] += missing
            why = too_short(known, missing, len(seen), self._short_share)
            if why is not None:
                log.warning("scan of %s: nothing is concluded: %ss: %s", self._store.region, kind, why)
                return counts, f"{kind}s: {why}"
        return counts, None

    async def _missing(self, running: Running, kind: Kind, seen: set[int]) -> AsyncIterator[list[Entity]]:
        """What is known to be there since before the scan, was not listed, and is left alone by everybody."""
        after = ""
        while present := await asyncio.to_thread(self._store.present, kind, after, MISSING_AT_ONCE):
            after = present[-1][0]
            before = [uuid for uuid, written in present if written < running.started_time]
            absent = [uuid for uuid in before if numbers(digest(uuid))[0] not in seen]
            held = await asyncio.to_thread(self._store.held, absent) if absent else {}
            yield [(kind, uuid) for uuid in absent if uuid in held and not held[uuid].in_flight]

    async def _tell_absent(self, kind: Kind, seen: set[int]) -> int:
        """How much lives, is not known to be there, was not listed, and is left alone by everybody. Nobody
        claims that it is there, so no list is too short for lacking it. What was there once is read again:
        somebody may have removed it."""
        count, after = 0, ""
        while absent := await asyncio.to_thread(self._store.absent, kind, after, MISSING_AT_ONCE):
            after = absent[-1].canonical
            found = [one for one in absent if not one.in_flight and numbers(digest(one.local))[0] not in seen]
            for event, was_here in ((ABSENT, False), (SCAN, True)):
                asked = [(kind, one.local) for one in found if one.was_here is was_here]
                await self._patiently(partial(self._asking.ask, asked, event))
            count += len(found)
        return count

    async def _patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        attempt = 0
        while True:
            try:
                return await operation()
            except TemporaryError as error:
                attempt += 1
                if attempt >= TRIES:
                    raise
                delay = PATIENCE.delay(attempt, random.random(), error.after_s)
                log.info("scan of %s: %s; again in %.1f s", self._store.region, error, delay)
                await asyncio.sleep(delay)


def pages_left(
    done: Mapping[tuple[Kind, int], int], kinds: Sequence[Kind] = tuple(Kind)
) -> list[tuple[Kind, int]]:
    """The pages to be read, given those that were and the totals that the region said with them: first the
    first of each of the `kinds`, parents before children."""
    first = [(kind, 1) for kind in kinds if (kind, 1) not in done]
    return first or [
        (kind, number)
        for kind, total in _totals(done).items()
        for number in range(2, min(-(-total // PAGE), PAGES_MAX) + 1)
        if (kind, number) not in done
    ]


def progress(done: Mapping[tuple[Kind, int], int]) -> Progress:
    """By full pages."""
    totals = _totals(done)
    listed = {kind: min(total, PAGE * sum(one is kind for one, _ in done)) for kind, total in totals.items()}
    return Progress(sum(listed.values()), sum(totals.values()))


def _totals(done: Mapping[tuple[Kind, int], int]) -> dict[Kind, int]:
    return {kind: max((total for (one, _), total in done.items() if one is kind), default=0) for kind in Kind}


async def _ended(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
