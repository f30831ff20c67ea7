"""`/metrics`, `/health/live` and `/health/ready` of a worker.

In: the aiohttp application that Faust serves, the process's numbers, its health. Out: three routes; they
change nothing and show no secret, so they ask for no token. Called by `pipeline.measuring` before the server
starts; a bridge, which has no Faust, is `serving` them itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from pipeline.metrics.health import Answer, Health

METRICS: Final = "/metrics"
LIVE: Final = "/health/live"
READY: Final = "/health/ready"
AWAY: Final = 503

Text = Callable[[], Awaitable[bytes]]
"""All numbers as they are now, in Prometheus's text format."""


def add_routes(application: web.Application, text: Text, health: Health) -> None:
    """The heartbeat beats as long as the application is served."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=await text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def live(_: web.Request) -> web.Response:
        return _answered(*told_live(health.live()))

    async def ready(_: web.Request) -> web.Response:
        return _answered(*told_ready(await health.ready()))

    for path, handler in ((METRICS, metrics), (LIVE, live), (READY, ready)):
        application.router.add_get(path, handler)

    async def beating(_: web.Application) -> AsyncIterator[None]:
        beat = asyncio.create_task(health.heartbeat.run())
        yield
        beat.cancel()

    application.cleanup_ctx.append(beating)


@asynccontextmanager
async def serving(host: str, port: int, text: Text, health: Health) -> AsyncIterator[None]:
    """The three routes on a server of their own. Raises `OSError` where the port is taken."""
    application = web.Application()
    add_routes(application, text, health)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()


def told_live(answer: Answer) -> tuple[int, dict[str, Any]]:
    """The status, and what is said."""
    return (200 if answer.ok else AWAY), {"live": answer.ok, "reason": answer.reason}


def told_ready(answers: Mapping[str, Answer]) -> tuple[int, dict[str, Any]]:
    """The status, and what is said: each check with its reason."""
    ok = all(one.ok for one in answers.values())
    return (200 if ok else AWAY), {
        "ready": ok,
        "checks": {name: asdict(one) for name, one in answers.items()},
    }


def _answered(status: int, said: dict[str, Any]) -> web.Response:
    return web.json_response(said, status=status, headers={"Cache-Control": "no-store"})
