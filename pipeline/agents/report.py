"""What the agents tell of their work, for others to count and to read: one line of the log a decision, and a
narrow interface that knows nothing of who counts.

In: decisions, as they were made. Out: calls of a `Report`, and lines at debug level that carry `entity`,
`region` and `outbox` as fields of their own. Called by the region worker and the hub; what counts is built
by `pipeline.app`. Never a secret: only outcomes, and CloudStack's words with its secrets taken out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from pipeline.agents.intake import Taken
from pipeline.core import topics
from pipeline.core.events import Event
from pipeline.core.records import Desired
from pipeline.core.removal import CarryOut, Decision, Hold, Quarantine
from pipeline.outbox.mappings import OPEN
from pipeline.outbox.region import Context, Settlement

SOURCES: Final = frozenset({b"amqp", b"eventlog", b"gap-fill", b"scan", b"person"})
"""Who a message may say that it is from; what says nothing is a hint of the hub's or of a worker's."""

Request = TypeVar("Request")
Answers = TypeVar("Answers")

log = logging.getLogger(__name__)


class Report:
    """Counts nothing; what does overrides it. Every method returns at once and never fails; `batch` is called
    from threads."""

    def event(self, region: str, source: str, outcome: str) -> None: ...

    def merged(self, region: str, outcome: str) -> None: ...

    def conflict(self, region: str) -> None: ...

    def violation(self, region: str) -> None: ...

    def dead_letter(self, region: str) -> None: ...

    def applied(self, region: str, outcome: str) -> None: ...

    def delivered(self, region: str, seconds: float) -> None: ...

    def revoked(self, region: str, seconds: float) -> None: ...

    def removal(self, region: str, decision: str) -> None: ...

    def batch(self, name: str, rows: int, seconds: float) -> None: ...

    def purged(self, table: str, rows: int) -> None: ...


SILENT: Final = Report()


def timed(
    report: Report, name: str, flush: Callable[[Sequence[Request]], Answers]
) -> Callable[[Sequence[Request]], Answers]:
    """`flush`, with each batch of it told."""

    def flushed(requests: Sequence[Request]) -> Answers:
        began = time.perf_counter()
        answers = flush(requests)
        report.batch(name, len(requests), time.perf_counter() - began)
        return answers

    return flushed


def tell_event(report: Report, region: str, taken: Taken, event: Event | None, outcome: str) -> None:
    """What became of a message of the region's events; no event: it could not be read."""
    source = _source(taken)
    report.event(region, source, outcome)
    if log.isEnabledFor(logging.DEBUG):
        entity = (taken.key or b"").decode("utf-8", "replace")
        kind = event.type if event is not None else "?"
        where = f"{taken.partition[0]}/{taken.partition[1]}@{taken.offset}"
        log.debug(
            "%s: %s from %s at %s: %s", region, kind, source, where, outcome, extra=_marks(entity, region)
        )


def tell_merged(report: Report, region: str, entity: str, outcome: str) -> None:
    """What the merge decided about one observation."""
    report.merged(region, outcome)
    log.debug("merge: %s as seen in %s: %s", entity, region, outcome, extra=_marks(entity, region))


def tell_sent(desired: Desired, row: int) -> None:
    """A desired state has its outbox row."""
    log.debug(
        "merge: %s is to have version %d of %s: outbox %d",
        desired.region,
        desired.version,
        desired.uuid,
        row,
        extra=_marks(desired.uuid, desired.region, row),
    )


def tell_applied(
    report: Report, desired: Desired, context: Context, settlement: Settlement, now: int
) -> None:
    """How a desired state ended, for now."""
    if settlement.state == "trying":  # told once more, and nothing was to be done
        return
    report.applied(desired.region, settlement.state)
    if settlement.state == "delivered" and desired.changed is not None and context.state in OPEN:
        seconds = max(0, now - desired.changed) / 1000
        report.delivered(desired.region, seconds)
        if desired.revokes:
            report.revoked(desired.region, seconds)
    log.debug(
        "apply: %s version %d in %s: %s: %s",
        desired.uuid,
        desired.version,
        desired.region,
        settlement.state,
        settlement.message,
        extra=_marks(desired.uuid, desired.region, context.outbox_id),
    )


def tell_removal(report: Report, desired: Desired, context: Context, decision: Decision) -> None:
    """Whether a removal is made."""
    word = _WORDS.get(type(decision), "stay")
    reason = f": {decision.reason}" if isinstance(decision, Hold) else ""
    report.removal(desired.region, word)
    log.debug(
        "removal: %s in %s: %s%s",
        desired.uuid,
        desired.region,
        word,
        reason,
        extra=_marks(desired.uuid, desired.region, context.outbox_id),
    )


_WORDS: Final[dict[type, str]] = {CarryOut: "carry_out", Hold: "hold", Quarantine: "quarantine"}


def _source(taken: Taken) -> str:
    said = taken.headers.get(topics.HEADER_SOURCE)
    if said is None:
        return "hint"
    return said.decode() if said in SOURCES else "other"


def _marks(entity: str, region: str, row: int | None = None) -> dict[str, str | int]:
    """By these a person finds all lines about one entity."""
    marks: dict[str, str | int] = {"entity": entity, "region": region}
    return marks if row is None else {**marks, "outbox": row}
