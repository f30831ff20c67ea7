"""Applies the records to one region again: of each entity what it should hold now, a few at a time.

In: entities, in no order. Out: new rows of the outbox, which the region's worker takes up like any other;
what came of each. Called by `region-sync replay`. It reads no region and makes no call: an entity that is
right there costs the worker one read. Whoever is cut off says it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.core.errors import TemporaryError
from pipeline.core.replay import Touched, Turn, in_order, room
from pipeline.outbox.mappings import OPEN
from pipeline.outbox.replays import Replay, ReplayStore, Standing

LOOK_EVERY_S: Final = 0.2
STALLED_S: Final = 60.0
"""Without one entity coming to its end for so long, waiting is given up; what was sent goes on."""

log = logging.getLogger(__name__)


def untold(_done: int, _total: int) -> None:
    """For whoever does not want to know."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An entity that is not as it should be in the region, and why."""

    entity: Touched
    words: str


@dataclass(slots=True)
class Replayed:
    """What came of it. `before`: done by an earlier run, or by a change since that began. `left_out`: a
    person is asked, or has said that it stays. `waiting`: not at their end, and nothing moves."""

    before: int = 0
    done: int = 0
    failed: list[Ended] = field(default_factory=list)
    left_out: list[Ended] = field(default_factory=list)
    waiting: int = 0

    @property
    def over(self) -> int:
        return self.before + self.done + len(self.failed) + len(self.left_out)


class Replayer:
    """One run of one replay."""

    def __init__(
        self, store: ReplayStore, look_every_s: float = LOOK_EVERY_S, stalled_s: float = STALLED_S
    ) -> None:
        self._store = store
        self._look_every_s = look_every_s
        self._stalled_s = stalled_s
        self._flight: dict[str, Touched] = {}
        self._stuck: set[str] = set()
        self._came = Replayed()

    async def run(
        self,
        replay: Replay,
        touched: Sequence[Touched],
        above: Mapping[str, str],
        told: Callable[[int, int], None] = untold,
    ) -> Replayed:
        """To its end, or until nothing has moved for long. `above`: of all domains, the domain that each is
        in. Raises what does not pass by itself."""
        done = await asyncio.to_thread(self._store.done, replay)
        todo = deque(one for one in in_order(touched, above) if one.uuid not in done)
        self._came.before = len(touched) - len(todo)
        moved, last = self._came.over, time.monotonic()
        while todo or self._flight:
            try:
                await asyncio.to_thread(self._turn, replay, todo)
            except TemporaryError as error:
                log.warning("the replay of %s waits: %s", self._store.region, error)
            told(self._came.over, len(touched))
            if self._came.over > moved:
                moved, last = self._came.over, time.monotonic()
            if time.monotonic() - last > self._stalled_s:
                self._came.waiting = len(todo) + len(self._flight)
                return self._came
            if self._flight:
                await asyncio.sleep(self._look_every_s)
        await asyncio.to_thread(self._store.end, replay)
        return self._came

    def _turn(self, replay: Replay, todo: deque[Touched]) -> None:
        """What has come to its end makes room for what is next. Cut off anywhere, it is begun again."""
        self._look()
        more = room(len(self._flight), others_wait=self._store.others_wait(self._flight))
        batch = [todo[index] for index in range(min(more, len(todo)))]
        turns = self._store.send(replay, [one.uuid for one in batch]) if batch else {}
        for one in batch:
            todo.popleft()
            self._take(one, turns[one.uuid])

    def _take(self, one: Touched, its: Turn) -> None:
        if its in (Turn.SEND, Turn.WAIT):
            self._flight[one.uuid] = one
        elif its is Turn.LEAVE:
            self._stuck.add(one.uuid)
            self._came.left_out.append(Ended(one, "a person is asked about it, or has said that it stays"))
        else:
            self._came.before += 1

    def _look(self) -> None:
        stands = self._store.look(self._flight)
        blockers = {one.waits_for for one in stands.values() if one.waits_for is not None}
        stuck = self._stuck | self._stopped(blockers - self._flight.keys() - self._stuck)
        for uuid, stand in stands.items():
            if stand.state == "held" or stand.parked:
                self._end(uuid, self._came.left_out, stand.message)
            elif stand.state == "dead" or (stand.state in OPEN and stand.waits_for in stuck):
                self._end(uuid, self._came.failed, stand.message)
            elif stand.is_done:
                del self._flight[uuid]
                self._came.done += 1

    def _end(self, uuid: str, among: list[Ended], words: str) -> None:
        """What waits for it does so for nothing."""
        self._stuck.add(uuid)
        among.append(Ended(self._flight.pop(uuid), words))

    def _stopped(self, blockers: Collection[str]) -> set[str]:
        """Which of these go no further by themselves."""
        stands: Mapping[str, Standing] = self._store.look(blockers) if blockers else {}
        return {uuid for uuid, one in stands.items() if one.state in ("held", "dead")}
