"""Faust workers of one region: what one entity held is told in the order of the reads whoever reads it, and
nothing is acknowledged past what is still held (faust-streaming issue 606).

The first needs a real Kafka: the embedded one (librdkafka's mock cluster) now and then refuses a second
member of a group ("Unexpected error from SyncGroup: InvalidRequestError").
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import faust
import pytest

from pipeline import wire
from pipeline.agents.intake import Taken
from pipeline.agents.publish import Message
from pipeline.agents.region import RegionWorker
from pipeline.cloudstack.resources import Resources
from pipeline.core import topics
from pipeline.core.entities import Kind, Snapshot
from pipeline.core.records import Observation, Topology
from pipeline.outbox.hub import HubStore
from pipeline.sandbox.launch import now_ms
from tests.component.agents.embedded import PARTITIONS, Stage, partition, partitions, staged, until
from tests.contract.sandbox.api import PERSON, Api
from tests.unit.agents.regions import Log, Merger, account
from tests.unit.outbox.builders import fields


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as one:
        yield one


async def users(api: Api, number: int) -> tuple[str, list[str]]:
    """An account, and its users; their first names count what was done to them, from 0 on."""
    domain = await api.domain("dom")
    account_id, _ = await api.account("acc", domain)
    made = []
    for index in range(number):
        held = {"account": "acc", "domainid": domain, "username": f"user{index}", **PERSON}
        made.append(str((await api("createUser", **held | {"firstname": "0"})).body["user"]["id"]))
    return account_id, made


def evenly(stage: Stage, workers: list[faust.App]) -> bool:
    """All partitions are held, each by one worker, and every worker holds the same ones of all topics."""
    held = [partitions(app, topics.events(stage.name)) for app in workers]
    for topic in (topics.desired(stage.name), topics.revoke(stage.name)):
        if [partitions(app, topic) for app in workers] != held or not all(held):
            return False
    return sorted(number for one in held for number in one) == list(range(PARTITIONS))


BREATH_S = 0.1
"""Between two rounds: the event log, which is searched for each user, would grow faster than a machine with
other work gets through it."""


class Changes:
    """People who count every user's first name up, a hub that wants other last names, and hints of both."""

    def __init__(self, stage: Stage, api: Api, of: str, uuids: list[str]) -> None:
        self._stage = stage
        self._api = api
        self._uuids = uuids
        self._fields = {
            uuid: {
                **fields(Kind.USER, f"user{index}", of),
                "firstname": "0",
                "lastname": "L",
                "email": "a@b.c",
            }
            for index, uuid in enumerate(uuids)
        }
        store = HubStore(stage.wiring.engine, now_ms)
        self._hub = Log(store, Merger(store, Topology(("r1", stage.name))))
        self._hub.say(account(stage.name, of, "acc"))
        self._hub.say(*(self._seen(stage.name, uuid, PERSON["lastname"]) for uuid in uuids))
        self._numbers = count(1)
        self.rounds = 0

    async def go_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            number = next(self._numbers)
            for uuid in self._uuids:
                answer = await self._api("updateUser", id=uuid, firstname=str(number))
                assert answer.status == 200
            await self._stage.hint(Kind.USER, *self._uuids)
            await self._stage.publisher.publish([self._wanted(uuid, number) for uuid in self._uuids[::2]])
            self.rounds += 1
            await asyncio.sleep(BREATH_S)

    def _wanted(self, uuid: str, number: int) -> Message:
        sent = self._hub.say(self._seen("r1", uuid, f"wanted {number}"))
        (desired,) = (one for one in sent if one.region == self._stage.name)
        return Message(topics.desired(self._stage.name), uuid.encode(), wire.encode(desired))

    def _seen(self, region: str, uuid: str, lastname: str) -> Observation:
        held = self._fields[uuid] | {"lastname": lastname}
        return Observation(region, Kind.USER, uuid, held, now_ms())


@pytest.mark.services
async def test_one_entitys_reads_are_told_in_their_order_over_rebalances(
    tmp_path: Path, kafka_bootstrap: str
) -> None:
    async with staged(tmp_path, kafka_bootstrap) as stage:
        await rebalanced(stage)


