"""The page of who still has access where it was taken away, and since when.

In: a region, or none for all. Out: values for a page or for JSON, the longest exposed first. Called as
`routes` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.core.entities import ENABLED
from pipeline.outbox.engine import reading
from pipeline.outbox.exposure import Exposure, read_exposures
from pipeline.outbox.mappings import OPEN
from pipeline.outbox.pulses import Pulse, read_pulses
from pipeline.outbox.searching import paths
from pipeline.views import params as read
from pipeline.views.sources import Params, Sources
from pipeline.views.why import Case, cause

SHOWN: Final = 500
REMOVED: Final = "removed"
PRESENT: Final = "present"
"""Of what has no state: a domain."""


def exposure(sources: Sources, params: Params) -> dict[str, Any]:
    """At most `SHOWN`."""
    region = read.text(params, "region")
    names = [name for name in sources.modes if region in (None, name)]
    with reading(sources.engine) as connection:
        found = [one for name in names for one in read_exposures(connection, name)]
        found.sort(key=lambda one: (one.since, one.row.id))
        shown = found[:SHOWN]
        awaited = {one.row.waits_for for one in shown if one.row.waits_for is not None}
        known = paths(connection, {one.record.uuid for one in shown} | awaited)
        silent = _silent(read_pulses(connection))
    return {
        "region": region,
        "regions": list(sources.modes),
        "exposures": [_told(sources, one, known, silent) for one in shown],
        "more": len(found) > SHOWN,
    }


def _told(
    sources: Sources, one: Exposure, known: Mapping[str, str], silent: Mapping[str, str]
) -> dict[str, Any]:
    record, held = one.record, one.record.region(one.region).confirmed or {}
    wanted = record.desired()
    case = Case(
        record, one.region, sources.modes[one.region], None, one.row, known.get(one.row.waits_for or "")
    )
    away = one.row.state in OPEN and case.mode != "paused" and one.region in silent
    return {
        "region": one.region,
        "uuid": record.uuid,
        "kind": record.kind.value,
        "path": known[record.uuid],
        "wanted": REMOVED if wanted is None else wanted.get("state", ENABLED),
        "holds": held.get("state", PRESENT),
        "since": one.since,
        "outbox_id": one.row.id,
        "state": one.row.state,
        "accepted": one.accepted,
        "why": silent[one.region] if away else cause(case),
    }


def _silent(pulses: Sequence[Pulse]) -> dict[str, str]:
    """Region → why it gets nothing, by the worker that was heard of last."""
    newest: dict[str, Pulse] = {}
    for one in pulses:
        newest.setdefault(one.region, one)
    return {
        name: f"the region does not answer ({one.reason or 'no reason is known'})."
        for name, one in newest.items()
        if one.reachable is False
    }
