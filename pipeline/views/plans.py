"""The pages of plans: the newest ones, and one of them as a tree of domains with what changes.

In: filters. Out: values for a page or for JSON; `tree` is the page's own. Called by the server as `routes`
says. A plan is made and carried out by the command line, which holds the region's key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.outbox.acting import ActStore
from pipeline.outbox.planned import newest_plans, one_plan, steps_after
from pipeline.outbox.plans import PlanRow
from pipeline.views import params as read
from pipeline.views.sources import NotThere, Params, Sources

_PARTS = re.compile(r"[/|][^/|]*")


@dataclass(slots=True)
class Node:
    """A place in the tree; `step`: what changes there, None for what merely leads to it."""

    name: str
    step: Mapping[str, Any] | None = None
    below: dict[str, Node] = field(default_factory=dict)


def plans(sources: Sources, params: Params) -> dict[str, Any]:
    """The newest plans."""
    found = newest_plans(sources.engine, read.text(params, "region"))
    return {"plans": [_told(row) for row in found]}


def plan(sources: Sources, params: Params) -> dict[str, Any]:
    """One plan and its steps, what is equal aside."""
    number = read.id_of(params)
    row = one_plan(sources.engine, number)
    if row is None:
        raise NotThere(f"there is no plan {number} (any more)")
    steps, more = steps_after(sources.engine, number, read.number(params, "after") or 0)
    return {
        "plan": _told(row),
        "steps": [
            {**step.told, "state": step.state.value, "message": step.message}
            for step in steps
            if step.told["drift"] != "matched"
        ],
        "more": more,
        "acts": [asdict(act) for act in ActStore(sources.engine).acts("plan", [number]).get(number, [])],
    }


def tree(steps: Sequence[Mapping[str, Any]]) -> Node:
    """The steps by their places: `/sales/emea|acme|alice` lies below `/sales/emea|acme`."""
    root = Node("ROOT")
    for step in sorted(steps, key=lambda one: str(one["path"])):
        here = root
        for part in _PARTS.findall(step["path"]):
            here = here.below.setdefault(part, Node(part[1:]))
        if here.step is not None:  # another one of the same name: on a line of its own
            here = here.below.setdefault(f" {step['uuid']}", Node(here.name))
        here.step = step
    return root


def _told(row: PlanRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "hash": row.hash,
        "region": row.region,
        "time": row.time,
        "released_time": row.released_time,
        "equal": row.equal,
        "counts": {drift.value: count for drift, count in row.counts.items()},
        "calls": row.calls,
        "seconds": row.seconds,
    }
