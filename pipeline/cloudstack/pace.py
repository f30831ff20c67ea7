"""How fast one region is called: a rate limit that is fair to all who wait, and a pause when the region
asks for one.

In: a rate, a clock in seconds and a way to sleep. Out: `turn` returns when it is the caller's turn. One for
each client, called before every HTTP call. Turns are given in the order in which they were asked for; but who
is urgent gets the next one, and all who wait and are not come one turn later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from pipeline.core.retry import ASKED_MAX_S

PAUSE_MAX_S: Final = ASKED_MAX_S
"""No region stops us for longer by one answer, whatever its Retry-After says."""


class Pace:
    """Spaces calls by 1/rate seconds. A region's own limit counts calls a second and so never sees a
    burst."""

    def __init__(
        self,
        rate_per_s: float | None,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._gap_s = 1.0 / rate_per_s if rate_per_s else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0
        self._next_urgent = 0.0
        self._pushed_s = 0.0
        self._open_at = 0.0

    async def turn(self, *, urgent: bool = False) -> None:
        """Waits for the caller's turn. Who is overtaken by a pause gets a new turn after it."""
        while True:
            mine = await (self._urgent() if urgent else self._ordinary())
            if mine >= self._open_at:
                return

    async def _ordinary(self) -> float:
        """When the turn was. What is urgent and comes meanwhile pushes it further off."""
        mine = max(self._clock(), self._next)
        self._next = mine + self._gap_s
        pushed_s = self._pushed_s
        while (wait_s := mine + (self._pushed_s - pushed_s) - self._clock()) > 0:
            await self._sleep(wait_s)
        mine += self._pushed_s - pushed_s
        self._next_urgent = max(self._next_urgent, mine + self._gap_s)
        return mine

    async def _urgent(self) -> float:
        """The soonest turn after those that were had; all that are only promised come one later."""
        mine = max(self._clock(), self._next_urgent, self._open_at)
        self._next_urgent = mine + self._gap_s
        self._next = max(self._next, mine) + self._gap_s
        self._pushed_s += self._gap_s
        while (wait_s := mine - self._clock()) > 0:
            await self._sleep(wait_s)
        return mine

    def pause(self, for_s: float) -> None:
        """Nobody gets a turn for `for_s` seconds. Those who come during a pause are spaced from its end
        on."""
        self._open_at = max(self._open_at, self._clock() + min(for_s, PAUSE_MAX_S))
        self._next = max(self._next, self._open_at)
