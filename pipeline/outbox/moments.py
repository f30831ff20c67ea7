"""One line of an entity's timeline, and how what the hub decided is said in it.

In: decisions and outbox rows as kept. Out: moments. Pure; used by `timeline`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.core import topics
from pipeline.core.merge import Outcome
from pipeline.outbox.audit import OutboxRow
from pipeline.outbox.decisions import DecisionRow

_SAID: Final = {
    Outcome.REDELIVERED: "it was merged before",
    Outcome.NOTHING_NEW: "it says nothing new",
    Outcome.CREATED: "nobody knew it",
    Outcome.CHANGED: "it was changed there",
    Outcome.REMOVED: "it was removed",
    Outcome.LOST: "what was changed there lost",
    Outcome.MISSED: "it is gone there, and nobody removed it",
    Outcome.VIOLATION: "its region may not say that",
    Outcome.OUTDATED: "its worker had lost the entity to another one",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened. `what`: one of a few words; `text`: the rest of the sentence. `ms`: how long a
    call took. `partition`, `offset`: where in the topic of observations lies what was decided upon."""

    time: int
    what: str
    text: str
    region: str | None = None
    outbox_id: int | None = None
    ms: int | None = None
    partition: int | None = None
    offset: int | None = None


def decisions_told(decisions: Sequence[DecisionRow], rows: Sequence[OutboxRow]) -> Iterator[Moment]:
    """Of each decision what made the entity be read, then what the hub made of it."""
    sent: defaultdict[int, list[str]] = defaultdict(list)
    for row in rows:
        sent[row.version].append(row.region)
    for one in decisions:
        if one.applied is None and one.cause:
            yield Moment(one.event_time, "hint", f"{one.cause} had it read", one.region)
        yield Moment(
            one.time,
            verdict(one),
            _sentence(one, sorted(sent[one.version]) if one.version is not None else []),
            one.region,
            partition=one.partition,
            offset=one.offset,
        )


def verdict(one: DecisionRow) -> str:
    """What the hub decided, in a word: a read-back and an echo are told apart by who asked for the read."""
    if one.outcome == Outcome.LOST:
        return "conflict lost"
    if one.conflicts and one.outcome == Outcome.CHANGED:
        return "conflict won"
    if one.outcome == Outcome.NOTHING_NEW:
        return "echo" if one.applied is None else "read back"
    if one.outcome in (Outcome.CREATED, Outcome.CHANGED, Outcome.REMOVED):
        return "merged"
    return one.outcome


def _sentence(one: DecisionRow, regions: Sequence[str]) -> str:
    what = f"version {one.applied} as applied: " if one.applied is not None else ""
    what += _SAID.get(Outcome(one.outcome), one.outcome)
    if one.version is not None:
        what += f"; version {one.version} goes to {', '.join(regions) or 'the regions'}"
    return f"{what} ({topics.OBSERVATIONS}, partition {one.partition}, offset {one.offset})"
