"""The pages of what waits for a person or may interest one: holds, conflicts, dead letters.

In: filters. Out: values for a page or for JSON. Called by the server as `routes` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline.core.overrule import objection
from pipeline.core.records import Record
from pipeline.outbox.acting import ActStore, conflict_of
from pipeline.outbox.holding import HoldStore
from pipeline.outbox.listing import ConflictRow, conflicts, letters
from pipeline.outbox.timeline import records
from pipeline.views import params as read
from pipeline.views.sources import Params, Sources


def holds(sources: Sources, params: Params) -> dict[str, Any]:
    """Removals that wait for a person, the oldest first; with `decided=yes` those decided, the newest
    first."""
    decided = read.chosen(params, "decided", ("yes", "no")) == "yes"
    found = HoldStore(sources.engine).holds(
        read.text(params, "region"), decided=decided, limit=read.cut(params).limit
    )
    acts = ActStore(sources.engine).acts("hold", [one.id for one in found])
    return {"holds": [{**asdict(one), "acts": _plain(acts.get(one.id, []))} for one in found]}


def ledger(sources: Sources, params: Params) -> dict[str, Any]:
    """Conflicts, the newest first. `objection`: why the loser can't be made to win; null: it can."""
    piece = conflicts(
        sources.engine, read.cut(params), read.text(params, "entity"), read.text(params, "region")
    )
    acts = ActStore(sources.engine).acts("conflict", [one.id for one in piece.rows])
    known = records(sources.engine, {one.entity for one in piece.rows})
    return {
        "conflicts": [
            {
                **asdict(one),
                "why": _why(sources, one),
                "objection": _objection(known.get(one.entity), one),
                "acts": _plain(acts.get(one.id, [])),
            }
            for one in piece.rows
        ],
        "older": piece.older,
        "newer": piece.newer,
    }


def dead_letters(sources: Sources, params: Params) -> dict[str, Any]:
    """Messages that could not be read, whole, the newest first."""
    piece = letters(sources.engine, read.cut(params), read.text(params, "region"))
    acts = ActStore(sources.engine).acts("dead_letter", [one.id for one in piece.rows])
    return {
        "letters": [
            {
                **asdict(one),
                "body": one.body.decode(errors="replace"),
                "acts": _plain(acts.get(one.id, [])),
            }
            for one in piece.rows
        ],
        "older": piece.older,
        "newer": piece.newer,
    }


def _plain(acts: Sequence[Any]) -> list[dict[str, Any]]:
    return [asdict(act) for act in acts]


def _objection(record: Record | None, row: ConflictRow) -> str | None:
    if record is None and row.reason:
        return f"it was not taken from {row.lost_region}, and stays there: let that region be a source for it"
    if record is None:
        return "the entity is known no more"
    return objection(record, conflict_of(asdict(row)))


def _why(sources: Sources, row: ConflictRow) -> str:
    """In the words of the rules that decided (core.merge, core.records, core.authority)."""
    if row.reason:
        return row.reason
    if row.field == "life":
        return "a removal wins over what was made below it"
    if sources.topology.master == row.kept_region:
        return f"{row.kept_region} is the master"
    if row.kept_time > row.lost_time:
        return "it is the later change"
    if row.kept_time == row.lost_time:
        return f"at the same time, and {row.kept_region} comes first in the settings"
    return "the other would have moved it below what is removed"
