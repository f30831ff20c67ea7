"""The rows of a region's event log: which are new, from when to read next, how the bus would have put them.

In: rows as listEvents gives them. Out: routing keys and bodies, and a time. Pure; called by `eventlog`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final

from pipeline.core.entities import Kind
from pipeline.core.events import KNOWN, Unreadable, parse_time

Row = Mapping[str, object]
"""One event as listEvents tells it: id, type, state, resourcetype, resourceid, created, username, ..."""

_KINDS: Final[Collection[object]] = [str(kind) for kind in Kind]
ROUTE_MAX: Final = 255
"""AMQP's own limit of a routing key: it goes into a header."""
_REMEMBERED_MAX: Final = 100_000


class Position:
    """From when to read next, and which rows of that time are known. Milliseconds; pure."""

    def __init__(self, since: int, overlap: int) -> None:
        self.since = since // 1000 * 1000
        self._overlap = overlap
        self._newest = 0
        self._newest_seen_at = 0
        self._known: dict[str, int] = {}

    def is_new(self, row: Row, now: int) -> bool:
        """Whether this row has not been taken yet; from here on it has. `now`: our monotonic clock."""
        row_id, created = self._identity(row)
        if created < self.since or row_id in self._known:
            return False
        if created > self._newest:
            self._newest = created
            self._newest_seen_at = now
        if len(self._known) < _REMEMBERED_MAX or created >= self._newest - self._overlap:
            self._known[row_id] = created
        return True

    def _identity(self, row: Row) -> tuple[str, int]:
        """A row without an id stands for itself by its whole text; one without a time counts as now."""
        row_id = str(row.get("id") or json.dumps(row, sort_keys=True, default=str))
        try:
            return row_id, parse_time(str(row.get("created")))
        except Unreadable:
            return row_id, max(self.since, self._newest)

    def advance(self, read_began: int, now: int) -> None:
        """A read that began then (our monotonic clock) was complete, and Kafka has all of it.

        The region's clock has gone on since its newest row by as much as ours has: no clock is compared
        with another. So a burst is not read again and again through a silence. `now`, our time of day, is
        only a ceiling: a row from the far future must not hide all that comes before it.
        """
        if not self._newest:
            return
        passed = max(0, read_began - self._newest_seen_at)
        reached = min(self._newest + passed, now) - self._overlap
        self.since = max(self.since, reached // 1000 * 1000)
        self._known = {row_id: created for row_id, created in self._known.items() if created >= self.since}


def message(row: Row) -> tuple[str, bytes]:
    """Routing key and body as the bus would have had them.

    The log tells the caller by name, not by UUID: `username` (the bus has `user`), and `accountname`, since
    the bus's `account` is a UUID.
    """
    fields = {
        "eventDateTime": _bus_time(row.get("created")),
        "entityuuid": row.get("resourceid"),
        "description": row.get("description"),
        "event": row.get("type"),
        "username": row.get("username"),
        "accountname": row.get("account"),
        "entity": row.get("resourcetype"),
        "status": row.get("state"),
        "level": row.get("level"),
        "eventid": row.get("id"),
    }
    body = json.dumps({key: value for key, value in fields.items() if value is not None})
    words = (row.get("type"), row.get("resourcetype"), row.get("resourceid") or "*")
    kind, entity, uuid = (str(word).replace(".", "-") for word in words)
    routing_key = f"management-server.ActionEvent.{kind}.{entity}.{uuid}"[:ROUTE_MAX]
    return routing_key.encode("utf-8", "replace").decode(), body.encode()


def concerns_us(row: Row) -> bool:
    """The log holds events of everything; the bus's bindings would have left the others out."""
    return row.get("resourcetype") in _KINDS or str(row.get("type")) in KNOWN


def _bus_time(created: object) -> object:
    """2026-11-23T08:18:10+0000 as 2026-11-23 08:18:10 +0000; what is no time stays, for the dead letter."""
    try:
        moment = datetime.fromtimestamp(parse_time(str(created)) / 1000, UTC)
    except Unreadable:
        return created
    return moment.strftime("%Y-%m-%d %H:%M:%S +0000")
