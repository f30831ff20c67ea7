"""The commands beside a running pipeline: what each promises, seen in the regions."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.verdict import differences
from tests.e2e.cli.running import LIMIT_S, Desk, administrator, settings, until

ACCOUNT = {
    "accounttype": "0",
    "username": "ann",
    "password": "x",
    "firstname": "Ann",
    "lastname": "Lee",
    "email": "ann@example.org",
}


@pytest.fixture
async def regions() -> AsyncIterator[list[SimulatedRegion]]:
    async with simulated_regions(2) as running:
        yield running


@pytest.fixture
def desk(regions: list[SimulatedRegion], tmp_path: Path) -> Desk:
    (tmp_path / "regions.yaml").write_text(settings(regions))
    return Desk(tmp_path)


def equal(regions: list[SimulatedRegion]) -> bool:
    return not differences([one.dump() for one in regions])


def users(one: SimulatedRegion) -> dict[str, dict[str, str]]:
    return one.dump()["users"]


async def make_account(one: SimulatedRegion) -> str:
    """The UUID of its user."""
    async with administrator(one) as client:
        made = await client.call("createAccount", ACCOUNT)
        return str(made["account"]["user"][0]["id"])


async def lock_out(one: SimulatedRegion) -> None:
    """Five wrong log-ins disable a user, and no event tells of it (cloudstack.md)."""
    world = one.region.world
    user = next(user for user in world.live_users.values() if user.username == "ann")
    user.state = "disabled"


async def test_from_the_first_change_to_the_last_question(desk: Desk, regions: list[SimulatedRegion]) -> None:
    first, second = regions
    async with desk.running() as process:
        user = await make_account(first)
        await until(lambda: bool(users(first)) and equal(regions), "the account did not arrive", process)

        checked = await desk.region_sync("check", "--json")
        assert checked.code == 0, checked.out + checked.err
        assert checked.json()["ok"] is True
        found = {(one["region"], one["what"]): one for one in checked.json()["findings"]}
        assert found["", "kafka"]["detail"] == "embedded: reached, 1 broker"
        assert found[second.name, "permissions"]["verdict"] == "ok"

        standing = (await desk.region_sync("status", "--json")).json()
        assert standing["entities"] == {"Account": 1, "User": 1}
        assert [row["region"] for row in standing["regions"]] == [first.name, second.name]
        assert [row["states"].get("dead", 0) for row in standing["regions"]] == [0, 0]

        rows = (await desk.region_sync("outbox", "list", "--state", "delivered", "--json")).json()
        account = next(row for row in rows if row["kind"] == "Account")
        shown = (await desk.region_sync("outbox", "show", str(account["id"]), "--json")).json()
        assert "createAccount" in [call["command"] for call in shown["calls"]]
        assert "password" not in json.dumps(shown)

        await lock_out(first)
        said = await desk.region_sync("sync", user)
        assert said.code == 0, said.err
        assert said.out.endswith(f"2 regions will be read for {user}.\n")
        await until(
            lambda: [one["state"] for one in users(second).values()] == ["disabled"],
            "what no event told did not arrive after sync",
            process,
        )
    assert process.returncode == 0
    assert "Traceback" not in desk.log.read_text()


async def test_what_a_region_lost_is_made_there_again_by_sync(
    desk: Desk, regions: list[SimulatedRegion]
) -> None:
    """And is not taken for removed: nobody removed it, as that region's event log shows."""
    first, second = regions
    async with desk.running() as process:
        await make_account(first)
        await until(lambda: len(users(second)) == 1 and equal(regions), "the account did not arrive", process)
        world = second.region.world
        lost = next(user for user in world.live_users.values() if user.username == "ann")
        world.remove_user(lost)
        assert not users(second)
        assert (await desk.region_sync("sync", lost.uuid)).code == 0
        await until(lambda: bool(users(second)) and equal(regions), "it was not made again", process)
        assert len(users(first)) == 1
    assert process.returncode == 0


async def test_commands_without_a_running_pipeline_say_so(desk: Desk, regions: list[SimulatedRegion]) -> None:
    async with desk.running():
        user = await make_account(regions[0])
        await until(lambda: equal(regions) and bool(users(regions[1])), "the account did not arrive")
    for command in (("sync", user), ("reread", "--region", regions[0].name, "--from", "beginning")):
        ended = await desk.region_sync(*command)
        assert (ended.code, len(ended.err.splitlines())) == (1, 1), ended.err
        assert "the embedded broker is not running" in ended.err
    told = await desk.region_sync(
        "reread", "--region", regions[0].name, "--from", "1h", "--dry-run", "--json"
    )
    assert {(one["kind"], one["uuid"]) for one in told.json()["entities"]} >= {("User", user)}


async def test_a_crash_of_run_is_made_good_by_the_next(desk: Desk, regions: list[SimulatedRegion]) -> None:
    async with desk.running() as process:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    checked = await desk.region_sync("check", "--json")
    stale = next(one for one in checked.json()["findings"] if one["what"] == "kafka")
    assert (checked.code, stale["verdict"]) == (0, "warn")
    await make_account(regions[0])
    desk.log.write_text("")
    async with desk.running() as process:
        await until(
            lambda: bool(users(regions[1])) and equal(regions), "a change while it was down was lost", process
        )


async def test_a_region_that_is_down_is_one_sentence(desk: Desk, regions: list[SimulatedRegion]) -> None:
    await regions[0].stop()
    ended = await desk.region_sync("reread", "--region", regions[0].name, "--from", "1h", "--dry-run")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (1, "", 1), ended.err
    assert "did not reach the region" in ended.err
    checked = await desk.region_sync("check")
    assert checked.code == 1
    assert f"{regions[0].name}      api" in checked.out
    assert checked.err == ""


async def test_an_interrupt_ends_the_demo_cleanly(desk: Desk) -> None:
    async with desk.started("demo", "--log-level", "info") as process:
        assert process.stderr is not None
        while b"following the event log" not in await asyncio.wait_for(process.stderr.readline(), LIMIT_S):
            assert process.returncode is None
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 0, err.decode()
    assert b"All regions are equal" in out
    assert b"Traceback" not in err


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
async def test_the_sandbox_says_where_its_regions_are(desk: Desk, ending: signal.Signals) -> None:
    async with desk.started("sandbox", "--regions", "3") as process:
        assert process.stdout is not None
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), LIMIT_S))
        process.send_signal(ending)
        _, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert (process.returncode, err) == (0, b"")
    assert len(line["regions"]) == 3
    for one in line["regions"]:
        assert {"name", "endpoint", "exchange", "admin", "service"} <= set(one)
        assert {"apikey", "secretkey"} <= set(one["admin"])


@pytest.mark.services
async def test_reread_makes_good_what_a_bus_lost(amqp_url: str, tmp_path: Path) -> None:
    tag = uuid.uuid4().hex[:6]
    async with simulated_regions(2, amqp_url, names=(f"{tag}a", f"{tag}b")) as regions:
        (tmp_path / "regions.yaml").write_text(settings(regions, amqp_url))
        desk = Desk(tmp_path)
        async with desk.running() as process:
            regions[0].faults.lost_ratio = 1.0
            await make_account(regions[0])
            assert not users(regions[1])
            said = await desk.region_sync("reread", "--region", regions[0].name, "--from", "1h", "--json")
            assert said.code == 0, said.err
            assert said.json()["hints"] >= 2
            await until(
                lambda: bool(users(regions[1])) and equal(regions),
                "what the bus lost did not arrive",
                process,
            )
