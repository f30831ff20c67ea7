"""Clocks that jump, and clocks that are wrong: nothing is stuck for as long as they are off, no replaced
value comes back, no age is negative."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

from pipeline.agents.apply import Rules
from pipeline.agents.pulse import Reached
from pipeline.cli.program import call
from pipeline.core.entities import DISABLED, Kind
from pipeline.core.removal import Limits, Policy
from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.hub import HubStore
from pipeline.outbox.lease import LASTS_MS, Lease
from pipeline.reconcile.alone import BEAT_S
from tests.component.agents.rig import FAR, HERE, Rig, rigged
from tests.component.reconcile.rig import Rig as LogRig
from tests.component.reconcile.rig import rigged as rigged_log
from tests.faults.life import Life, carried_out, ended, open_rows
from tests.unit.agents.regions import account, domain, gone
from tests.unit.outbox.builders import Clock, keep, record

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
JUMPS: Final = pytest.mark.parametrize("jump", [-HOUR_MS, DAY_MS], ids=["an hour back", "a day forward"])


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(tmp_path) as one:
        yield one


@JUMPS
async def test_a_life_in_which_the_workers_clock_jumps_and_is_set_right(jump: int, rig: Rig) -> None:
    """At each third step it is wrong, and what was put off then is not put off for so long."""
    for number, seen in enumerate(Life().steps()):
        rig.clock.now += jump * (number % 3 == 1) - jump * (number % 3 == 2 and number > 0)
        await carried_out(rig, rig.merge(*seen))
    end = ended(rig)
    assert end.states.keys() == {"delivered"}
    assert list(end.region["users"]) == ["ROOT/renamed|acc-new|usr"]
    assert set(end.region["domains"]) == {"ROOT/renamed"}


@JUMPS
async def test_what_was_parked_by_a_wrong_clock_is_looked_at_again_soon(jump: int, rig: Rig) -> None:
    """Its parent comes when the clock is right again."""
    seen = [domain(FAR, "dom"), account(FAR, "acc", parent="dom", founder="usr")]
    dom, acc, usr = [one for part in seen for one in rig.merge(part)]
    rig.clock.now += jump
    await rig.give(acc)
    assert rig.outbox(acc)["waits_for"] == "dom"
    rig.clock.now -= jump
    await rig.give(dom)
    await rig.give(usr)
    rig.merge(*rig.observed())
    for _ in range(5):
        rig.clock.now += 60_000
        await rig.send_due()
        rig.merge(*rig.observed())
    assert open_rows(rig) == []
    assert list(rig.region.dump()["accounts"]) == ["ROOT/dom|acc"]


async def test_a_row_of_a_clock_that_ran_ahead_is_sent_and_a_quarantine_lasts(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await rig.restart(Rules(limits=Limits(policy=Policy.QUARANTINE)))
        for seen in islice(Life().steps(), 2):
            await carried_out(rig, rig.merge(*seen))
        (removal, *_) = rig.merge(gone(FAR, Kind.USER, "usr"))
        await rig.give(removal)
        assert await rig.state(Kind.USER, "usr") == DISABLED
        rig.clock.now += DAY_MS
        (late,) = rig.merge(domain(FAR, "late"))  # written, and its publisher died
        rig.clock.now += 2 * 60_000 - DAY_MS
        sent = [id_ for id_, *_ in rig.desk.store.due(rig.clock(), 100)]
        assert sent == [rig.outbox(late)["id"]]
        assert rig.outbox(removal)["state"] == "pending"
        rig.clock.now += 2 * DAY_MS
        await rig.send_due()
        assert await rig.state(Kind.USER, "usr") == DISABLED, "its time is not over"
        rig.clock.now += DAY_MS + HOUR_MS
        await rig.send_due()
        assert rig.outbox(removal)["state"] == "delivered"


# --- leases


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    migrate(url)
    return url


def test_a_lease_of_a_dead_owner_whose_clock_ran_ahead_is_taken_over(database: str) -> None:
    engine = open_database(database)
    clock = Clock()
    assert Lease(engine, "work", "dead", Clock(clock() + DAY_MS)).take()
    waiting = Lease(engine, "work", "waiting", clock)
    waited = 0
    while not waiting.take():
        waited += int(BEAT_S * 1000)
        clock.now += int(BEAT_S * 1000)
        assert waited <= LASTS_MS
    assert waited == LASTS_MS
    engine.dispose()


@pytest.mark.parametrize("ahead", [DAY_MS, 0, -HOUR_MS])
def test_of_two_whose_clocks_differ_one_works(ahead: int, database: str) -> None:
    """The one that runs ahead; and it is never both."""
    engine = open_database(database)
    one, other = Clock(Clock().now + ahead), Clock()
    mine, theirs = Lease(engine, "work", "one", one), Lease(engine, "work", "other", other)
    assert theirs.take()
    outcomes = []
    for _ in range(20):
        one.now += int(BEAT_S * 1000)
        other.now += int(BEAT_S * 1000)
        outcomes.append((mine.take(), theirs.take()))
    assert set(outcomes) == {(ahead > 0, ahead <= 0)}
    engine.dispose()


def test_an_owner_whose_clock_was_set_back_loses_it_and_knows(database: str) -> None:
    engine = open_database(database)
    one, other = Clock(), Clock()
    mine, theirs = Lease(engine, "work", "one", one), Lease(engine, "work", "other", other)
    assert mine.take()
    assert not theirs.take()
    one.now -= HOUR_MS
    assert mine.take(), "it is still its own"
    assert theirs.take()
    assert not mine.take()
    engine.dispose()


# --- regions whose clocks are wrong


@pytest.mark.parametrize("off", [-DAY_MS, -HOUR_MS, HOUR_MS, DAY_MS])
async def test_a_value_that_was_seen_and_replaced_does_not_come_back(off: int, rig: Rig) -> None:
    """Whoever replaces a value knows it: the far region's clock decides nothing, however wrong."""
    now = rig.clock()
    rig.region.faults.job_delay_ms = 0.0
    (wanted,) = rig.merge(replace(domain(FAR, "dom", "first"), time=now + off))
    await rig.give(wanted)
    rig.merge(*rig.observed())
    await rig.hear()
    await rig.api("updateDomain", id="dom", name="second")
    await rig.hear()
    rig.merge(*rig.observed())
    record_ = rig.hub.load(["dom"])["dom"].record
    assert record_.fields["name"].text == "second"
    again = replace(domain(FAR, "dom", "first"), time=now + off)  # read late, by a worker that was slow
    back = rig.merge(again)
    assert back == []
    assert rig.hub.load(["dom"])["dom"].record.fields["name"].text == "second"
    (third,) = rig.merge(
        replace(domain(FAR, "dom", "second"), time=now + off, applied=record_.version),
        replace(domain(FAR, "dom", "third"), time=now + off + 1),
    )
    await rig.give(third)
    assert "ROOT/third" in rig.region.dump()["domains"]


