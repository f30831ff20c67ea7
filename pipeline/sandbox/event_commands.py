"""listEvents, listEventTypes, archiveEvents: the region's event log as the API shows it.

Called by `dispatch` with a parsed call. Pages run from newest to oldest, the rows inside a page from
oldest to newest (recorded).
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from importlib import resources

from pipeline.sandbox import listing, render
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.eventlog import LoggedEvent

_FILTERS = {
    "id",
    "level",
    "keyword",
    "enddate",
    "resourcetype",
    "resourceid",
    "startid",
    "state",
    "archived",
}


def list_events(call: Call) -> Answer:
    log, view = call.region.log, listing.scope(call)
    rows: Sequence[LoggedEvent] = (
        log.by_type.get(call.text("type") or "", []) if "type" in call.values else log.rows
    )
    since = call.whole("startdate")
    if since is not None:
        rows = rows[bisect_left(rows, since, key=_second) :]
    unfiltered = not _FILTERS & call.values.keys() and call.region.archived == 0
    if not unfiltered or view != listing.Scope():
        rows = [one for one in rows if _fits(call, one) and view.holds(one.account)]
    wanted = listing.page(call)
    last = len(rows) - wanted.start
    first = 0 if wanted.size is None else max(last - wanted.size, 0)
    shown: Iterable[LoggedEvent] = rows[first:last] if last > 0 else []
    return listing.answer("event", [_row(one) for one in shown], len(rows))


def _second(event: LoggedEvent) -> int:
    """The log keeps whole seconds."""
    return event.created_ms // 1000 * 1000


def _fits(call: Call, event: LoggedEvent) -> bool:
    wanted, start = call.entity("id", LoggedEvent), call.entity("startid", LoggedEvent)
    since, until = call.whole("startdate"), call.whole("enddate")
    uuid = event.entity.uuid if event.entity is not None else ""
    return (
        event.archived == call.flag("archived")
        and (wanted is None or event is wanted)
        and (start is None or event is start or event.parent is start)
        and (since is None or _second(event) >= since)
        and (until is None or _second(event) <= until)
        and listing.same(call.text("level"), event.level)
        and listing.same(call.text("state"), event.state)
        and listing.same(call.text("resourcetype"), event.kind)
        and listing.same(call.text("resourceid"), uuid)
        and listing.matches(call.text("keyword"), event.type, event.description, event.level)
    )


def _row(event: LoggedEvent) -> render.Fields:
    domain = event.account.domain
    out: render.Fields = {
        "id": event.uuid,
        "username": event.user.username,
        "type": event.type,
        "level": event.level,
        "description": event.description,
        "account": event.account.name,
        "domainid": domain.uuid,
        "domain": domain.name,
        "domainpath": domain.path,
    }
    if event.entity is not None:
        out["resourceid"] = event.entity.uuid
    out["resourcetype"] = event.kind
    name = event.entity_name()
    if name is not None:
        out["resourcename"] = name
    out["created"] = render.when(event.created_ms)
    out["state"] = event.state
    if event.parent is not None:
        out["parentid"] = event.parent.uuid
    return out


def list_event_types(_call: Call) -> Answer:
    text = resources.files("pipeline.sandbox").joinpath("data/eventtypes.json").read_text("utf-8")
    rows = [{"name": name} for name in json.loads(text)]
    return listing.answer("eventtype", rows, len(rows))


def archive_events(call: Call) -> Answer:
    """Archived events leave the plain listing."""
    ids = call.names("ids")
    for event in call.region.log.rows:
        if (
            (ids is None or event.uuid in ids)
            and _fits(call, event)
            and listing.same(call.text("type"), event.type)
        ):
            event.archived = True
            call.region.archived += 1
    return {"success": True}