async def rebalanced(stage: Stage) -> None:
    api = Api(stage.region)
    of, uuids = await users(api, 12)
    stage.region.faults.latency_ms = 5
    changes = Changes(stage, api, of, uuids)
    workers = [await stage.worker()]
    await until(lambda: evenly(stage, workers), "one worker holds everything")
    stop = asyncio.Event()
    making = asyncio.create_task(changes.go_on(stop))
    try:
        workers.append(await stage.worker())
        await until(lambda: evenly(stage, workers), "two workers share, equal partitions together")
        await two_rounds(changes, making)
        await workers.pop(0).stop()
        await until(lambda: evenly(stage, workers), "the second worker holds everything")
        await two_rounds(changes, making)
        workers.append(await stage.worker())
        await until(lambda: evenly(stage, workers), "two workers share again")
        await two_rounds(changes, making)
        stop.set()
        await making
        await until(stage.worked_off, "all hints and desired states are worked off")
        assert not any(app.crashed for app in workers)
    finally:
        making.cancel()
        await asyncio.gather(making, *(app.stop() for app in workers), return_exceptions=True)
    told: dict[str, list[int]] = defaultdict(list)
    causes = set()
    for one in await asyncio.to_thread(stage.observations):
        causes.add(one.cause)
        assert one.fields is not None
        told[one.uuid].append(int(one.fields["firstname"]))
    assert told.keys() == set(uuids)
    for uuid, numbers in told.items():
        assert numbers == sorted(numbers), f"{uuid} was told of out of order"
        assert numbers[-1] == changes.rounds
    assert causes == {"apply", "REGION-SYNC.HINT"}


async def two_rounds(changes: Changes, making: asyncio.Task[None]) -> None:
    goal = changes.rounds + 2
    await until(lambda: changes.rounds >= goal or making.done(), "the changes go on")


async def test_nothing_is_committed_past_a_held_head(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(stage.region)
    _, made = await users(api, 120)  # of four partitions: ten in one are all but certain
    here = [uuid for uuid in made if partition(uuid) == 0][:10]
    elsewhere = [uuid for uuid in made if partition(uuid) == 1][:3]
    assert (len(here), len(elsewhere)) == (10, 3)
    held, letting = here[0], asyncio.Event()
    topic = topics.events(stage.name)
    real = Resources.read

    async def read(self: Resources, kind: Kind, uuid: str) -> Snapshot:
        if uuid == held:
            await letting.wait()
        return await real(self, kind, uuid)

    monkeypatch.setattr(Resources, "read", read)
    worker = await stage.worker()
    try:
        await stage.hint(Kind.USER, *here)
        await until(lambda: told(stage) >= set(here[1:]), "the other nine are told of")
        for uuid in elsewhere:  # each commit of another partition is one that could have taken ours along
            before = stage.committed(topic)[1]
            await stage.hint(Kind.USER, uuid)
            await until(lambda before=before: stage.committed(topic)[1] > before, "a commit")  # type: ignore[misc]
        assert stage.committed(topic)[0] == 0
        assert held not in told(stage)
    finally:
        await worker.stop()
    assert stage.committed(topic)[0] == 0, "nor by a stop"
    letting.set()
    worker = await stage.worker()
    try:
        await until(lambda: stage.committed(topic)[0] == 10, "the next worker reads all ten")
        assert held in told(stage)
    finally:
        await worker.stop()


@pytest.mark.services
async def test_what_nobody_has_acknowledged_yet_is_read_again_after_a_rebalance(
    tmp_path: Path, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing of its partition was ever committed: there Faust and aiokafka would seek nowhere."""
    async with staged(tmp_path, kafka_bootstrap) as stage:
        _, (uuid,) = await users(Api(stage.region), 1)
        taken: list[int] = []

        async def take(self: RegionWorker, one: Taken) -> None:
            taken.append(one.offset)  # and never acknowledges it, as if it had been thrown away

        monkeypatch.setattr(RegionWorker, "take_event", take)
        worker = await stage.worker()
        try:
            await stage.hint(Kind.USER, uuid)
            await until(lambda: taken == [0], "the first reading")
            await worker.consumer.perform_seek()  # as after every rebalance
            await until(lambda: taken == [0, 0], "the second reading")
        finally:
            await worker.stop()


def told(stage: Stage) -> set[str]:
    return {one.uuid for one in stage.observations()}
