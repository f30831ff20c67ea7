"""How many dead letters a consumer may make before it stops: a pure decision, given the time.

In: the number a minute, and when a letter was made. Out: how long nothing is to be taken. Called by
`agents/letters`. Why it is so: docs/decisions/dead-letters.md.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_S: Final = 60.0
PAUSE_MAX_S: Final = 3600.0
"""A cause that stays makes pauses longer up to this: 60 letters an hour then, and no more."""


@dataclass(slots=True)
class Quota:
    """Of one consumer. All times in seconds of one clock that never goes back."""

    per_minute: int
    pause_s: float = 0.0
    """How long the last stop was to take; 0 before the first."""
    _spent: deque[float] = field(default_factory=deque)
    _open_at: float = float("-inf")

    def spend(self, now: float) -> bool:
        """One letter was made. True where nothing is to be taken from now on."""
        if now < self._open_at:
            return False  # what was under way already
        while self._spent and self._spent[0] <= now - WINDOW_S:
            self._spent.popleft()
        self._spent.append(now)
        if len(self._spent) < self.per_minute:
            return False
        # Open for no longer than it was shut: the cause is still there.
        again = now - self._open_at < max(self.pause_s, WINDOW_S)
        self.pause_s = min(self.pause_s * 2, PAUSE_MAX_S) if again else WINDOW_S
        self._open_at = now + self.pause_s
        self._spent.clear()
        return True

    def wait_s(self, now: float) -> float:
        """So long nothing is to be taken; 0: go on."""
        return max(0.0, self._open_at - now)
