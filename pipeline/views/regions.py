"""The first page: a card a region. In: nothing. Out: values for a page or for JSON. Called by the server as
`routes` says.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Final

from pipeline.core.authority import told as told_of
from pipeline.outbox.gaps import GapRow
from pipeline.outbox.overview import Standing, overview
from pipeline.views.sources import Lag, Params, Sources
from pipeline.views.workers import Workers, workers

LATE_MS: Final = 60_000
"""What is under way for so long is late."""


def regions(sources: Sources, _params: Params) -> dict[str, Any]:
    """How every region stands."""
    now = sources.clock()
    found = overview(sources.engine, now, sources.modes)
    lag = sources.lag()
    order = list(sources.modes)
    cards = sorted(
        found.regions, key=lambda one: order.index(one.region) if one.region in order else len(order)
    )
    return {
        "time": now,
        "regions": [
            {**_card(one, lag, now), "source_for": told_of(sources.topology.sources.get(one.region))}
            for one in cards
        ],
        "hub_lag": lag.messages.get("hub"),
        "stopped": list(sources.stopped()),
        "lag_error": lag.error,
        "conflicts": found.conflicts,
        "dead_letters": found.dead_letters,
    }


def _card(one: Standing, lag: Lag, now: int) -> dict[str, Any]:
    card = asdict(replace(one, pulses=[]))
    del card["pulses"]
    at_work = workers(one.pulses, now)
    gap = one.gap or GapRow(one.region)
    since = lag.since.get(one.region)
    oldest = None if one.oldest_open is None else max(0, now - one.oldest_open)
    return {
        **card,
        "gap": asdict(gap),
        "events": lag.events.get(one.region),
        "lag": lag.messages.get(one.region),
        "lag_ms": None if since is None else max(0, now - since),
        "oldest_open_ms": oldest,
        "workers": asdict(at_work),
        "troubles": [*_of_workers(at_work, one), *_troubles(one, gap, oldest)],
    }


def _of_workers(found: Workers, one: Standing) -> list[str]:
    if not one.active:
        return ["it takes no part: what waits for it is not delivered"]
    if not found.count:
        return ["no worker of this region was heard of lately: nothing is applied or read there"]
    told = ["it does not answer: what is for it waits"] if found.reachable is False else []
    return told + ([found.stopped] if found.stopped is not None else [])


def _troubles(one: Standing, gap: GapRow, oldest: int | None) -> list[str]:
    """What a person should look at, the worst first."""
    told = []
    if gap.scan_needed_since is not None:
        told.append("what changed may be told nowhere: a full scan is needed")
    if gap.silent_since is not None:
        told.append("its event log moves and its bus says nothing")
    if one.states.get("dead"):
        told.append(f"{one.states['dead']} failed")
    if one.holds:
        told.append(f"{one.holds} {'removal waits' if one.holds == 1 else 'removals wait'} for a person")
    if oldest is not None and oldest > LATE_MS and one.mode == "apply":
        told.append("something has been under way for long")
    if one.proof is not None and not one.proof.equal:
        told.append("it was not equal to the others when last looked at")
    if one.violations:
        told.append(f"it said {one.violations} things in the last day that it may not say")
    if one.mode not in ("", "apply"):
        told.append(f"mode {one.mode}: nothing is applied")
    return told
