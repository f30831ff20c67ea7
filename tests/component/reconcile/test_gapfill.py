"""The gap fill beside a simulated region, a broker and a database: what the bus lost is told once, whatever
dies."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from bridges.rows import message
from pipeline.agents.publish import Message
from pipeline.cloudstack.eventlog import read_events
from pipeline.core import topics
from pipeline.core.errors import TemporaryError
from pipeline.core.events import parse_event
from pipeline.core.gap import SILENT_AFTER
from pipeline.outbox.gaps import GapRow
from pipeline.reconcile.bus import Told
from pipeline.reconcile.gapfill import GapFill
from tests.component.reconcile.rig import LIMIT_S, Killed, Rig
from tests.contract.sandbox.api import PERSON, Api

DAY_MS = 86_400_000


def entities(told: list[Told]) -> Counter[tuple[str, str | None]]:
    """Type and UUID of each message."""
    events = [parse_event(one.value) for one in told]
    return Counter((event.type, event.uuid) for event in events)


async def some_changes(rig: Rig) -> Counter[tuple[str, str | None]]:
    """What their events say: creations and an update."""
    domain = await rig.api.domain("d")
    account, user = await rig.api.account("a", domain)
    assert (await rig.api("updateUser", id=user, firstname="x")).status == 200
    made = [
        ("DOMAIN.CREATE", domain),
        ("ACCOUNT.CREATE", account),
        ("USER.CREATE", user),
        ("USER.UPDATE", user),
    ]
    return Counter(made)


async def lose(rig: Rig, share: float = 1.0) -> None:
    await rig.relayed()
    rig.region.faults.lost_ratio = share


async def test_what_came_over_the_bus_is_not_told_again(rig: Rig) -> None:
    gap_fill = rig.gap_fill()
    await gap_fill.cycle()
    await some_changes(rig)
    await rig.after_the_grace(gap_fill)
    assert len(await rig.told("amqp")) == 4
    assert await rig.told() == []
    assert rig.store.row() == GapRow("r1")


async def test_what_the_bus_lost_is_told_once_as_the_bus_would_have(rig: Rig) -> None:
    gap_fill = rig.gap_fill()
    await gap_fill.cycle()
    await lose(rig)
    made = await some_changes(rig)
    await gap_fill.cycle()
    assert await rig.told() == []  # it may be late
    await rig.after_the_grace(gap_fill)
    await rig.after_the_grace(gap_fill)
    told = await rig.told()
    assert entities(told) == made
    assert await rig.told("amqp") == []
    kept = rig.store.row()
    assert (kept.lost, kept.filled, rig.bridge.lost) == (4, 4, 4)
    assert kept.last_lost_time == max(parse_event(one.value).time for one in told)
    event = parse_event(told[0].value)
    assert (event.actor_name, event.actor_account, event.completed) == ("admin", "admin", True)
    assert told[0].headers["routing-key"].startswith(b"management-server.ActionEvent.")


async def test_some_lost_some_doubled_some_reordered(rig: Rig) -> None:
    gap_fill = rig.gap_fill()
    await gap_fill.cycle()
    rig.region.faults.update({"lost_ratio": 0.4, "reordered_ratio": 0.3})
    made = [await rig.api.domain(f"d-{number}") for number in range(40)]
    rig.region.faults.update({"lost_ratio": 0, "reordered_ratio": 0, "doubled_ratio": 1})
    made.append(await rig.api.domain("last"))
    await rig.after_the_grace(gap_fill)
    filled = {uuid for _, uuid in entities(await rig.told()).elements()}
    heard = {uuid for _, uuid in entities(await rig.told("amqp")).elements()}
    assert (filled | heard, filled & heard) == (set(made), set())
    assert rig.store.row().filled == rig.bridge.lost == len(filled) > 0


async def test_what_the_sync_did_itself_is_not_missed(rig: Rig) -> None:
    gap_fill = rig.gap_fill()
    await gap_fill.cycle()
    await lose(rig)
    service = rig.region.service
    own = Api(rig.region, (service.apikey, service.secretkey))
    await own.domain("ours")
    await rig.after_the_grace(gap_fill)
    assert await rig.told() == []


async def test_a_moved_user_costs_needless_hints_and_no_loop(rig: Rig) -> None:
    gap_fill = rig.gap_fill()
    await gap_fill.cycle()
    domain = await rig.api.domain("d")
    _, user = await rig.api.account("a", domain)
    other, _ = await rig.api.account("b", domain)
    made = await rig.api("createUser", account="a", domainid=domain, username="second", **PERSON)
    assert made.status == 200
    assert (await rig.api("moveUser", id=user, accountid=other)).status == 200
    for _ in range(3):
        await rig.after_the_grace(gap_fill)
    told = entities(await rig.told())
    assert set(told.values()) <= {1}
    assert {name for name, _ in told} <= {"USER.CREATE"}


@pytest.mark.parametrize("dies", ["before", "after"])
async def test_a_process_that_dies_while_it_tells(rig: Rig, dies: str) -> None:
    first = rig.gap_fill()
    await first.cycle()
    await lose(rig)
    made = await some_changes(rig)
    rig.dies = dies
    with pytest.raises(Killed):
        await rig.after_the_grace(first)
    second = rig.gap_fill()
    await rig.after_the_grace(second)
    await rig.after_the_grace(second)
    assert entities(await rig.told()) == made


async def test_what_was_lost_while_no_process_ran(rig: Rig) -> None:
    first = rig.gap_fill()
    await rig.after_the_grace(first)
    heard = await rig.api.domain("heard")
    await lose(rig)
    lost = await rig.api.domain("lost")
    second = rig.gap_fill()
    await rig.after_the_grace(second)
    assert entities(await rig.told()) == Counter([("DOMAIN.CREATE", lost)])
    assert entities(await rig.told("amqp")) == Counter([("DOMAIN.CREATE", heard)])
    third = rig.gap_fill()
    await rig.after_the_grace(third)
    assert rig.store.row().filled == 1


async def test_the_mark_waits_for_what_is_not_judged(rig: Rig) -> None:
    gap_fill = rig.gap_fill()
    await rig.after_the_grace(gap_fill)
    await lose(rig)
    await rig.api.domain("d")
    await gap_fill.cycle()
    created = next(one.created_ms for one in rig.region.region.log.rows if one.type == "DOMAIN.CREATE")
    rig.clock.ahead += 50_000
    await gap_fill.cycle()
    assert (rig.store.load() or 0) <= created
    assert await rig.told() == []


async def test_a_region_that_is_away(rig: Rig) -> None:
    gap_fill = rig.gap_fill()
    await gap_fill.cycle()
    await lose(rig)
    made = await rig.api.domain("d")
    await rig.region.stop()
    with pytest.raises(TemporaryError):
        await gap_fill.cycle()
    await rig.region.start()
    await rig.after_the_grace(gap_fill)
    assert entities(await rig.told()) == Counter([("DOMAIN.CREATE", made)])


async def test_more_than_may_wait_is_told_bit_by_bit(rig: Rig) -> None:
    gap_fill = rig.gap_fill(rows_max=5)
    await gap_fill.cycle()
    await lose(rig)
    made = [("DOMAIN.CREATE", await rig.api.domain(f"d-{number}")) for number in range(23)]
    for _ in range(6):
        await rig.after_the_grace(gap_fill)
    assert entities(await rig.told()) == Counter(made)


async def test_what_was_before_the_first_start_is_for_a_scan(rig: Rig) -> None:
    rig.region.faults.lost_ratio = 1.0
    await rig.api.domain("d")
    rig.clock.ahead += 20_000
    await rig.after_the_grace(rig.gap_fill())
    assert await rig.told() == []


async def test_a_gap_that_is_longer_than_the_log_needs_a_scan(rig: Rig) -> None:
    long_ago = rig.clock() // 1000 * 1000 - 16 * DAY_MS
    rig.store.save(long_ago)
    await lose(rig)
    made = await rig.api.domain("d")
    gap_fill = rig.gap_fill()
    await rig.after_the_grace(gap_fill)
    assert rig.store.row().scan_needed_since == long_ago
    assert (rig.store.load() or 0) > long_ago + 14 * DAY_MS
    assert entities(await rig.told()) == Counter([("DOMAIN.CREATE", made)])


async def test_a_gap_within_the_log_needs_none(rig: Rig) -> None:
    rig.store.save(rig.clock() - 14 * DAY_MS)
    await rig.after_the_grace(rig.gap_fill())
    assert rig.store.row().scan_needed_since is None


async def test_a_silent_bus_is_told_of_until_it_speaks(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    gap_fill = rig.gap_fill()
    await gap_fill.cycle()
    await lose(rig)
    for number in range(SILENT_AFTER):
        await rig.api.domain(f"d-{number}")
    await rig.after_the_grace(gap_fill)
    since = rig.store.row().silent_since
    assert since is not None
    await rig.api.domain("more")
    again = rig.gap_fill()  # another process knows it from the database
    await rig.after_the_grace(again)
    assert rig.store.row().silent_since == since
    assert warnings(caplog) == 1
    async with asyncio.timeout(LIMIT_S):
        await speaks(rig, again, since)
    assert rig.store.row().silent_since is None


async def speaks(rig: Rig, gap_fill: GapFill, since: int) -> None:
    rig.region.faults.lost_ratio = 0.0
    while rig.store.row().silent_since == since:  # the same second says nothing yet
        await rig.api.domain(f"heard-{len(rig.region.region.log.rows)}")
        await rig.relayed()
        await gap_fill.cycle()


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    return sum("its bus says nothing" in one.getMessage() for one in caplog.records)


async def test_what_the_event_log_as_the_source_told_is_not_told_again(rig: Rig) -> None:
    gap_fill = rig.gap_fill()
    await gap_fill.cycle()
    await lose(rig)
    made = await rig.api.domain("d")
    (row,) = [one async for one in read_events(rig.client, 0) if one.get("resourceid") == made]
    key, body = message(row)
    headers = {"source": "eventlog", "routing-key": key}
    await rig.publisher.publish([Message(topics.events("r1"), made.encode(), body, headers)])
    await rig.after_the_grace(gap_fill)
    assert await rig.told() == []
