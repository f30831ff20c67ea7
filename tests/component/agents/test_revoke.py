"""What takes access away waits behind nothing else, and whatever overtakes what, the newest state stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import wire
from pipeline.agents.apply import Rules
from pipeline.agents.publish import Message
from pipeline.cloudstack.answers import Reply
from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.transport import Request
from pipeline.core import topics
from pipeline.core.entities import DISABLED, ENABLED, Kind
from pipeline.core.merge import Outcome, send
from pipeline.core.mode import Mode
from pipeline.core.records import Desired, Life, Record, RegionState, Stamp, Topology, Value
from pipeline.metrics.instruments import Instruments
from pipeline.outbox.hub import Change, HubStore
from pipeline.sandbox.launch import now_ms
from pipeline.sandbox.state import User
from tests.component.agents.embedded import Stage, staged, until
from tests.component.agents.metering import Exposed, read
from tests.component.agents.rig import FAR, HERE, SERVICE, Rig, rigged
from tests.component.agents.test_apply import changed, family
from tests.unit.agents.regions import gone, user
from tests.unit.outbox.builders import at, fields, record

UPDATES, DISABLES = 10_000, 100
CHUNK = 1_000


@pytest.fixture
def instruments() -> Instruments:
    return Instruments()


@pytest.fixture
async def rig(tmp_path: Path, instruments: Instruments) -> AsyncIterator[Rig]:
    async with rigged(tmp_path, instruments) as one:
        yield one


async def late(rig: Rig, *order: Desired) -> list[str]:
    """Handed to the worker in this order; how their rows end."""
    await rig.give(*order)
    rig.merge(*rig.observed())
    return [rig.outbox(one)["state"] for one in order]


async def test_a_disable_overtakes_the_creation(rig: Rig) -> None:
    await family(rig)
    (made,) = rig.merge(user(FAR, "ann", parent="acc"))
    rig.clock.now += 1
    (off,) = rig.merge(changed(user(FAR, "ann", parent="acc", time=rig.clock()), state=DISABLED))
    assert (made.revokes, off.revokes) == (False, True)
    assert await late(rig, off, made) == ["delivered", "superseded"]
    assert await rig.state(Kind.USER, "ann") == DISABLED


async def test_a_removal_overtakes_the_creation(rig: Rig) -> None:
    await family(rig)
    (made,) = rig.merge(user(FAR, "ann", parent="acc"))
    (removal,) = rig.merge(gone(FAR, Kind.USER, "ann", time=rig.clock()))
    assert (made.revokes, removal.revokes) == (False, True)
    assert await late(rig, removal, made) == ["delivered", "superseded"]
    assert not (await rig.desk.resources.read(Kind.USER, "ann")).present


async def test_a_removal_overtakes_an_update(rig: Rig) -> None:
    await family(rig)
    await rig.tell(user(FAR, "ann", parent="acc"))
    (renamed,) = rig.merge(changed(user(FAR, "ann", parent="acc", time=rig.clock()), firstname="x"))
    (removal,) = rig.merge(gone(FAR, Kind.USER, "ann", time=rig.clock() + 1))
    assert (renamed.revokes, removal.revokes) == (False, True)
    assert await late(rig, removal, renamed) == ["delivered", "superseded"]
    assert not (await rig.desk.resources.read(Kind.USER, "ann")).present


@pytest.mark.parametrize("first", ["the disable", "the enable"])
async def test_an_enable_that_follows_at_once_stands_whichever_arrives_first(rig: Rig, first: str) -> None:
    await family(rig)
    await rig.tell(user(FAR, "ann", parent="acc"))
    (off,) = rig.merge(changed(user(FAR, "ann", parent="acc", time=rig.clock()), state=DISABLED))
    (on,) = rig.merge(user(FAR, "ann", parent="acc", time=rig.clock() + 1))
    assert (off.revokes, on.revokes) == (True, False)
    order = (off, on) if first == "the disable" else (on, off)
    assert sorted(await late(rig, *order)) == ["delivered", "superseded"]
    assert rig.outbox(off)["state"] == "superseded"
    assert await rig.state(Kind.USER, "ann") == ENABLED


async def test_a_change_after_the_disable_takes_its_lane_too(rig: Rig) -> None:
    """It replaces the disable: among what is ordinary it would hold it up."""
    await family(rig)
    await rig.tell(user(FAR, "ann", parent="acc"))
    off = changed(user(FAR, "ann", parent="acc", time=rig.clock()), state=DISABLED)
    (first,) = rig.merge(off)
    (second,) = rig.merge(changed(replace(off, time=rig.clock() + 1), firstname="x"))
    assert (first.revokes, second.revokes) == (True, True)
    assert await late(rig, first, second) == ["superseded", "delivered"]
    (third,) = rig.merge(changed(replace(off, time=rig.clock() + 2), firstname="y"))
    assert not third.revokes, "the region is known to hold it disabled by now"


async def test_what_is_due_again_goes_by_its_own_lane_and_first(rig: Rig) -> None:
    await family(rig)
    await rig.tell(user(FAR, "ann", parent="acc"))
    ordinary = [one for number in range(3) for one in rig.merge(user(FAR, f"u{number}", parent="acc"))]
    (off,) = rig.merge(changed(user(FAR, "ann", parent="acc", time=rig.clock()), state=DISABLED))
    rig.clock.now += 600_000
    await rig.desk.send_due_revocations(2)
    assert [one.topic for one in rig.kafka.messages] == [topics.revoke(HERE)]
    await rig.desk.send_due(200)
    assert [wire.desired(one.value) for one in rig.kafka.take(topics.revoke(HERE))] == [off]
    assert [wire.desired(one.value) for one in rig.kafka.take(topics.desired(HERE))] == ordinary


async def test_a_paused_region_keeps_it_and_gets_it_by_its_own_lane(rig: Rig) -> None:
    await family(rig)
    await rig.tell(user(FAR, "ann", parent="acc"))
    await rig.restart(Rules(Mode.PAUSED))
    (off,) = rig.merge(changed(user(FAR, "ann", parent="acc", time=rig.clock()), state=DISABLED))
    await rig.give(off)
    assert (rig.outbox(off)["state"], await rig.state(Kind.USER, "ann")) == ("pending", ENABLED)
    await rig.restart()
    await rig.desk.send_due_revocations(9)
    (again,) = rig.kafka.take(topics.revoke(HERE))
    await rig.give(wire.desired(again.value))
    assert (rig.outbox(off)["state"], await rig.state(Kind.USER, "ann")) == ("delivered", DISABLED)


def exposed(instruments: Instruments) -> Exposed:
    return read(instruments.text())


async def test_the_time_of_what_takes_access_away_is_a_number_of_its_own(
    rig: Rig, instruments: Instruments
) -> None:
    await family(rig)
    await rig.tell(user(FAR, "ann", parent="acc"))
    before = exposed(instruments).total("region_sync_revocation_seconds_count")
    assert before == 0
    (off,) = rig.merge(changed(user(FAR, "ann", parent="acc", time=rig.clock()), state=DISABLED))
    rig.clock.now += 7_000
    await rig.give(off)
    seen = exposed(instruments)
    assert seen.value("region_sync_revocation_seconds_count", region=HERE) == 1
    assert seen.value("region_sync_revocation_seconds_sum", region=HERE) == 7
    await rig.give(off)
    assert exposed(instruments).value("region_sync_revocation_seconds_count", region=HERE) == 1


# -- a hundred disables behind ten thousand updates


def known(one: User, region: str) -> Record:
    """As the hub knows it, once it has seen it in its region."""
    held = {
        **fields(Kind.USER, one.username, one.account.uuid),
        "firstname": one.firstname,
        "lastname": one.lastname,
        "email": one.email,
    }
    stamp = Stamp(1_000, region)
    values = {name: Value(text, stamp) for name, text in held.items()}
    return Record(Kind.USER, one.uuid, values, Life(True, stamp), 1, regions={region: RegionState(held)})


def chunks(records: Sequence[Record], region: str, **said: str) -> Iterator[list[Change]]:
    """What follows from a change of every one of them elsewhere."""
    stamp = Stamp(now_ms(), "elsewhere")
    topology = Topology((region,))
    for start in range(0, len(records), CHUNK):
        merged = [
            send(
                replace(one, fields=one.fields | {name: Value(text, stamp) for name, text in said.items()}),
                Outcome.CHANGED,
                (),
                topology,
            )
            for one in records[start : start + CHUNK]
        ]
        yield [Change(one.record, None, one.desired) for one in merged]


async def published(stage: Stage, records: Sequence[Record], **said: str) -> list[Desired]:
    """Committed and published, as by the hub."""
    hub, sent = HubStore(stage.wiring.engine, now_ms), []
    for changes in chunks(records, stage.name, **said):
        rows = await asyncio.to_thread(hub.commit, changes, now_ms())
        await asyncio.to_thread(hub.published, [id_ for id_, _, _ in rows], now_ms())
        await stage.publisher.publish(
            [
                Message(topics.carrying(stage.name, revokes=one.revokes), one.uuid.encode(), body)
                for _, one, body in rows
            ]
        )
        sent += [one for _, one, _ in rows]
    return sent


class Hanging:
    """The region answers to no update of a user until it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.answers = asyncio.Event()
        real = CloudStack._timed

        async def timed(client: CloudStack, request: Request) -> Reply:
            if request.command == "updateUser":
                self.calls += 1
                await self.answers.wait()
            return await real(client, request)

        monkeypatch.setattr(CloudStack, "_timed", timed)


