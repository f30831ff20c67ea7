"""Says what calls should have changed and did not, and when to stop making them.

In: what was wanted, what the region holds after the calls. Out: the difference in words, and whether it is
worth another try. Pure; called by apply.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from pipeline.core.entities import Fields

TRIES_WITHOUT_EFFECT: Final = 3
"""The same difference, applied so often to one entity in one region without effect, is no progress."""


@dataclass(frozen=True, slots=True)
class Futile:
    """Calls that changed nothing: the difference that is left, what was seen afterwards (in canonical UUIDs,
    None: absent), and how often in a row."""

    difference: str
    seen: dict[str, str] | None
    times: int = 1

    @property
    def is_hopeless(self) -> bool:
        return self.times >= TRIES_WITHOUT_EFFECT


def difference(wanted: Fields | None, got: Fields | None, left_alone: Collection[str]) -> str:
    """Both values of every field that is not as wanted; empty when all are, but for what was left alone."""
    if wanted is None or got is None:
        words = {True: "absent", False: "present"}
        return "" if wanted is got else f"it is {words[got is None]}, not {words[wanted is None]}"
    return ", ".join(
        f"{name} is {got[name]!r}, not {text!r}"
        for name, text in wanted.items()
        if got.get(name, text) != text and name not in left_alone  # optional: what is not told
    )


def unlike(wanted: Fields | None, got: Fields | None) -> tuple[str, ...] | None:
    """The fields that are not as wanted; None where there is nothing to compare."""
    if wanted is None or got is None:
        return None
    return tuple(name for name, text in got.items() if text != wanted.get(name))


def again(last: Futile | None, now: Futile) -> Futile:
    """`now`, counted with the tries before it that left the same difference."""
    if last is None or last.difference != now.difference:
        return now
    return Futile(now.difference, now.seen, last.times + 1)
