"""Replays a region: in which order entities are applied again, how many at a time, and what it may cost.

In: what is known of the entities, how much of the region's other work waits. Out: an order, numbers. Pure;
called by whoever replays a region, and by whoever only says what it would take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pipeline.core.drift import place_of
from pipeline.core.entities import Kind

IN_FLIGHT: Final = 100
"""Entities of a replay on their way at a time: so many may be ahead of a change that comes meanwhile."""
YIELDING: Final = 4
"""The same while anything else waits for the region: a replay gives way, and still comes to its end."""
DEEPEST: Final = 256
"""Levels of domains that are told apart."""

MOST_CALLS: Final[Mapping[Kind, int]] = MappingProxyType(
    {Kind.DOMAIN: 2, Kind.ACCOUNT: 5, Kind.USER: 8, Kind.ROLE: 3}
)
"""Calls that change something, for one entity that is to be there, in the worst case. A domain is moved and
updated, or made, after a first try under a UUID that is used up. An account: made by the third try (its UUID
is used up, its first user is taken), disabled, rid of its stand-in. A user: made in an account that is
disabled, so at the second try and between two calls for the account, after a first one under a UUID that is
used up; then locked, with the account open again around it. A role: renamed, and by two calls rid of all its
rules."""
MOST_REMOVAL_CALLS: Final = 2
"""Disabled for the quarantine, then removed."""


@dataclass(frozen=True, slots=True)
class Touched:
    """One entity that is to be applied again. `parent`: canonical, what it is in; `present`: not removed."""

    uuid: str
    kind: Kind
    parent: str
    present: bool


class Turn(StrEnum):
    """What becomes of an entity when its turn has come."""

    SEND = "send"
    WAIT = "wait"
    """It was sent in its newest state since the replay began, or is on its way: what comes of it is seen."""
    LEAVE = "leave"
    """A person is asked about it, or has said that it stays."""
    SKIP = "skip"
    """It is removed, and never was there."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest desired state of an entity in the region: the state of its row, when that was written (ms),
    and whether a person refused to have it carried out."""

    state: str
    created: int
    refused: bool


def turn(newest: Newest | None, began: int, *, never_there: bool) -> Turn:
    """`began`: the replay, in ms. `never_there`: it is removed, and the region never had it."""
    if newest is None:
        return Turn.SKIP if never_there else Turn.SEND
    if newest.state in ("pending", "published"):
        return Turn.WAIT
    if newest.state == "held" or newest.refused:
        return Turn.LEAVE
    if newest.created >= began:
        return Turn.WAIT
    return Turn.SKIP if never_there else Turn.SEND


def most_calls(kind: Kind, *, present: bool) -> int:
    """Calls that change something, for one entity."""
    return MOST_CALLS[kind] if present else MOST_REMOVAL_CALLS


def in_order(touched: Iterable[Touched], above: Mapping[str, str]) -> list[Touched]:
    """Parents before children, then removals, children before parents. `above`: every domain that is known →
    the domain that it is in."""
    return sorted(touched, key=lambda one: (_place(one, above), one.uuid))


def room(in_flight: int, *, others_wait: bool) -> int:
    """How many more entities may be sent on their way now. `others_wait`: desired states of the region that
    are not the replay's, and whose turn it is."""
    return max(0, (YIELDING if others_wait else IN_FLIGHT) - in_flight)


def _place(one: Touched, above: Mapping[str, str]) -> int:
    depth = sum(1 for _ in _ancestors(one.parent, above)) if one.kind is Kind.DOMAIN else 0
    return place_of(one.kind, depth, present=one.present)


def _ancestors(domain: str, above: Mapping[str, str]) -> Iterator[str]:
    for _ in range(DEEPEST):
        if domain not in above:
            return
        yield domain
        domain = above[domain]
