"""Decides about one removal in one region: carried out, held for a person, or quarantined first.

In: the region's limits, what the removal would take along, how many there were within the hour, and what
stands in the ledger of holds about it. Out: a decision. Pure; called by the outbox inside the transaction
that counts, so that removals decided at the same time know of each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from pipeline.core.entities import Kind

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SHARE_FROM: Final = 100
"""Below so many removals within the hour the share does not count: of few entities each is a large part."""

APPROVED: Final = "approved"
REFUSED: Final = "refused"


class Policy(StrEnum):
    """What becomes of removals that no limit stops."""

    PROPAGATE = "propagate"
    QUARANTINE = "quarantine"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Losses:
    """What a removal takes along in the region: nothing of this is synced, and nothing brings it back."""

    vms: int = 0
    volumes: int = 0
    networks: int = 0
    projects: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """One region's limits. `per_hour` and `share`: None is no limit. `losses`: so much of each may be taken
    along unasked."""

    policy: Policy = Policy.PROPAGATE
    per_hour: int | None = 500
    share: float | None = 0.1
    losses: Losses = Losses()
    quarantine_ms: int = 3 * DAY_MS


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger of holds says of one outbox row. `until`: it is quarantined until then (ms), and was in
    the state `before` that. `decision`: APPROVED, REFUSED, or None; `note`: with these words."""

    decision: str | None = None
    note: str = ""
    until: int | None = None
    before: str | None = None


NOTHING_STANDS: Final = Standing()


@dataclass(frozen=True, slots=True)
class Asked:
    """A removal that is about to be made. `state`: the entity's now, empty for a domain, which has none."""

    kind: Kind
    state: str = ""
    losses: Losses = Losses()
    standing: Standing = NOTHING_STANDS


@dataclass(frozen=True, slots=True)
class Window:
    """What was removed, or quarantined, in the region within the hour without being approved by a person; and
    the entities that it is known to hold."""

    removed: int
    known: int


@dataclass(frozen=True, slots=True)
class CarryOut:
    """Remove it now."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Leave it until a person approves or refuses."""

    reason: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Let it be disabled, and ask again at `until` (ms). `before`: the state that it had."""

    until: int
    before: str


@dataclass(frozen=True, slots=True)
class Stay:
    """A person refused: it stays in the region, in the state `before` where it was quarantined."""

    note: str
    before: str | None


Decision = CarryOut | Hold | Quarantine | Stay


def is_decided(standing: Standing, now: int) -> bool:
    """Whether `decide` needs no more than the ledger: then nothing has to be read or counted."""
    return standing.decision is not None or (standing.until is not None and now < standing.until)


def decide(limits: Limits, asked: Asked, window: Window, now: int) -> Decision:
    """What a person said stands. What is in quarantine stays there for its time, and is then asked about like
    every other: it may have got machines meanwhile."""
    standing = asked.standing
    if standing.decision == APPROVED:
        return CarryOut()
    if standing.decision == REFUSED:
        return Stay(standing.note, standing.before)
    if standing.until is not None and now < standing.until:
        return Quarantine(standing.until, standing.before or asked.state)
    reason = _stopped_by(limits, asked, window)
    if reason is not None:
        return Hold(reason)
    # A domain can't be disabled: it goes after its accounts, which are quarantined themselves.
    quarantined = standing.until is not None or asked.kind in (Kind.DOMAIN, Kind.ROLE)
    if limits.policy is Policy.QUARANTINE and not quarantined:
        return Quarantine(now + limits.quarantine_ms, asked.state)
    return CarryOut()


def _stopped_by(limits: Limits, asked: Asked, window: Window) -> str | None:
    """The first limit that the removal is over, in a sentence."""
    lost = ", ".join(_over(asked.losses, limits.losses))
    if lost:
        return f"it would take along {lost}"
    if limits.policy is Policy.HOLD:
        return "the region's removal policy is hold"
    removed = f"{window.removed} entities were removed within the hour"
    if limits.per_hour is not None and window.removed >= limits.per_hour:
        return f"{removed}, and the region's limit is {limits.per_hour}"
    share = limits.share if window.removed >= SHARE_FROM else None
    total = window.known + window.removed
    if share is not None and window.removed + 1 > share * total:
        return f"{removed}, of {total}, and the region's limit is {share:.1%}"
    return None


def _over(losses: Losses, allowed: Losses) -> Iterator[str]:
    for field in fields(Losses):
        count: int = getattr(losses, field.name)
        if count > getattr(allowed, field.name):
            word = field.name.replace("vms", "VMs")
            yield f"{count} {word if count != 1 else word.removesuffix('s')}"
