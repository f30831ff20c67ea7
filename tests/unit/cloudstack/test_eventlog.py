"""The event log from oldest to newest, although CloudStack pages it from newest to oldest and events go on
arriving."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from pipeline.cloudstack import eventlog
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.eventlog import read_events
from pipeline.core.events import parse_time
from tests.unit.cloudstack.conftest import Script, ScriptedRegion, ok, recorded

Serve = Callable[[Script], Awaitable[ScriptedRegion]]
ClientOf = Callable[..., CloudStack]
START = 1_795_400_000_000


class Log:
    """A region's event log: `arrive` more events come before each answer after the first."""

    def __init__(self, seconds: list[int], arrive: int = 0, newest_first_within: bool = False) -> None:
        self.rows: list[dict[str, Any]] = []
        for second in seconds:
            self.rows.append(self._row(second))
        self._arrive = arrive
        self._reversed = newest_first_within
        self.answers = 0

    def _row(self, second: int) -> dict[str, Any]:
        return {
            "id": f"e{len(self.rows)}",
            "created": datetime.fromtimestamp(START // 1000 + second, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000"),
            "resourcetype": "User",
        }

    def __call__(self, params: dict[str, str]) -> web.Response:
        if self.answers:
            last = (parse_time(self.rows[-1]["created"]) - START) // 1000
            for step in range(self._arrive):
                self.rows.append({**self._row(last + 1), "id": f"late-{self.answers}-{step}"})
        self.answers += 1
        found = [row for row in self.rows if self._within(row, params)]
        size, number = int(params["pagesize"]), int(params["page"])
        end = len(found) - (number - 1) * size
        page = found[max(0, end - size) : end] if end > 0 else []
        inner = {"count": len(found)} | ({"event": page[::-1] if self._reversed else page} if page else {})
        return ok("listEvents", inner if found else {})

    def _within(self, row: dict[str, Any], params: dict[str, str]) -> bool:
        since, until = parse_time(params["startdate"]), params.get("enddate")
        return since <= parse_time(row["created"]) and (
            until is None or parse_time(row["created"]) <= parse_time(until)
        )


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "PAGE", 4)


async def _ids(client: CloudStack, since_ms: int = START) -> list[str]:
    return [row["id"] async for row in read_events(client, since_ms)]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9, 41])
@pytest.mark.parametrize("newest_first", [False, True])
async def test_all_in_order(serve: Serve, client_of: ClientOf, count: int, newest_first: bool) -> None:
    log = Log([2 * number for number in range(count)], newest_first_within=newest_first)
    assert await _ids(client_of(await serve(log))) == [row["id"] for row in log.rows]


async def test_many_in_one_second(serve: Serve, client_of: ClientOf) -> None:
    log = Log([5] * 23)
    found = await _ids(client_of(await serve(log)))
    assert found == [row["id"] for row in log.rows]


async def test_one_call_when_little_is_new(serve: Serve, client_of: ClientOf) -> None:
    region = await serve(Log([0, 1, 2]))
    await _ids(client_of(region))
    assert region.commands == ["listEvents"]


async def test_begins_with_the_whole_second(serve: Serve, client_of: ClientOf) -> None:
    log = Log([0, 1, 1, 2])
    assert await _ids(client_of(await serve(log)), START + 1_700) == [row["id"] for row in log.rows[1:]]


@pytest.mark.parametrize("arrive", [1, 2, 3])
async def test_none_is_lost_or_doubled_while_events_arrive(
    serve: Serve, client_of: ClientOf, arrive: int
) -> None:
    log = Log([number // 3 for number in range(60)], arrive=arrive)
    before = [row["id"] for row in log.rows]
    found = await _ids(client_of(await serve(log)))
    assert len(found) == len(set(found))
    assert [uuid for uuid in found if not uuid.startswith("late")] == before
    times = {row["id"]: row["created"] for row in log.rows}
    assert [times[uuid] for uuid in found] == sorted(times[uuid] for uuid in found)


async def test_only_what_is_synced(serve: Serve, client_of: ClientOf) -> None:
    log = Log([0, 1, 2, 3])
    log.rows[1]["resourcetype"] = "Network"
    del log.rows[2]["resourcetype"]
    assert await _ids(client_of(await serve(log))) == [log.rows[0]["id"], log.rows[3]["id"]]


async def test_recorded_pages(serve: Serve, client_of: ClientOf) -> None:
    """Three pages of four as a real region gave them; the log is told to end there."""

    def script(params: dict[str, str]) -> web.Response:
        number = int(params["page"])
        if number > 3:
            return ok("listEvents", {"count": 12})
        inner = recorded("extra.listEvents", number - 1)["listeventsresponse"]
        return ok("listEvents", {**inner, "count": 12})

    region = await serve(script)
    newest = parse_time("2026-11-23T08:53:24+0000")
    rows = [row async for row in read_events(client_of(region), newest - 1_000)]
    assert len(rows) == 12
    assert [row["created"] for row in rows] == sorted(row["created"] for row in rows)
