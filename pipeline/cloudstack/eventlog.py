"""The region's own event log, from oldest to newest.

In: a moment to start from. Out: the rows of listEvents about domains, accounts and users, each once. Called
by the bridge's second source and by the gap fill. The log holds what the bus lost, not the silent cascades;
it keeps 15 days by default. Facts: cloudstack.md, "The API"; recordings read.listEvents.* and
extra.listEvents.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.cloudstack.answers import rows
from pipeline.cloudstack.client import PAGE, PAGES_MAX, CloudStack
from pipeline.cloudstack.errors import Unreachable
from pipeline.core.entities import Kind
from pipeline.core.errors import PermanentError
from pipeline.core.events import COMPLETED, KNOWN, Unreadable, parse_time

SETTLED_MS: Final = 2_000
"""Rows older than this by the region's own newest row are taken to be all there: only they can be paged
from the far end without the pages moving."""

OF_ENTITY: Final = 50
"""How many of an entity's newest events are looked through."""

HORIZON_DAYS: Final = 15
"""CloudStack's default for `event.purge.delay`, for a region that does not tell its own."""
HORIZON_DAYS_MAX: Final = 36_500
DIGITS_MAX: Final = 9

REST_PAGES_MAX: Final = 200
"""Pages of a window that still grows: a hundred thousand rows of some two seconds."""

_DAY_MS: Final = 86_400_000

_KINDS: Final = frozenset(Kind)

Row = dict[str, Any]


async def read_events(client: CloudStack, since_ms: int) -> AsyncIterator[Row]:
    """The rows created at `since_ms` or later, oldest first, each once; what arrives meanwhile may be left
    out.

    Whole seconds only: whoever reads on from the last row's time gets that second's rows again and tells
    them by their `id`. Holds a page and the last seconds' rows at most, however long the log is. Raises the
    errors of errors.py.
    """
    seen: set[str] = set()
    until_ms: int | None = None
    newest, count = await _page(client, since_ms, None, 1)
    if count > len(newest):
        until_ms = _newest(newest)
        settled_ms = until_ms - SETTLED_MS
        if settled_ms > since_ms:
            async for row in _settled(client, (since_ms, settled_ms), seen):
                yield row
            since_ms = settled_ms
        newest, _ = await _page(client, since_ms, until_ms, 1)
    for row in await _rest(client, (since_ms, until_ms), newest):
        if _is_new(row, seen):
            yield row


@dataclass(frozen=True, slots=True)
class History:
    """What the event log tells of one entity: when somebody else than us last changed it (its creation and
    removal too), whether we made it, and when somebody else removed it. In milliseconds; None where the log
    tells nothing.

    Changes without an event are not in it; nor is what was before a user's last move, since CloudStack then
    shows those events with another UUID (recording user.move).
    """

    changed_at: int | None = None
    made_by_us: bool = False
    removed_at: int | None = None


async def read_horizon(client: CloudStack) -> int | None:
    """How long the log keeps a row, in milliseconds; None: for ever. Raises the errors of errors.py."""
    try:
        inner = await client.call("listConfigurations", {"name": "event.purge.delay"})
    except PermanentError:  # the role may lack the command: without it no gap is too long
        return HORIZON_DAYS * _DAY_MS
    listed = rows("listConfigurations", inner, "configuration")
    values = [one.get("value") for one in listed if one.get("name") == "event.purge.delay"]
    told = str(values[0])[:DIGITS_MAX] if values else ""
    days = min(int(told), HORIZON_DAYS_MAX) if told.isdecimal() else HORIZON_DAYS
    return days * _DAY_MS or None


async def read_history(client: CloudStack, kind: Kind, uuid: str, own: tuple[str, str]) -> History:
    """Of the entity's newest events, by one call; `own` are our user's and our account's names.

    `resourceid` is a filter since 4.17 (recording listApis). Raises the errors of errors.py.
    """
    params = {"listall": "true", "resourcetype": str(kind), "resourceid": uuid}
    newest, _ = await client.page("listEvents", params, "event", (1, OF_ENTITY))
    done = [row for row in newest if row.get("resourceid") == uuid and _was_done(row)]
    theirs = [row for row in done if (row.get("username"), row.get("account")) != own]
    made, removed = f"{kind.upper()}.CREATE", f"{kind.upper()}.DELETE"
    return History(
        changed_at=max((_time(row) for row in theirs), default=None),
        made_by_us=any(row.get("type") == made and row not in theirs for row in done),
        removed_at=max((_time(row) for row in theirs if row.get("type") == removed), default=None),
    )


def _was_done(row: Row) -> bool:
    """Whether the event tells of a change that concerns us and was carried out."""
    completed = row.get("state") == COMPLETED and row.get("level") != "ERROR"
    return completed and KNOWN.get(str(row.get("type")), True)


async def _settled(client: CloudStack, window: tuple[int, int], seen: set[str]) -> AsyncIterator[Row]:
    """The rows of a window that gets no more rows, from its last page to its first: CloudStack numbers
    pages from newest to oldest. Leaves in `seen` the ids that the next window, which begins with our last
    second, repeats."""
    _, count = await _page(client, *window, 1)
    last_second: set[str] = set()
    if count > PAGES_MAX * PAGE:
        raise Unreachable(f"the event log counts {count} rows, which is no number of events")
    for number in range(-(-count // PAGE), 0, -1):
        page, _ = await _page(client, *window, number)
        for row in page:
            if _is_new(row, seen):
                yield row
            if _time(row) >= window[1] - 1000:
                last_second.add(str(row.get("id")))
    seen.clear()
    seen |= last_second


async def _rest(client: CloudStack, window: tuple[int, int | None], newest: list[Row]) -> list[Row]:
    """The newest rows: page after page away from the newest, then turned round. What arrives meanwhile
    moves rows to later pages, which repeats some and loses none."""
    pages = [newest]
    while len(pages[-1]) == PAGE:
        if len(pages) == REST_PAGES_MAX:
            raise Unreachable(f"the event log goes on for more than {REST_PAGES_MAX} pages within seconds")
        page, _ = await _page(client, *window, len(pages) + 1)
        pages.append(page)
    return [row for page in reversed(pages) for row in page]


async def _page(
    client: CloudStack, since_ms: int, until_ms: int | None, number: int
) -> tuple[list[Row], int]:
    """One page, oldest row first, and the count of all rows."""
    params = {"listall": "true", "startdate": _date(since_ms)}
    if until_ms is not None:
        params["enddate"] = _date(until_ms)
    page, count = await client.page("listEvents", params, "event", (number, PAGE))
    if page and _time(page[0]) > _time(page[-1]):
        page.reverse()  # 4.22 gives a page's rows oldest first; nothing says that all versions do
    return page, count


def _is_new(row: Row, seen: set[str]) -> bool:
    """Whether `row` concerns us and was not seen; it is seen now."""
    uuid = str(row.get("id"))
    if uuid in seen:
        return False
    seen.add(uuid)
    return str(row.get("resourcetype")) in _KINDS


def _newest(rows: Iterable[Row]) -> int:
    return max((_time(row) for row in rows), default=0)


def _time(row: Row) -> int:
    try:
        return parse_time(str(row.get("created")))
    except Unreadable:
        return 0


def _date(ms: int) -> str:
    """With its zone: without one CloudStack takes the time for the server's own (source)."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
