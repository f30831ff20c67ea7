"""Compares what a region lists with what the records say that it holds, page by page.

In: a page of snapshots, and what is known of each. Out: a count per outcome, and the entities to be read.
Called by the full scan. Nothing is decided here about what a difference means: the merge does that, after the
entity was read once more by the one road there is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pipeline.core.entities import Fields, Snapshot

SHORT_SHARE: Final = 0.2
"""More than this share of what is known to be in a region missing from its list is not believed: it is a list
that was cut, or an account that no longer sees everything."""
SHORT_FLOOR: Final = 20
"""So few missing ones are looked into whatever their share: in a small region three may be half of it."""

DIGEST_BYTES: Final = 8


class Outcome(StrEnum):
    """What the comparison of one entity came to."""

    EQUAL = "equal"
    DIFFERENT = "different"
    IN_FLIGHT = "in flight"
    UNKNOWN = "unknown"
    MISSING = "missing"
    PROTECTED = "protected"


HINTED: Final = frozenset({Outcome.DIFFERENT, Outcome.UNKNOWN, Outcome.MISSING})
"""What is to be read."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of one entity in the region: what was confirmed there (None: absent), in the region's own
    UUIDs, and whether a desired state is under way to it."""

    fields: Fields | None
    in_flight: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """What a page came to. `found`: the entities to be read, as the page has them."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    found: tuple[Snapshot, ...] = ()


def compare(page: Sequence[Snapshot], held: Mapping[str, Held]) -> Compared:
    """`held` has what is known of the page's entities, by the region's own UUID."""
    outcomes = [(seen, outcome(seen, held.get(seen.uuid))) for seen in page]
    return Compared(
        Counter(one for _, one in outcomes), tuple(seen for seen, one in outcomes if one in HINTED)
    )


def outcome(seen: Snapshot, held: Held | None) -> Outcome:
    """What is under way is left alone: its own read-back tells what came of it."""
    if seen.is_left_alone(known=held is not None and held.fields is not None):
        return Outcome.PROTECTED
    if held is None:
        return Outcome.UNKNOWN
    if seen.fields == held.fields:
        return Outcome.EQUAL
    return Outcome.IN_FLIGHT if held.in_flight else Outcome.DIFFERENT


def too_short(known: int, missing: int, listed: int, share: float = SHORT_SHARE) -> str | None:
    """Why a list of `listed` entities is not believed, `missing` of the `known` ones not being in it; None
    where it is. No list is ever empty: each region has its root domain, an administrator and our own user."""
    if not listed:
        return "the list is empty"
    if missing > SHORT_FLOOR and missing > share * known:
        return f"{missing} of {known} known ones are not in the list, more than {share:.0%}"
    return None


def digest(uuid: str) -> bytes:
    """Stands for a UUID where many are remembered. Of 100,000 entities two are alike once in a billion scans,
    and then a missing one is found a scan later, or not."""
    return hashlib.blake2b(uuid.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
