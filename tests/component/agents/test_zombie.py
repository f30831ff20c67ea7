"""A worker that is stopped in the middle of its work, its successor, and what the first one does when it
wakes: nothing that is older than what the second one has done, and no word of what it read before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qs

import httpx
import pytest

from pipeline import wire
from pipeline.agents.desk import Desk, Watch
from pipeline.agents.intake import Taken
from pipeline.agents.publish import Publisher
from pipeline.agents.region import RegionWorker
from pipeline.agents.tenure import SESSION_S, Tenure
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.cloudstack.transport import pooled
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.events import AGAIN, HINT, hint
from pipeline.core.records import Desired, Observation
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import applied, attempt, rmap
from pipeline.outbox.terms import Terms
from pipeline.sandbox.launch import now_ms
from tests.component.agents.rig import FAR, FAST, HERE, Rig, Topics
from tests.unit.agents.regions import domain, gone
from tests.unit.outbox.builders import rows

LIMIT_S = 30.0


class Wire(httpx.AsyncBaseTransport):
    """The region's; it stops before, or after, the next call of a command until it is let go."""

    def __init__(self) -> None:
        self._real = pooled(4, "")
        self.calls: list[str] = []
        self.stop_before = self.stop_after = ""
        self.stopped, self.go = asyncio.Event(), asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        said = request.url.query or await request.aread()
        command = parse_qs(said.decode())["command"][0]
        if command == self.stop_before:
            await self._stop()
        answer = await self._real.handle_async_request(request)
        self.calls.append(command)
        if command == self.stop_after:
            await answer.aread()
            await self._stop()
        return answer

    async def aclose(self) -> None:
        await self._real.aclose()

    async def _stop(self) -> None:
        self.stop_before = self.stop_after = ""
        self.stopped.set()
        await self.go.wait()