@pytest.mark.services
async def test_a_hundred_disables_arrive_before_any_of_ten_thousand_updates_ahead_of_them(
    tmp_path: Path, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All lanes are taken by updates that hang, all room and all buffers are full of more, the rest waits in
    Kafka: and the disables, which come last, are made. No clock decides: not one update gets through."""
    async with staged(tmp_path, kafka_bootstrap) as stage:
        stage.region.region.load(domains=1, accounts=1, users=UPDATES + DISABLES)
        users = [one for one in stage.region.region.world.users.values() if one.username.startswith("load-")]
        records = [known(one, stage.name) for one in users]
        holder = record(Kind.ACCOUNT, users[0].account.uuid, users[0].account.name)
        hub = HubStore(stage.wiring.engine, now_ms)
        hub.commit([Change(holder, None, mapping=at(holder, stage.name))], now_ms())
        hanging = Hanging(monkeypatch)
        updates = await published(stage, records[DISABLES:], firstname="Other")
        assert not any(one.revokes for one in updates)
        worker = await stage.worker()
        lanes = stage.settings.region(stage.name).lanes
        try:
            await until(lambda: hanging.calls == lanes, "every slot hangs in an update")
            await until(
                lambda: any(
                    tp.topic == topics.desired(stage.name) for tp in worker.consumer._buffered_partitions
                ),
                "no more is fetched: the buffer is full",
            )
            disables = await published(stage, records[:DISABLES], state=DISABLED)
            assert all(one.revokes for one in disables)
            await until(lambda: all(one.state == DISABLED for one in users[:DISABLES]), "all are disabled")
            made = stage.region.calls.by_command(SERVICE)
            assert (made.get("disableUser"), made.get("updateUser", 0)) == (DISABLES, 0)
            assert hanging.calls == lanes
        finally:
            hanging.answers.set()
            await worker.stop()
