"""A region's event log as a source: which rows are new, what they become, and when the watermark moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from bridges.eventlog import OTHER_KIND, EventLogSource, LogSettings, Row
from bridges.relay import Counters, Relay
from bridges.rows import Position, message
from bridges.sieve import NO_CHANGE, judge
from pipeline.core import topics
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.core.events import parse_event
from tests.unit.bridges.sinks import HeldSink

SECOND = 1000
T0 = 1795421600 * SECOND  # 2026-11-23 08:13:20
UUID = "1a32b8c6-3811-46dc-adba-f4128f55a70c"
LIMIT_S = 90.0


def row(number: int, second: int = 0, **changes: object) -> Row:
    """As listEvents gives them (recording read.listEvents.type.USER.DELETE)."""
    minute, rest = divmod(20 + second, 60)
    return {
        "id": f"row-{number}",
        "username": "admin",
        "type": "USER.UPDATE",
        "level": "INFO",
        "description": "Successfully completed Updating User. UserId: 40",
        "account": "admin",
        "domainid": "1ce5074d-e714-11f1-b5ac-02fc00000001",
        "domain": "ROOT",
        "resourceid": UUID,
        "resourcetype": "User",
        "resourcename": "usr1-r2",
        "created": f"2026-11-23T08:{13 + minute:02}:{rest:02}+0000",
        "state": "Completed",
        **changes,
    }


class TestMessage:
    def test_it_reads_as_the_bus_would_have_told_it(self) -> None:
        routing_key, body = message(row(7, 3))
        assert routing_key == f"management-server.ActionEvent.USER-UPDATE.User.{UUID}"
        assert json.loads(body)["eventDateTime"] == "2026-11-23 08:13:23 +0000"
        event = parse_event(body)
        assert (event.type, event.kind, event.uuid, event.status) == (
            "USER.UPDATE",
            "User",
            UUID,
            "Completed",
        )
        assert (event.time, event.actor, event.actor_name) == (T0 + 3 * SECOND, "", "admin")

    def test_what_the_log_does_not_know_is_left_out(self) -> None:
        failed = row(1, resourceid=None)
        del failed["level"]  # type: ignore[attr-defined]
        routing_key, body = message(failed)
        assert routing_key.endswith(".USER-UPDATE.User.*")
        assert "entityuuid" not in json.loads(body)

    @pytest.mark.parametrize(
        "broken", [{"created": "yesterday"}, {"type": None}, {"state": 3}, {"resourceid": []}]
    )
    def test_a_broken_row_becomes_a_dead_letter(self, broken: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=r"key|time"):
            judge(*message(row(1, **broken)))


class TestPosition:
    def test_a_second_that_may_still_grow_is_read_again_and_its_rows_are_known(self) -> None:
        position = Position(T0, 30 * SECOND)
        assert position.is_new(row(1), 0)
        position.advance(0, T0 + 60 * SECOND)
        assert position.since <= T0
        assert not position.is_new(row(1), 1)
        assert position.is_new(row(2), 1), "the same second, another row"

    def test_it_stays_the_overlap_behind_the_newest_row(self) -> None:
        position = Position(T0, 30 * SECOND)
        position.is_new(row(1, 100), 5)
        position.advance(5, T0 + 1000 * SECOND)
        assert position.since == T0 + 70 * SECOND

    def test_silence_moves_it_on_by_our_own_clocks_pace(self) -> None:
        """A burst must not be read again at each poll until the next event comes."""
        position = Position(T0, 30 * SECOND)
        position.is_new(row(1), 1_000)
        position.advance(61_000, T0 + 1000 * SECOND)
        assert position.since == T0 + 30 * SECOND
        assert not position.is_new(row(1), 61_000), "older than what is asked for"

    def test_it_never_goes_back(self) -> None:
        position = Position(T0 + 90 * SECOND, 30 * SECOND)
        position.is_new(row(1, 95), 0)
        position.advance(0, T0 + 1000 * SECOND)
        assert position.since == T0 + 90 * SECOND

    def test_a_row_from_the_far_future_hides_nothing(self) -> None:
        position = Position(T0, 30 * SECOND)
        position.is_new(row(1, created="2099-01-01T00:00:00+0000"), 0)
        position.advance(0, T0 + 40 * SECOND)
        assert position.since == T0 + 10 * SECOND
        assert position.is_new(row(2, 12), 0)

    def test_rows_without_an_id_are_told_apart_by_their_text(self) -> None:
        position = Position(T0, 30 * SECOND)
        assert position.is_new(row(1, id=None), 0)
        assert not position.is_new(row(1, id=None), 0)
        assert position.is_new(row(1, id=None, description="another"), 0)


@dataclass
class Region:
    """An event log that grows, fails and answers as the test wants."""

    rows: list[Row] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    fail_after: int | None = None

    async def read(self, since: int) -> AsyncIterator[Row]:
        self.asked.append(since)
        if self.failures:
            raise self.failures.pop(0)
        for number, entry in enumerate(list(self.rows)):
            if number == self.fail_after:
                self.fail_after = None
                raise TemporaryError("connection lost in the middle")
            yield entry

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Callable[[int], AsyncIterator[Row]]]:
        yield self.read


@dataclass
class Mark:
    value: int | None = None
    saved: list[int] = field(default_factory=list)
    broken: bool = False

    def load(self) -> int | None:
        return self.value

    def save(self, ms: int) -> None:
        if self.broken:
            raise TemporaryError("database away")
        self.value = ms
        self.saved.append(ms)


class Follower:
    """The source with all its parts, running."""

    def __init__(self, region: Region, mark: Mark | None, **settings: float) -> None:
        self.sink = HeldSink()
        self.counters = Counters()
        relay = Relay("r1", "eventlog", self.sink, self.counters, lambda: T0)
        given = {"poll_interval_s": 0.01, "overlap_s": 30.0, "drain_limit_s": 0.5, **settings}
        self.source = EventLogSource(LogSettings("r1", **given), relay, self.sink, self.counters)  # type: ignore[arg-type]
        self.region = region
        self.mark = mark

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        run = self.source.run(self.region.opened, self.mark, None, lambda: T0 + 10**7)
        task = asyncio.create_task(run)
        try:
            yield
        finally:
            self.source.stop()
            await asyncio.wait_for(task, LIMIT_S)

    def ids(self) -> list[str]:
        return [json.loads(record.value)["eventid"] for record in self.sink.delivered]


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not reached():
            await asyncio.sleep(0.002)


async def test_rows_are_relayed_once_though_they_are_read_again() -> None:
    region = Region([row(1), row(2, 1)])
    follower = Follower(region, Mark(T0))
    async with follower.running():
        await until(lambda: len(region.asked) > 3)
        region.rows.append(row(3, 1))  # the second grew
        await until(lambda: len(follower.ids()) == 3)
        asked = len(region.asked)
        await until(lambda: len(region.asked) > asked + 2)
    assert follower.ids() == ["row-1", "row-2", "row-3"]
    [record, *_] = follower.sink.delivered
    assert record.topic == topics.events("r1")
    assert dict(record.headers)["source"] == "eventlog"


async def test_the_first_read_goes_back_generously_without_a_watermark() -> None:
    region = Region()
    follower = Follower(region, None, first_lookback_s=600)
    async with follower.running():
        await until(lambda: bool(region.asked))
    assert region.asked[0] == T0 + 10**7 - 600 * SECOND


async def test_a_saved_watermark_is_where_it_goes_on() -> None:
    region = Region()
    async with Follower(region, Mark(T0 + 77 * SECOND)).running():
        await until(lambda: bool(region.asked))
    assert region.asked[0] == T0 + 77 * SECOND


async def test_the_watermark_waits_for_kafka() -> None:
    region = Region([row(1, 200)])
    mark = Mark(T0)
    follower = Follower(region, mark)
    follower.sink.open = False
    async with follower.running():
        await until(lambda: follower.sink.waiting == 1)
        await until(lambda: follower.counters.unacked == 1)
        assert mark.value == T0
        assert len(region.asked) == 1, "no further read before Kafka has this one's rows"
        follower.sink.open = True
        await until(lambda: mark.value == T0 + 170 * SECOND)
    assert follower.ids() == ["row-1"]


async def test_a_stop_while_kafka_is_away_leaves_the_watermark_behind() -> None:
    region = Region([row(1, 200)])
    mark = Mark(T0)
    follower = Follower(region, mark, drain_limit_s=0.05)
    follower.sink.open = False
    async with follower.running():
        await until(lambda: follower.sink.waiting == 1)
    assert mark.value == T0


async def test_a_stop_lets_arrive_what_is_under_way() -> None:
    region = Region([row(1)])
    follower = Follower(region, Mark(T0), drain_limit_s=5.0)
    follower.sink.open = False
    async with follower.running():
        await until(lambda: follower.sink.waiting == 1)
        follower.source.stop()
        await asyncio.sleep(0)
        follower.sink.open = True
    assert follower.ids() == ["row-1"]


async def test_rows_of_other_kinds_and_announcements_are_counted_only() -> None:
    region = Region([row(1, type="VM.START", resourcetype="VirtualMachine"), row(2, state="Started"), row(3)])
    follower = Follower(region, Mark(T0))
    async with follower.running():
        await until(lambda: len(follower.ids()) == 1)
    assert follower.counters.dropped == {OTHER_KIND: 1, NO_CHANGE: 1}
    assert follower.ids() == ["row-3"]


async def test_a_broken_row_is_one_dead_letter_and_the_others_pass() -> None:
    region = Region([row(1, created="never"), row(2, resourceid=5), row(3)])
    follower = Follower(region, Mark(T0))
    async with follower.running():
        await until(lambda: len(region.asked) > 3 and len(follower.sink.delivered) == 3)
    by_topic = [(record.topic, json.loads(record.value)["eventid"]) for record in follower.sink.delivered]
    assert by_topic == [
        (topics.DEAD_LETTERS, "row-1"),
        (topics.DEAD_LETTERS, "row-2"),
        (topics.events("r1"), "row-3"),
    ]


@pytest.mark.parametrize("error", [TemporaryError("no answer"), PermanentError("401 unable to verify")])
async def test_a_region_that_fails_is_tried_again_and_told_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="bridges.eventlog")
    region = Region([row(1)], failures=[error, error])
    follower = Follower(region, Mark(T0))
    async with follower.running():
        await until(lambda: bool(follower.ids()))
        assert follower.counters.connected
    told = [(entry.levelname, entry.getMessage()) for entry in caplog.records]
    assert told == [
        ("WARNING", f"event log of r1 cannot be followed, trying for ever: {error}"),
        ("INFO", "following the event log of r1 after 2 failed tries"),
    ]


async def test_a_read_that_breaks_off_moves_no_watermark_and_doubles_nothing() -> None:
    region = Region([row(1, 100), row(2, 101), row(3, 102)], fail_after=2)
    mark = Mark(T0)
    follower = Follower(region, mark)
    async with follower.running():
        await until(lambda: len(follower.ids()) == 3)
        await until(lambda: mark.value == T0 + 72 * SECOND)
    assert follower.ids() == ["row-1", "row-2", "row-3"]
    assert region.asked[:2] == [T0, T0]


async def test_a_database_away_does_not_stop_the_stream() -> None:
    region = Region([row(1, 100)])
    mark = Mark(T0, broken=True)
    follower = Follower(region, mark)
    async with follower.running():
        await until(lambda: bool(follower.ids()))
        asked = len(region.asked)
        await until(lambda: len(region.asked) > asked)
        mark.broken = False
        await until(lambda: mark.value == T0 + 70 * SECOND)


async def test_no_more_is_under_way_than_allowed() -> None:
    region = Region([row(number, number // 10) for number in range(1000)])
    follower = Follower(region, Mark(T0), in_flight=100)
    follower.sink.open = False
    async with follower.running():
        await until(lambda: follower.sink.waiting >= 100)
        await until(lambda: follower.counters.unacked >= 100)
        assert follower.sink.waiting <= 200
        follower.sink.open = True
        await until(lambda: len(follower.ids()) == 1000)


async def test_rows_wait_while_kafka_holds_too_much_unread() -> None:
    region = Region([row(1)])
    follower = Follower(region, Mark(T0))
    full = _Full()
    task = asyncio.create_task(follower.source.run(region.opened, follower.mark, full, lambda: T0))
    await until(lambda: full.asked > 1)
    assert not follower.sink.waiting
    assert not follower.sink.delivered
    full.room = True
    await until(lambda: follower.ids() == ["row-1"])
    follower.source.stop()
    await asyncio.wait_for(task, LIMIT_S)


class _Full:
    room = False
    asked = 0

    def has_room(self) -> bool:
        self.asked += 1
        return self.room


class Hanging(Region):
    hangs = False

    async def read(self, since: int) -> AsyncIterator[Row]:
        yield row(1)
        self.hangs = True
        await asyncio.Event().wait()


async def test_a_region_that_hangs_does_not_hold_up_a_stop() -> None:
    region, mark = Hanging(), Mark(T0)
    follower = Follower(region, mark, drain_limit_s=30.0)
    began = asyncio.get_running_loop().time()
    async with follower.running():
        await until(lambda: region.hangs)
    assert asyncio.get_running_loop().time() - began < 5
    assert follower.ids() == ["row-1"], "what had come before still arrives"
    assert mark.value == T0, "and is read again"
