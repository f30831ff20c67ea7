"""Regions side by side: seeds, contents, bulk loads, and the traffic between people and them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time

from pipeline.sandbox.launch import simulated_regions
from pipeline.sandbox.traffic import Change, Traffic, TrafficOptions
from tests.contract.sandbox.api import Api


async def test_a_seed_gives_the_same_keys_and_uuids_and_each_region_its_own() -> None:
    async with simulated_regions(2, seed=3) as first, simulated_regions(2, seed=3) as again:
        assert [one.admin for one in first] == [one.admin for one in again]
        assert [one.service for one in first] == [one.service for one in again]
        assert first[0].region.world.root.uuid != first[1].region.world.root.uuid
        assert [one.name for one in first] == ["r1", "r2"]
        assert [one.exchange for one in first] == ["cloudstack-events-r1", "cloudstack-events-r2"]


async def test_dumps_compare_what_a_sync_keeps_equal() -> None:
    async with simulated_regions(2) as (one, two):
        left, right = Api(one), Api(two)
        for api in (left, right):
            domain = await api.domain("d")
            await api.account("acc", domain)
        assert one.dump() == two.dump()
        assert one.dump()["domains"] == {"ROOT/d": {"networkdomain": ""}}
        assert list(one.dump()["users"]) == ["ROOT/d|acc|acc"]
        users = (await left("listUsers", username="acc", listall="true")).body["user"]
        await left("updateUser", id=users[0]["id"], lastname="Other")
        assert one.dump() != two.dump()


async def test_a_large_region_costs_no_more_per_call() -> None:
    async with simulated_regions(1) as (region,):
        began = time.process_time()
        region.load(domains=100, accounts=10_000, users=100_000)
        assert time.process_time() - began < 20
        api = Api(region)
        uuid = region.region.world.users[50_000].uuid
        began = time.process_time()
        for _ in range(50):
            assert (await api("listUsers", id=uuid)).body["count"] == 1
            await api("updateUser", id=uuid, lastname="X")
        assert time.process_time() - began < 5
        assert region.region.log.rows[0].type == "USER.UPDATE"


async def _changes(count: int, options: TrafficOptions) -> list[Change]:
    async with simulated_regions(2, seed=2) as regions:
        traffic = Traffic(regions, 11, options)
        return [await traffic.step() for _ in range(count)]


async def test_traffic_repeats_with_its_seed() -> None:
    options = TrafficOptions()
    assert await _changes(120, options) == await _changes(120, options)


async def test_traffic_does_every_verb_and_is_refused_where_it_should_be() -> None:
    changes = await _changes(1200, TrafficOptions())
    valid = [one for one in changes if not one.verb.startswith("wrong_")]
    assert len({one.verb for one in valid if one.outcome == "accepted"}) == 24
    assert all(one.outcome == "refused" for one in changes if one.verb.startswith("wrong_"))
    assert sum(one.outcome == "accepted" for one in valid) > 0.97 * len(valid)


async def test_disjoint_traffic_changes_only_what_was_born_there() -> None:
    async with simulated_regions(2, seed=2) as (one, two):
        await Traffic([one], 1).run(60)
        for name in ("a", "b"):
            await Api(two).domain(f"r1-{name}")
        before = {key: row for key, row in two.dump()["domains"].items() if "r1-" in key}
        await Traffic([two], 1, TrafficOptions(disjoint=True)).run(200)
        assert {key: row for key, row in two.dump()["domains"].items() if "r1-" in key} == before


async def test_traffic_without_silent_effects_leaves_an_event_for_every_account_state() -> None:
    async with simulated_regions(1, seed=4) as (region,):
        api = Api(region)
        states: dict[str, str] = {}
        traffic = Traffic([region], 5, TrafficOptions(silent=False))
        for _ in range(400):
            api.heard()
            change = await traffic.step()
            now = {a.uuid: a.state for a in region.region.world.live_accounts.values()}
            turned = [uuid for uuid, state in now.items() if states.get(uuid, state) != state]
            assert not turned or change.command in ("disableAccount", "enableAccount")
            states = now


async def test_a_lost_answer_is_unknown_not_refused() -> None:
    async with simulated_regions(1) as (region,):
        traffic = Traffic([region], 1, TrafficOptions(invalid=0.0))
        region.faults.drop_after_ratio = 1.0
        change = await traffic.step()
        assert change.outcome == "unknown"
        assert (traffic.accepted, traffic.refused) == (0, 0)


async def test_serve_prints_one_json_line_and_ends_cleanly() -> None:
    program = "from pipeline.sandbox.launch import SandboxOptions as O, serve; serve(O(regions=2, seed=9))"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    assert child.stdout is not None
    try:
        line = json.loads(await asyncio.wait_for(child.stdout.readline(), 30))
        assert [one["name"] for one in line["regions"]] == ["r1", "r2"]
        for one in line["regions"]:
            assert one["endpoint"].startswith("http://127.0.0.1:")
            assert all(one[who]["apikey"] and one[who]["secretkey"] for who in ("admin", "service"))
    finally:
        child.send_signal(signal.SIGTERM)
    rest = await asyncio.wait_for(child.stdout.read(), 30)
    assert (await child.wait(), rest) == (0, b"")
