"""What a person does through the JSON API happens in the regions; a port that is taken stops nothing."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from pipeline.app import now_ms
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.session import Credentials
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.events import hint
from pipeline.outbox.hub import DeadLetter, HubStore
from pipeline.run import Running, pipeline
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from pipeline.settings import Settings
from tests.e2e.harness import people, settled, tree, until

TOKEN = "a token that nobody guesses"
LIMIT_S = 90.0


@asynccontextmanager
async def api(running: Running) -> AsyncIterator[aiohttp.ClientSession]:
    assert running.server is not None and running.server.address is not None
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(f"{running.server.address}api/v1/", headers=headers) as http:
        yield http


def settings(regions: list[SimulatedRegion], folder: Path, **web: Any) -> Settings:
    top = {"web": {"port": 0, "token": TOKEN, **web}}
    return Settings.parse(tree(regions, f"sqlite:///{folder}/acts.db", **top), {})


async def test_the_loser_of_a_conflict_wins_in_every_region(tmp_path: Path) -> None:
    async with simulated_regions(2) as regions, people(regions) as (first, second):
        chosen = settings(regions, tmp_path)
        async with pipeline(chosen) as running:
            domain = await first.domain("north")
            await first.account("acme", domain)
            alice = await first.user("alice", "acme", domain)
            await settled(regions, running.wiring.engine)
        await first.call("updateUser", id=alice, email="early@example.org")
        second_of = now_ms() // 1000  # an event's time has whole seconds
        await until(lambda: now_ms() // 1000 > second_of, "the next second", 5)
        await second.call("updateUser", id=alice, email="late@example.org")

        def addresses() -> set[str]:
            return {one.dump()["users"]["ROOT/north|acme|alice"]["email"] for one in regions}

        async with pipeline(chosen) as running, api(running) as http:
            await until(lambda: addresses() == {"late@example.org"}, "the later one", LIMIT_S)
            await settled(regions, running.wiring.engine)
            async with http.get("conflicts") as answer:
                [line] = (await answer.json())["conflicts"]
            assert (line["lost"], line["objection"]) == ("early@example.org", None)
            said = {"who": "ann", "reason": "the customer says so"}
            async with http.post(f"conflicts/{line['id']}/overrule", json=said) as answer:
                assert answer.status == 200, await answer.text()
            await until(lambda: addresses() == {"early@example.org"}, "the loser", LIMIT_S)
            await settled(regions, running.wiring.engine)
            async with http.post(f"conflicts/{line['id']}/overrule", json=said) as answer:
                assert answer.status == 409
            assert addresses() == {"early@example.org"}


async def test_a_dead_letter_is_put_back_and_followed(tmp_path: Path) -> None:
    async with simulated_regions(2) as regions:
        keys = Credentials(regions[0].service.apikey, regions[0].service.secretkey)
        ourselves = CloudStack(ClientSettings(regions[0].endpoint, keys), clock=now_ms)
        async with pipeline(settings(regions, tmp_path)) as running, api(running) as http:
            made = await ourselves.call("createDomain", {"name": "unseen"})  # our own: an echo, not spread
            body = hint(Kind.DOMAIN, str(made["domain"]["id"]), now_ms())
            letter = DeadLetter(topics.DEAD_LETTERS, 0, 0, "r1", "", "of another version", body, now_ms())
            HubStore(running.wiring.engine, now_ms).keep_dead_letters([letter])
            assert "ROOT/unseen" not in regions[1].dump()["domains"]
            said = {"who": "ann", "reason": "upgraded"}
            async with http.post("dead-letters/1/requeue", json=said) as answer:
                assert answer.status == 200, await answer.text()
            await until(lambda: "ROOT/unseen" in regions[1].dump()["domains"], "the domain", LIMIT_S)
        await ourselves.aclose()


async def test_a_port_that_is_taken_stops_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with (
            simulated_regions(2) as regions,
            people(regions) as (here, _),
            pipeline(settings(regions, tmp_path, port=port)) as running,
        ):
            assert running.server is not None and running.server.address is None
            assert running.server.invitation() == "No pages: their port is taken."
            await here.domain("north")
            await until(lambda: "ROOT/north" in regions[1].dump()["domains"], "the domain", LIMIT_S)
            assert not running.broken


async def test_no_pages_when_none_are_wanted(tmp_path: Path) -> None:
    async with simulated_regions(1) as regions, pipeline(settings(regions, tmp_path, port=None)) as running:
        assert running.server is None