@dataclass
class Worker:
    """One process, with its own clock of being awake, on the rig's region and store."""

    worker: RegionWorker
    wire: Wire
    tenure: Tenure
    kafka: Topics
    asked: list[int]
    now: list[float]
    acknowledged: list[int] = field(default_factory=list)
    offset: int = 0

    async def give(self, desired: Desired) -> None:
        value = wire.encode(desired)
        await self._take(self.worker.take_desired, topics.desired(HERE), desired.uuid, value)

    async def hint(self, kind: Kind, uuid: str, time: int, event: str = HINT) -> None:
        await self._take(self.worker.take_event, topics.events(HERE), uuid, hint(kind, uuid, time, event))

    async def _take(self, take: object, topic: str, key: str, value: bytes) -> None:
        offset, self.offset = self.offset, self.offset + 1
        taken = Taken((topic, 0), offset, key.encode(), value, {}, lambda: self.acknowledged.append(offset))
        await take(taken)  # type: ignore[operator]

    async def stops(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self.wire.stopped.wait()

    def sleeps(self, seconds: float) -> None:
        self.now[0] += seconds

    async def wakes(self) -> None:
        """Until it has nothing at work any more."""
        self.wire.go.set()
        async with asyncio.timeout(LIMIT_S):
            while self.worker.lanes.busy or self.worker.lanes.waiting:
                await asyncio.sleep(0.01)

    def told(self) -> list[Observation]:
        return [
            wire.observation(one.value) for one in self.kafka.messages if one.topic == topics.OBSERVATIONS
        ]

    def writes(self) -> list[str]:
        return [one for one in self.wire.calls if not one.startswith(("list", "get", "query"))]


@asynccontextmanager
async def process(rig: Rig, session_s: float = SESSION_S) -> AsyncIterator[Worker]:
    """A further worker of the rig's region. `session_s`: after how long it takes notice."""
    now, asked, wire_, kafka = [1000.0], [0], Wire(), Topics()
    tenure = Tenure(Terms(rig.engine, HERE, rig.clock).next, lambda: now[0], session_s)
    keys = Credentials(rig.region.service.apikey, rig.region.service.secretkey)
    client = CloudStack(
        ClientSettings(rig.region.endpoint, keys),
        clock=now_ms,
        transport=wire_,
        before_change=tenure.before_change,
    )
    resources = Resources(client)
    await resources.start()
    wire_.calls.clear()

    class Counted(RegionStore):
        def contexts(self, wanted):  # type: ignore[no-untyped-def]
            asked[0] += 1
            return super().contexts(wanted)

    store = Counted(rig.engine, HERE, rig.clock)
    worker = RegionWorker(Desk(resources, store, cast(Publisher, kafka), rig.clock, Watch(tenure)), 2)
    worker.guard.backoff = FAST
    worker.lanes.start()
    try:
        yield Worker(worker, wire_, tenure, kafka, asked, now)
    finally:
        wire_.go.set()
        await worker.lanes.stop()
        await client.aclose()


async def renamed_twice(rig: Rig) -> tuple[Desired, Desired]:
    """A domain that the region holds, and two desired states of it that it does not."""
    await rig.tell(domain(FAR, "dom"))
    (first,) = rig.merge(domain(FAR, "dom", "first"))
    rig.clock.now += 1_000
    (second,) = rig.merge(domain(FAR, "dom", "second"))
    rig.writes()
    return first, second


def takes_over(rig: Rig) -> None:
    """The rig's worker is given the partitions now."""
    rig.worker.give_up({(topics.desired(HERE), 0), (topics.events(HERE), 0)})


def name(rig: Rig) -> str:
    """Of the one domain that the region holds."""
    (path,) = rig.region.dump()["domains"]
    return str(path).removeprefix("ROOT/")


async def let_hub_hear(rig: Rig, *zombies: Worker) -> None:
    """Of all that was told, by the successor first; then all that follows from it is applied."""
    told = rig.observed()
    for zombie in zombies:
        told += zombie.told()
    for desired in rig.merge(*told):
        await rig.give(desired)
    rig.merge(*rig.observed())


@pytest.mark.parametrize("where", ["after its read", "after its call"])
async def test_a_worker_that_slept_over_its_session_does_nothing_old(where: str, rig: Rig) -> None:
    """Nobody has told it yet that its partitions are another one's."""
    first, second = await renamed_twice(rig)
    async with process(rig) as zombie:
        zombie.wire.stop_after = {"after its read": "listDomains", "after its call": "updateDomain"}[where]
        await zombie.give(second)
        await zombie.stops()
        made = zombie.writes()
        zombie.sleeps(SESSION_S + 1)
        takes_over(rig)
        (third,) = rig.merge(domain(FAR, "dom", "third"))
        await rig.give(third)
        await zombie.wakes()
        assert zombie.writes() == made, "no call after it woke"
        assert zombie.told() == []
    assert rig.outbox(second)["state"] == "superseded"
    await let_hub_hear(rig)
    assert name(rig) == "third"
    record = rig.hub.load(["dom"])["dom"].record
    assert (record.fields["name"].text, record.region(HERE).sent) == ("third", ())
    assert first.version < second.version < third.version


async def test_a_worker_that_lost_its_partition_ends_its_job_and_acknowledges_nothing(rig: Rig) -> None:
    """The rebalance was quick: no time has gone."""
    _, second = await renamed_twice(rig)
    async with process(rig) as zombie:
        zombie.wire.stop_after = "listDomains"
        await zombie.give(second)
        await zombie.stops()
        zombie.worker.give_up({(topics.desired(HERE), 0), (topics.events(HERE), 0)})
        await zombie.wakes()
        assert (zombie.writes(), zombie.told(), zombie.acknowledged) == ([], [], [])
    assert rig.outbox(second)["state"] == "pending", "for its successor"
    await rig.give(second)
    assert (name(rig), rig.outbox(second)["state"]) == ("second", "delivered")


async def test_the_calls_of_a_job_that_was_lost_are_in_the_audit(rig: Rig) -> None:
    _, second = await renamed_twice(rig)
    async with process(rig) as zombie:
        zombie.wire.stop_after = "updateDomain"
        await zombie.give(second)
        await zombie.stops()
        zombie.worker.give_up({(topics.desired(HERE), 0)})
        await zombie.wakes()
    assert rig.commands(second) == ["listDomains", "updateDomain"]
    assert rig.outbox(second)["state"] == "pending"


async def test_what_comes_back_to_the_same_worker_is_done_by_it(rig: Rig) -> None:
    """Given up and given again while a job is under way: the old one ends, the new one is done."""
    _, second = await renamed_twice(rig)
    async with process(rig) as worker:
        worker.wire.stop_after = "listDomains"
        await worker.give(second)
        await worker.stops()
        worker.worker.give_up({(topics.desired(HERE), 0)})
        await worker.give(second)
        await worker.wakes()
        assert worker.writes() == ["updateDomain"]
        assert worker.acknowledged == [1]
        assert [one.term for one in worker.told()] == [3], "under another term"
    assert name(rig) == "second"


async def test_an_old_read_is_never_told(rig: Rig) -> None:
    """A hint was answered by a read; the answer is read again after the worker has slept."""
    made = await rig.api.domain("before")
    async with process(rig) as zombie:
        zombie.wire.stop_after = "listDomains"
        await zombie.hint(Kind.DOMAIN, made, rig.clock())
        await zombie.stops()
        await rig.api("updateDomain", id=made, name="after")
        zombie.sleeps(SESSION_S + 1)
        await zombie.wakes()
        assert [one.fields and one.fields["name"] for one in zombie.told()] == ["after"]
        assert zombie.acknowledged == [0]


async def test_the_call_that_was_under_way_is_overwritten_and_is_no_news(rig: Rig) -> None:
    """What no check can prevent: here it never takes notice. Its call lands after its successor's, and its
    word comes last."""
    _, second = await renamed_twice(rig)
    async with process(rig, session_s=float("inf")) as zombie:
        zombie.wire.stop_before = "updateDomain"
        await zombie.give(second)
        await zombie.stops()
        takes_over(rig)
        (third,) = rig.merge(domain(FAR, "dom", "third"))
        await rig.give(third)
        assert name(rig) == "third"
        await zombie.wakes()
        assert name(rig) == "second", "it was under way"
        (word,) = zombie.told()
        assert (word.term, word.applied, word.wrote) == (2, second.version, True)
        await let_hub_hear(rig, zombie)
    assert name(rig) == "third"
    record = rig.hub.load(["dom"])["dom"].record
    assert (record.fields["name"].text, record.region(HERE).sent) == ("third", ())
    assert rows(rig.engine, applied)[0]["version"] > third.version


async def test_an_old_word_that_no_check_has_stopped_is_dropped_and_asked_for_again(rig: Rig) -> None:
    """It lay in the producer's queue while the worker was cut off from Kafka."""
    made = await rig.api.domain("before")
    async with process(rig, session_s=float("inf")) as zombie:
        zombie.wire.stop_after = "listDomains"
        await zombie.hint(Kind.DOMAIN, made, rig.clock())
        await zombie.stops()
        await rig.api("updateDomain", id=made, name="after")
        takes_over(rig)
        await rig.look(Kind.DOMAIN, made)
        rig.merge(*rig.observed())
        await zombie.wakes()
        (word,) = zombie.told()
        assert (word.fields or {})["name"] == "before"
        assert rig.merge(word) == []
    record = rig.hub.load([made])[made].record
    assert record.fields["name"].text == "after"


async def test_who_is_asked_again_speaks_under_a_later_term(rig: Rig) -> None:
    """An entity may come to the worker with the lesser term without a rebalance, as when it gets another UUID
    there: asked again and again, what it says would be old for ever."""
    made = await rig.api.domain("dom")
    async with process(rig) as other:
        await other.hint(Kind.DOMAIN, made, rig.clock())
        await other.wakes()
        takes_over(rig)
        await rig.look(Kind.DOMAIN, made)
        rig.merge(*rig.observed())
        await rig.api("updateDomain", id=made, name="renamed")
        await other.hint(Kind.DOMAIN, made, rig.clock())
        await other.wakes()
        rig.merge(other.told()[-1])
        assert rig.hub.load([made])[made].record.fields["name"].text == "dom", "it counts as old"
        await other.hint(Kind.DOMAIN, made, rig.clock(), AGAIN)
        await other.wakes()
        rig.merge(other.told()[-1])
    assert rig.hub.load([made])[made].record.fields["name"].text == "renamed"


async def test_a_late_settlement_does_not_bring_back_what_was_removed(rig: Rig) -> None:
    """It was stopped between its word and its settlement, in which it says that the entity is there."""
    (made,) = rig.merge(domain(FAR, "dom"))
    async with process(rig) as zombie:
        settle, reached, go = zombie.worker._desk.settle, asyncio.Event(), asyncio.Event()

        async def late(settlement):  # type: ignore[no-untyped-def]
            reached.set()
            await go.wait()
            await settle(settlement)

        zombie.worker._desk.settle = late  # type: ignore[method-assign]
        await zombie.give(made)
        async with asyncio.timeout(LIMIT_S):
            await reached.wait()
        rig.merge(*zombie.told())
        rig.clock.now += 5_000
        (ended,) = rig.merge(gone(FAR, Kind.DOMAIN, "dom", time=rig.clock()))
        rig.merge(domain(FAR, "dom"))
        await rig.give(ended)
        rig.merge(*rig.observed())
        go.set()
        await zombie.wakes()
    (mapping,) = [one for one in rows(rig.engine, rmap) if one["region_id"] == HERE]
    assert mapping["removed"] is not None
    assert rig.region.dump()["domains"] == {}


# What it costs


async def test_a_job_that_goes_on_asks_the_database_once(rig: Rig) -> None:
    _, second = await renamed_twice(rig)
    async with process(rig) as worker:
        await worker.give(second)
        await worker.wakes()
        assert (worker.writes(), worker.asked[0]) == (["updateDomain"], 1)
    assert name(rig) == "second"


async def test_a_slow_region_costs_one_more_question_and_no_second_read(rig: Rig) -> None:
    """Nothing stood still: the process went on while the region took its time."""
    _, second = await renamed_twice(rig)
    async with process(rig) as worker:
        worker.wire.stop_after = "listDomains"
        await worker.give(second)
        await worker.stops()
        for _ in range(20):
            worker.sleeps(SESSION_S / 2)
            worker.tenure.tick()
        await worker.wakes()
        assert worker.wire.calls == ["listDomains", "updateDomain"]
        assert worker.asked[0] == 2
        assert worker.acknowledged == [0]
    assert (name(rig), rig.outbox(second)["state"]) == ("second", "delivered")


async def test_what_became_old_while_the_region_was_slow_is_not_called(rig: Rig) -> None:
    _, second = await renamed_twice(rig)
    async with process(rig) as worker:
        worker.wire.stop_after = "listDomains"
        await worker.give(second)
        await worker.stops()
        for _ in range(3):
            worker.sleeps(SESSION_S / 2)
            worker.tenure.tick()
        rig.merge(domain(FAR, "dom", "third"))
        await worker.wakes()
        assert worker.writes() == []
    assert rig.outbox(second)["state"] == "superseded"


async def test_a_row_that_another_worker_has_settled_is_not_carried_out_again(rig: Rig) -> None:
    """The same version: its successor applied it, then somebody changed the entity there."""
    _, second = await renamed_twice(rig)
    async with process(rig) as zombie:
        zombie.wire.stop_after = "listDomains"
        await zombie.give(second)
        await zombie.stops()
        await rig.give(second)
        await rig.api("updateDomain", id="dom", name="by hand")
        zombie.sleeps(SESSION_S + 1)
        await zombie.wakes()
        assert zombie.writes() == []
    assert name(rig) == "by hand"
    assert [one["command"] for one in rows(rig.engine, attempt)].count("updateDomain") == 1
