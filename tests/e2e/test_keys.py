"""One pair of keys is good in every region: on the embedded default, between four simulated regions of which
one takes no part, and with one domain where the settings say no."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.app import now_ms
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.errors import Unauthorised
from pipeline.cloudstack.session import Credentials
from pipeline.outbox.engine import open_database
from pipeline.run import pipeline
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.sealing import new_pair
from pipeline.settings import Settings
from tests.e2e.harness import LOOK_EVERY_S, SETTLE_LIMIT_S, SYNC, Person, people, settled, tree, until

NAMES = ("r1", "r2", "r3", "deaf")
"""The last one has no sealing_key."""
RULES = [{"domain": "/", "api_keys": True}, {"domain": "/quiet", "api_keys": False}]


def configured(regions: Sequence[SimulatedRegion], folder: Path) -> Settings:
    said = tree(regions, f"sqlite:///{folder}/keys.db", credentials=RULES, web={"port": None})
    for region in said["regions"][:-1]:
        private, region["sealing_key"] = new_pair()
        region["sealing_private_keys"] = [private]
    return Settings.parse(said, {})


async def keys(person: Person, user: str) -> Credentials:
    made = (await person.call("registerUserKeys", id=user))["userkeys"]
    return Credentials(made["apikey"], made["secretkey"])


async def works(region: SimulatedRegion, pair: Credentials) -> bool:
    """Whether the region takes a call that is signed with them."""
    client = CloudStack(ClientSettings(region.endpoint, pair), clock=now_ms)
    try:
        await client.call("listAccounts", {})
    except Unauthorised:
        return False
    finally:
        await client.aclose()
    return True


async def work_in(regions: Sequence[SimulatedRegion], pair: Credentials) -> None:
    limit = time.monotonic() + SETTLE_LIMIT_S
    for region in regions:
        while not await works(region, pair):
            assert time.monotonic() < limit, f"the keys are not good in {region.name}"
            await asyncio.sleep(LOOK_EVERY_S)


def user_in(region: SimulatedRegion, uuid: str) -> Any:
    world = region.region.world
    number = world.by_uuid["User"].get(uuid)
    return None if number is None else world.users.get(number)


def written(folder: Path) -> str:
    """The whole database as text, and its files' bytes."""
    with sqlite3.connect(folder / "keys.db") as connection:
        text = "\n".join(connection.iterdump())
    return text + "".join(one.read_bytes().decode("latin-1") for one in folder.iterdir() if one.is_file())


async def test_one_pair_of_keys_is_good_in_every_region(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulated_regions(len(NAMES), names=NAMES) as regions, people(regions) as persons:
        telling, deaf = regions[:3], regions[3]
        engine = open_database(f"sqlite:///{tmp_path}/keys.db")
        async with pipeline(configured(regions, tmp_path)):
            shop, quiet = await persons[0].domain("shop"), await persons[0].domain("quiet")
            await persons[0].account("acme", shop)
            await persons[0].account("hush", quiet)
            jo = await persons[0].user("jo", "acme", shop)
            mum = await persons[0].user("mum", "hush", quiet)
            first, hushed = await keys(persons[0], jo), await keys(persons[0], mum)
            await work_in(telling, first)

            newer = await keys(persons[1], jo)
            await work_in(telling, newer)
            assert not any([await works(region, first) for region in telling])

            await until(lambda: user_in(deaf, mum) is not None, "the last user arrives")
            await settled(regions, engine)
            assert [await works(region, hushed) for region in regions] == [True, False, False, False]
            assert not user_in(deaf, jo).apikey
            asked = {region.name: region.calls.by_command(SYNC).get("getUserKeys", 0) for region in regions}
            assert asked["deaf"] == 0 and 2 <= asked["r1"] + asked["r2"] + asked["r3"] <= 6
            set_by = [region.calls.by_command(SYNC).get("updateUser", 0) for region in regions]
            assert set_by[3] == 0
        engine.dispose()
    seen = written(tmp_path) + caplog.text
    pairs = (first, newer, hushed)
    assert not any(one in seen for pair in pairs for one in (pair.apikey, pair.secret))
    assert "region deaf has no sealing_key: users' API keys neither go nor come from there" in caplog.text