@JUMPS
async def test_a_jump_hides_nothing_of_what_the_bus_lost(
    jump: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the region's last answer and the next reading of its log: how far it was read is the region's
    time, and not ours."""
    async with rigged_log(tmp_path) as rig:
        monkeypatch.setattr(rig.client, "_clock", rig.clock)
        gap_fill = rig.gap_fill()
        await gap_fill.cycle()
        await _lost_domain(rig, "before")
        await gap_fill.cycle()
        rig.clock.ahead += jump
        await gap_fill.cycle()
        await _lost_domain(rig, "after")
        await rig.after_the_grace(gap_fill)
        await rig.after_the_grace(gap_fill)
        told = [json.loads(one.value)["event"] for one in await rig.told()]
        assert told == ["DOMAIN.CREATE"] * 2


async def _lost_domain(rig: LogRig, name: str) -> None:
    await rig.relayed()
    rig.region.faults.lost_ratio = 1.0
    await rig.api.domain(name)


# --- what is shown


def test_no_age_is_negative(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that were written by a clock that runs ahead."""
    file = tmp_path / "store.db"
    url = f"sqlite:///{file}"
    migrate(url)
    engine = open_database(url)
    keep(HubStore(engine, Clock()), record(Kind.DOMAIN, "d1"), sent=(HERE,))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET created_time = created_time + 900000000000")
    engine.dispose()
    settings = tmp_path / "regions.yaml"
    settings.write_text(
        f"database: {url}\nregions: [{{name: {HERE}, host: 'http://h', api_key: k, secret_key: s}}]\n"
    )
    assert call(["status", "--json", "-c", str(settings)]) == 0
    (region,) = json.loads(capsys.readouterr().out)["regions"]
    assert region["oldest_open_ms"] == 0


async def test_a_region_is_asked_for_a_sign_of_life_though_our_clock_was_set_back() -> None:
    clock = Clock()
    reached = Reached(clock)
    clock.now -= HOUR_MS
    asked: list[int] = []

    class Enough(Exception):
        pass

    async def ask() -> None:
        asked.append(1)
        raise Enough

    with pytest.raises(Enough):
        async with asyncio.timeout(20):
            await reached.listen(ask, quiet_s=0.001)
    assert asked
