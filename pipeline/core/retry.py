"""How long to wait before trying again: a pure decision, given the attempt and a random number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ASKED_MAX_S: Final = 300.0
"""Nobody keeps us waiting for longer by one answer: its `Retry-After` may be nonsense, a clock be wrong."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter above a floor, capped. All in seconds."""

    first_s: float = 0.2
    cap_s: float = 30.0

    def delay(self, attempt: int, chance: float, asked_s: float | None = None) -> float:
        """Seconds to wait before try number `attempt` + 1 (the first failure is attempt 1).

        `chance` in [0, 1) spreads the waits of many; what the other side asked for is waited in full, up to
        `ASKED_MAX_S`.
        """
        ceiling = min(self.cap_s, self.first_s * 2.0 ** min(attempt - 1, 32))
        jittered = ceiling * (0.5 + chance / 2)
        return max(jittered, min(asked_s or 0.0, ASKED_MAX_S))
