"""A scripted region on a real socket, which checks signatures as CloudStack does, and the recordings."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.session import Credentials

DATA = Path(__file__).parent / "data"
KEY, SECRET = "our~key", "our-secret-key"
NOW = 1_795_422_000_000
Script = Callable[[dict[str, str]], Awaitable[web.StreamResponse] | web.StreamResponse]


def ok(command: str, inner: dict[str, Any]) -> web.Response:
    return web.json_response({f"{command.lower()}response": inner})


def refusal(command: str, code: int, text: str, cserrorcode: int = 9999) -> web.Response:
    inner = {"uuidList": [], "errorcode": code, "cserrorcode": cserrorcode, "errortext": text}
    return web.json_response({f"{command.lower()}response": inner}, status=code)


@dataclass
class ScriptedRegion:
    """Answers by `script`; what came is in `requests`, what was wrong with a signature in `unsigned`."""

    script: Script
    endpoint: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    unsigned: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        given = request.query if request.method == "GET" else await request.post()
        params = {key: str(value) for key, value in given.items()}
        self.requests.append((request.method, params))
        self.headers.append(dict(request.headers))
        if "signature" in params and params["signature"] != signature(params):
            self.unsigned.append(params["command"])
        answer = self.script(params)
        return answer if isinstance(answer, web.StreamResponse) else await answer

    @property
    def commands(self) -> list[str]:
        return [params["command"] for _, params in self.requests]


def signature(params: dict[str, str]) -> str:
    """As Java's URLEncoder and CloudStack's ApiServer do it, written apart from the code under test."""
    unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*_"

    def java(value: str) -> str:
        return "".join(
            char if char in unreserved else "".join(f"%{byte:02X}" for byte in char.encode())
            for char in value
        )

    text = "&".join(f"{key}={java(params[key])}" for key in sorted(params) if key != "signature")
    return base64.b64encode(hmac.new(SECRET.encode(), text.lower().encode(), hashlib.sha1).digest()).decode()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Script], Awaitable[ScriptedRegion]]]:
    """Starts scripted regions on free ports."""
    runners = []

    async def start(script: Script) -> ScriptedRegion:
        region = ScriptedRegion(script)
        app = web.Application()
        app.router.add_route("*", "/client/api", region.handle)
        runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        region.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}/client/api"
        return region

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def client_of() -> AsyncIterator[Callable[..., CloudStack]]:
    """Clients with our key pair; keyword arguments are further settings."""
    clients = []

    def make(region: ScriptedRegion | str, **more: Any) -> CloudStack:
        endpoint = region if isinstance(region, str) else region.endpoint
        on_call = more.pop("on_call", None)
        credentials = more.pop("credentials", Credentials(KEY, SECRET))
        client = CloudStack(ClientSettings(endpoint, credentials, **more), clock=lambda: NOW, on_call=on_call)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


def recorded(scenario: str, call: int = 0) -> dict[str, Any]:
    """The body that a real region answered in `scenario`."""
    answers = json.loads((DATA / "answers.json").read_text("utf-8"))
    return answers[scenario][call]["body"]


def item(scenario: str, name: str, call: int = 0) -> dict[str, Any]:
    """The object of a recorded answer, the first where it is a listing, a job's where it is one."""
    inner = next(iter(recorded(scenario, call).values()))
    found = inner.get("jobresult", inner)[name]
    return found[0] if isinstance(found, list) else found


__all__ = ["DATA", "KEY", "NOW", "SECRET", "ScriptedRegion", "item", "ok", "recorded", "refusal"]
