"""The table of contents: every page with what it is read by, every action with what it does.

In: nothing. Out: the tables that the server answers by. A page at `/outbox` is JSON at `/api/v1/outbox`; an
action at `/outbox/{id}/retry` is one at `/api/v1/outbox/{id}/retry`. `openapi.yaml` describes the latter, and
a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core import topics
from pipeline.core.errors import PermanentError
from pipeline.outbox import listing
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.hub import HubStore
from pipeline.views import entity, exposure, ledgers, plans, regions, rows
from pipeline.views.requeue import Put, again
from pipeline.views.sources import Params, Sources

API: Final = "/api/v1"


@dataclass(frozen=True, slots=True)
class Page:
    """`path` of the page; `api` of the same as JSON, where that differs. `query`: the filters it takes."""

    path: str
    title: str
    template: str
    read: Callable[[Sources, Params], dict[str, Any]]
    query: tuple[str, ...] = ()
    api: str = ""

    @property
    def api_path(self) -> str:
        return API + (self.api or self.path)


@dataclass(frozen=True, slots=True)
class Action:
    """`do` changes the database and says what is to be put into Kafka afterwards. `back`: the page that shows
    what came of it; `done`: the sentence there."""

    path: str
    do: Callable[[Sources, int, By], Put | None]
    back: str
    done: str

    @property
    def api_path(self) -> str:
        return API + self.path

    @property
    def name(self) -> str:
        """What the page is told was done."""
        return self.path.rpartition("/")[2]


def _requeue(sources: Sources, id_: int, by: By) -> Put:
    found = listing.letter(sources.engine, id_)
    if found is None:
        raise PermanentError(f"there is no dead letter {id_}")
    if found.region and found.region not in sources.modes:
        raise PermanentError(f"region {found.region} takes no part")
    topic, key, value = again(found)
    if topic in (topics.desired(found.region), topics.revoke(found.region)):  # by the region's own UUID
        pair = (key.decode(), found.region)
        key = HubStore(sources.engine, sources.clock).locals([pair]).get(pair, pair[0]).encode()
    ActStore(sources.engine).requeue(id_, by)
    return topic, key, value


PIECE: Final = ("before", "after", "limit")
PAGES: Final = (
    Page("/", "Regions", "regions.html", regions.regions, api="/regions"),
    Page("/search", "Search", "search.html", entity.found, ("q",)),
    Page("/stuck", "Stuck", "stuck.html", entity.stuck),
    Page("/exposure", "Exposure", "exposure.html", exposure.exposure, ("region",)),
    Page("/entity/{uuid:.+}", "Entity", "entity.html", entity.entity),
    Page(
        "/outbox",
        "Outbox",
        "outbox.html",
        rows.outbox,
        ("region", "state", "kind", "entity", "since", "until", *PIECE),
    ),
    Page("/outbox/{id}", "Outbox row", "row.html", rows.row),
    Page("/holds", "Holds", "holds.html", ledgers.holds, ("region", "decided", "limit")),
    Page("/conflicts", "Conflicts", "conflicts.html", ledgers.ledger, ("entity", "region", *PIECE)),
    Page("/plans", "Plans", "plans.html", plans.plans, ("region",)),
    Page("/plans/{id}", "Plan", "plan.html", plans.plan, ("after",)),
    Page("/dead-letters", "Dead letters", "letters.html", ledgers.dead_letters, ("region", *PIECE)),
)

ACTIONS: Final = (
    Action(
        "/outbox/{id}/retry",
        lambda sources, id_, by: ActStore(sources.engine).retry(id_, by),
        "/outbox/{id}",
        "It will be tried again.",
    ),
    Action(
        "/outbox/{id}/discard",
        lambda sources, id_, by: ActStore(sources.engine).discard(id_, by),
        "/outbox/{id}",
        "It is discarded.",
    ),
    Action(
        "/holds/{id}/approve",
        lambda sources, id_, by: ActStore(sources.engine).approve(id_, by),
        "/holds",
        "It is approved: the region's worker removes it now.",
    ),
    Action(
        "/holds/{id}/refuse",
        lambda sources, id_, by: ActStore(sources.engine).refuse(id_, by),
        "/holds",
        "It is refused: it stays in the region.",
    ),
    Action(
        "/conflicts/{id}/overrule",
        lambda sources, id_, by: ActStore(sources.engine).overrule(id_, by, sources.topology),
        "/conflicts",
        "The other value wins: it is on its way to the regions.",
    ),
    Action("/dead-letters/{id}/requeue", _requeue, "/dead-letters", "It is put back where it belongs."),
)

DONE: Final = {action.name: action.done for action in ACTIONS}
