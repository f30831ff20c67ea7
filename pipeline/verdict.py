"""How a demonstration ended, in values and in words.

In: what the regions hold, what was counted. Out: a verdict, and lines for a person. Called by the demo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ended. `lost`: entities that one region holds otherwise than another; `unfinished`: desired
    states neither delivered nor replaced by newer ones. `events_lost`: events that mattered and that a bus
    lost; `events_filled`: those that were told in its place. `keys_good_in`, `logs_in_to`: regions, where
    that was tried; `exposed`: entities that still have access somewhere."""

    converged: bool
    lost: int
    changes: int
    refused: int
    deliveries: int
    superseded: int
    failed: int
    unfinished: int
    reads: int
    writes: int
    entities: int
    seconds: float
    events_lost: int
    events_filled: int
    keys_good_in: tuple[str, ...] | None = None
    logs_in_to: tuple[str, ...] | None = None
    exposed: int = 0

    def words(self) -> Iterator[str]:
        """Lines, in rich's markup."""
        word = "All regions are equal" if self.converged else f"{self.lost} entities differ"
        yield (
            f"[bold]{word}[/]: {self.entities} entities after {self.changes} changes; "
            f"{self.deliveries} deliveries by {self.reads} reads and {self.writes} writes, "
            f"{self.failed} failed, in {self.seconds} s."
        )
        if self.keys_good_in is not None:
            yield f"A new user's API key is good in: {', '.join(self.keys_good_in)}"
        if self.logs_in_to is not None:
            yield f"It logs in by its newest password, and by no older one, to: {', '.join(self.logs_in_to)}"
        if self.exposed:
            yield f"Who still has access that was taken away: {self.exposed}"
        if self.events_lost:
            yield f"The buses lost {self.events_lost} events; {self.events_filled} were filled in."


def differences(dumps: list[dict[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """(kind, name) of every entity that not all dumps hold in the same way."""
    first = dumps[0]
    return [
        (kind, name)
        for kind in first
        for name in sorted({name for dump in dumps for name in dump[kind]})
        if any(dump[kind].get(name) != first[kind].get(name) for dump in dumps)
    ]
