"""A sink that holds records until the test lets them arrive, or refuses them."""

from __future__ import annotations

from collections import deque

from bridges.relay import Outcome, Record


class HeldSink:
    """Keeps what it is given; reports only from within `poll`, and only what was released."""

    def __init__(self, max_bytes: int = 1_000_000, refuse_above: int | None = None) -> None:
        self.max_bytes = max_bytes
        self.refuse_above = refuse_above
        self.held: deque[tuple[Record, Outcome]] = deque()
        self.delivered: list[Record] = []
        self.open = True
        self.closed = False

    @property
    def waiting(self) -> int:
        return len(self.held)

    def send(self, record: Record, outcome: Outcome) -> None:
        self.held.append((record, outcome))

    def poll(self) -> None:
        while self.open and self.held:
            record, outcome = self.held.popleft()
            if self.refuse_above is not None and len(record.value) > self.refuse_above:
                outcome("Broker: Message size too large")
                continue
            self.delivered.append(record)
            outcome(None)

    def close(self) -> None:
        self.closed = True
