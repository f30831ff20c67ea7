"""Whether a process is alive, and whether it can work: two questions that a supervisor asks.

In: the loop's heartbeat, and checks that are made when somebody asks. Out: answers with a reason each. Alive:
the loop turns; one that does not is started again. Ready: it has its partitions, and database and broker
answer. A region that is away makes nothing unready: its desired states wait, and starting a worker again
would help nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from pipeline.core.errors import PermanentError, TemporaryError

BEAT_S: Final = 1.0
STUCK_S: Final = 15.0
"""A loop that has not turned for so long does not work any more."""
ANSWER_S: Final = 3.0
"""Whoever does not answer so soon does not answer: supervisors wait for a few seconds."""
FRESH_S: Final = 1.0
"""An answer is good for so long, however many ask."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The reason is for people."""

    ok: bool
    reason: str


Check = Callable[[], Awaitable[Answer]]


class Heartbeat:
    """A task of the loop that says so every second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT_S)

    def beat(self) -> None:
        self._last = self._clock()

    def answer(self) -> Answer:
        age_s = self._clock() - self._last
        return Answer(age_s < STUCK_S, f"the loop turned {age_s:.1f} s ago")


@dataclass(slots=True)
class Assigned:
    """Whether a worker has its partitions. None: it is not in its group, or the group is being shared out."""

    partitions: Collection[tuple[str, int]] | None = None

    async def answer(self) -> Answer:
        if self.partitions is None:
            return Answer(False, "no partitions assigned yet")
        if not self.partitions:
            return Answer(True, "a spare: other workers have all partitions")
        return Answer(True, f"{len(self.partitions)} partitions assigned")


class Answers:
    """Asks a service that may hang or be away, in a thread, one question at a time."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._running: asyncio.Task[Answer] | None = None
        self._last: tuple[float, Answer] | None = None

    async def answer(self) -> Answer:
        if self._last is not None and time.monotonic() - self._last[0] < FRESH_S:
            return self._last[1]
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        done, _ = await asyncio.wait({self._running}, timeout=ANSWER_S)
        return self._running.result() if done else Answer(False, f"no answer within {ANSWER_S:.0f} s")

    async def _run(self) -> Answer:
        try:
            await asyncio.to_thread(self._ask)
            found = Answer(True, "answers")
        except (TemporaryError, PermanentError) as error:
            found = Answer(False, str(error))
        self._last = time.monotonic(), found
        return found


@dataclass(slots=True)
class Health:
    """Of one process: its heartbeat and, by name, what it needs to work."""

    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    checks: dict[str, Check] = field(default_factory=dict)

    def live(self) -> Answer:
        return self.heartbeat.answer()

    async def ready(self) -> Mapping[str, Answer]:
        """All checks at once."""
        found = await asyncio.gather(*(check() for check in self.checks.values()))
        return dict(zip(self.checks, found, strict=True))
