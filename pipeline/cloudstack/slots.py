"""So many calls to one region at a time; what is urgent goes before what waits and is not.

In: a number. Out: a slot, when it is the caller's turn. One for each client, taken for every HTTP call.
Whoever is urgent has `RESERVED` slots besides, so that it goes on though the region hangs over all other
calls, and waits for none that waits itself. So that the others are never left waiting for good, one of them
follows on `URGENT_IN_A_ROW`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

RESERVED: Final = 1
URGENT_IN_A_ROW: Final = 3

Turn = asyncio.Future[bool]
"""Whether the slot is a reserved one."""


class Slots:
    """Not thread-safe: it lives in the event loop."""

    def __init__(self, count: int) -> None:
        self._free = {False: count, True: RESERVED}
        self._urgent: deque[Turn] = deque()
        self._others: deque[Turn] = deque()
        self._in_a_row = 0

    @asynccontextmanager
    async def one(self, *, urgent: bool) -> AsyncIterator[None]:
        """Waits for a slot, and has it within the block."""
        reserved = await self._turn(urgent)
        try:
            yield
        finally:
            self._hand_on(reserved)

    async def _turn(self, urgent: bool) -> bool:
        for reserved in (False, True) if urgent else (False,):
            if self._free[reserved]:
                self._free[reserved] -= 1
                return reserved
        turn: Turn = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._others).append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given in the same moment
                self._hand_on(turn.result())
            raise

    def _hand_on(self, reserved: bool) -> None:
        """To who waits: nobody who comes just now is faster. Who gave up is passed over."""
        while self._urgent or (self._others and not reserved):
            turn = self._urgent.popleft() if reserved else self._next()
            if not turn.done():
                turn.set_result(reserved)
                return
        self._free[reserved] += 1

    def _next(self) -> Turn:
        urgent = bool(self._urgent) and (self._in_a_row < URGENT_IN_A_ROW or not self._others)
        self._in_a_row = self._in_a_row + 1 if urgent else 0
        return (self._urgent if urgent else self._others).popleft()
