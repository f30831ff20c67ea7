"""The outbox page, and the page of one row with its API calls.

In: filters. Out: values for a page or for JSON. Called by the server as `routes` says.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from pipeline.core.entities import Kind
from pipeline.outbox.acting import ActStore
from pipeline.outbox.audit import AuditStore
from pipeline.outbox.listing import Wanted, outbox_rows
from pipeline.outbox.searching import names
from pipeline.views import params as read
from pipeline.views.sources import NotThere, Params, Sources

STATES: Final = ("pending", "published", "delivered", "superseded", "held", "dead")
KINDS: Final = tuple(kind.value for kind in Kind)


def outbox(sources: Sources, params: Params) -> dict[str, Any]:
    """Desired states and what became of them, the newest first."""
    now = sources.clock()
    wanted = Wanted(
        region=read.text(params, "region"),
        state=read.chosen(params, "state", STATES),
        kind=read.chosen(params, "kind", KINDS),
        entity=read.text(params, "entity"),
        since=read.moment(params, "since", now),
        until=read.moment(params, "until", now),
    )
    piece = outbox_rows(sources.engine, wanted, read.cut(params))
    known = names(sources.engine, {row.entity for row in piece.rows})
    return {
        "rows": [{**asdict(row), "name": known.get(row.entity)} for row in piece.rows],
        "older": piece.older,
        "newer": piece.newer,
    }


def row(sources: Sources, params: Params) -> dict[str, Any]:
    """One row: its message, every API call made for it, and what people did to it."""
    number = read.id_of(params)
    detail = AuditStore(sources.engine).show(number)
    if detail is None:
        raise NotThere(f"there is no outbox row {number}")
    acts = ActStore(sources.engine).acts("outbox", [number]).get(number, [])
    return {
        "row": asdict(detail.row),
        "body": body(detail.body),
        "calls": [asdict(call) for call in detail.attempts],
        "acts": [asdict(act) for act in acts],
    }


def body(raw: bytes) -> Any:
    """As JSON where it is, else as text."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")
