"""Why an entity is not, or not yet, in a region as it should be: one sentence. Pure.

In: the record, what the region is known to hold, the newest outbox row there, the region's mode. Out: a
sentence for a person. Called by the pages of an entity and of exposure.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.records import Record
from pipeline.outbox.acting import DISCARDED
from pipeline.outbox.audit import OutboxRow
from pipeline.outbox.mappings import OPEN
from pipeline.outbox.settle import PLANNED
from pipeline.outbox.timeline import There


@dataclass(frozen=True, slots=True)
class Case:
    """One region. `mode`: None where it takes no part. `awaited`: the path of what the row waits for."""

    record: Record
    region: str
    mode: str | None
    there: There | None
    newest: OutboxRow | None
    awaited: str | None = None


def why(case: Case) -> str:
    """The sentence."""
    wanted = case.record.desired_in(case.region)
    held = case.record.region(case.region).confirmed
    is_there = case.there is not None and case.there.present
    if wanted is None and not is_there:
        return "Removed, as it should be." if case.there is not None else "It is removed, and was never here."
    if case.mode is None:
        return "The region takes no part: it is not active in the settings."
    if wanted is not None and is_there and held == wanted:
        return "It is here, as it should be."
    what = "is still here" if wanted is None else "differs here" if is_there else "is not here"
    return f"It {what}: {cause(case)}"


def cause(case: Case) -> str:
    """What the region's newest row says of it."""
    row = case.newest
    if row is None:
        return "nothing was sent to the region yet."
    if row.state in OPEN:
        return _under_way(case, row)
    held = f"the removal waits for a person ({row.message or 'see Holds'})."
    if row.result == PLANNED:
        held = "the region is in mode plan, where calls are worked out and none is made."
    over = f"a failed row was {row.message}." if row.result == DISCARDED else "a newer state is worked out."
    return {
        "held": held,
        "dead": f"it failed ({row.message or row.result}), and stays so until it is tried again or changes.",
        "delivered": "what was applied last is not merged yet, or was changed since.",
    }.get(row.state, over)


def _under_way(case: Case, row: OutboxRow) -> str:
    if case.mode == "paused":
        return "the region is paused, and what is meant for it waits."
    if row.waits_for is not None:
        # Whoever waits for the other one to be there says no more than its UUID.
        said = f" ({row.message})" if row.message and row.waits_for not in row.message else ""
        return f"it waits for {case.awaited or row.waits_for}{said}."
    if row.attempts:
        return f"it is being tried again after {row.attempts} attempts ({row.message or row.result})."
    if row.message:
        return f"it waits ({row.message})."
    return "it is on its way."
