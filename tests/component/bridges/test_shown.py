"""A bridge's own process over HTTP: its numbers, and whether it has its source."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from bridges.bridge import BridgeSettings
from tests.component.bridges.rig import Bus, Topics, entities, event
from tests.component.metrics.asking import Asking, free_port, until, way_to
from tests.e2e.harness import environment

pytestmark = pytest.mark.services


async def test_what_a_bridge_shows_and_that_a_bus_that_is_away_makes_it_unready(
    tmp_path: Path, settings: BridgeSettings, kafka_topics: Topics, bus: Bus
) -> None:
    asking, region = Asking(free_port()), settings.region
    user, _, where = settings.amqp_url.removeprefix("amqp://").partition("@")
    host, _, path = where.partition(":")
    port, _, vhost = path.partition("/")
    async with way_to(host, int(port)) as way:
        url = f"amqp://{user}@127.0.0.1:{way.port}/{vhost}"
        heard = {"source": "amqp", "url": url, "exchange": settings.exchange, "bridge_port": asking.port}
        one = {"name": region, "host": "http://127.0.0.1:1", "api_key": "k", "secret_key": "s", "bus": heard}
        (tmp_path / "regions.yaml").write_text(yaml.safe_dump({"kafka": settings.kafka, "regions": [one]}))
        command = ["-m", "pipeline", "bridge", "--region", region]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=tmp_path, env=environment()
        )
        try:
            await until(lambda: answers(asking), "connected")
            bus.publish([event(name) for name in entities(7)])

            async def relayed() -> bool:
                seen = await asking.metrics()
                return seen.value("region_sync_bridge_relayed_total", region=region) == 7

            await until(relayed, "7 relayed")
            seen = await asking.metrics()
            assert seen.value("region_sync_bridge_received_total", region=region) == 7
            assert seen.value("region_sync_bridge_dropped_total", region=region) == 0
            assert seen.value("region_sync_bridge_dead_letters_total", region=region) == 0
            assert seen.value("region_sync_bridge_connected", region=region) == 1
            assert seen.value("region_sync_bridge_last_event_timestamp_seconds", region=region) > 1e9

            await way.cut()

            async def away() -> bool:
                return (await asking.ready())[:2] == (503, {"source": False})

            await until(away, "unready without its bus")
            assert (await asking.ready())[2] == {"source": "its source is away"}
            assert (await asking.get("/health/live")).status_code == 200
            await way.open()
            await until(asking.is_ready, "connected again")
            assert (await asking.metrics()).value("region_sync_bridge_reconnects_total", region=region) == 1
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 30) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def answers(asking: Asking) -> bool:
    try:
        return await asking.is_ready()
    except httpx.ConnectError:  # it is starting
        return False
