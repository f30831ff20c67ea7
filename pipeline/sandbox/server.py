"""The HTTP face of one region: `/client/api` for callers, `/sandbox/…` for whoever runs the experiment.

Comes in: GET and POST. Goes out: JSON, or XML where it is asked for. A call without `response` gets JSON
here, since the recordings leave that parameter out; a real region would answer XML.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from aiohttp import web

from pipeline.sandbox.dispatch import Reply, Request, dispatch, lower_names
from pipeline.sandbox.faults import strikes
from pipeline.sandbox.latency import Load, real_ms
from pipeline.sandbox.region import VERSION, Region
from pipeline.sandbox.strangers import forgotten, in_front, on_the_way_back

COOKIE = "JSESSIONID"
KEY_COOKIE = "sessionkey"
POLL = "queryAsyncJobResult"
LOOPBACK = ("127.0.0.1", "::1")
MAX_FORM_BYTES = 1 << 20


@dataclass(slots=True)
class Window:
    """How many calls an account has made in the running second."""

    began_ms: int
    count: int = 0


class RegionServer:
    """Serves one region on one port. It can be stopped and started again: the state stays."""

    def __init__(
        self,
        region: Region,
        port: int = 0,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.region = region
        self.port = port
        self._host = host
        self._tls = tls
        self._windows: dict[str, Window] = {}
        self._runner: web.AppRunner | None = None

    @property
    def endpoint(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/client/api"

    async def start(self) -> None:
        """Listens; takes a free port at the first start when none was given, and keeps it."""
        app = web.Application(client_max_size=MAX_FORM_BYTES)
        app.router.add_route("*", "/client/api", self._api)
        app.router.add_route("*", "/client/api/", self._api)
        app.router.add_route("*", "/integration/api", self._open_api)
        app.router.add_route("*", "/sandbox/{what}", self._control)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port, reuse_address=True, ssl_context=self._tls)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Closes the port: callers get refused connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _open_api(self, http: web.Request) -> web.StreamResponse:
        return await self._api(http, open_port=True)

    async def _api(self, http: web.Request, open_port: bool = False) -> web.StreamResponse:
        params = [(key, value) for key, value in http.query.items()]
        if http.method == "POST":
            params += [(key, value) for key, value in (await http.post()).items() if isinstance(value, str)]
        cookies = http.cookies
        request = Request(
            http.method,
            params,
            cookies.get(COOKIE),
            cookies.get(KEY_COOKIE),
            http.remote or "",
            open_port,
        )
        given = lower_names(params)
        broken = await self._before(http, given)
        if broken is not None:
            return broken
        reply = dispatch(self.region, request)
        self.region.calls.add(reply.account, given.get("command", "-"))
        await self._after(http, reply, given)
        return on_the_way_back(self.region.faults, self.region.fault_rng, _response(reply, given))

    async def _before(self, http: web.Request, given: Mapping[str, str]) -> web.StreamResponse | None:
        faults, rng = self.region.faults, self.region.fault_rng
        stranger = in_front(faults, rng)
        if stranger is not None:
            return stranger
        if strikes(rng, faults.hang_ratio):
            await asyncio.Event().wait()
        if strikes(rng, faults.drop_before_ratio):
            _cut(http)
        if given.get("command") == POLL and strikes(rng, faults.forgotten_ratio):
            return forgotten(POLL)
        if faults.throttle_per_s > 0:
            return self._throttled(given)
        return None

    def _throttled(self, given: Mapping[str, str]) -> web.StreamResponse | None:
        """CloudStack counts calls per account in windows of a second."""
        now = self.region.clock()
        window = self._windows.setdefault(given.get("apikey", ""), Window(now))
        if now - window.began_ms >= 1000:
            window.began_ms, window.count = now, 0
        window.count += 1
        if window.count <= self.region.faults.throttle_per_s:
            return None
        wait = max(1000 - (now - window.began_ms), 1)
        text = f"The given user has reached his/her account api limit, please retry after {wait} ms."
        body: dict[str, object] = {"uuidList": [], "errorcode": 429, "cserrorcode": 9999, "errortext": text}
        return _response(Reply(429, f"{given.get('command', '').lower()}response", body), given)

    async def _after(self, http: web.Request, reply: Reply, given: Mapping[str, str]) -> None:
        faults = self.region.faults
        delay_ms = faults.latency_ms
        if faults.real_latency:
            rows = max((len(value) for value in reply.body.values() if isinstance(value, list)), default=0)
            load = Load(rows, len(self.region.world.live_accounts), given.get("details") != "min")
            delay_ms = max(delay_ms, real_ms(given.get("command", ""), load))
        if delay_ms > 0:
            await asyncio.sleep(delay_ms / 1000)
        if strikes(self.region.fault_rng, faults.drop_after_ratio):
            _cut(http)

    async def _control(self, http: web.Request) -> web.StreamResponse:
        """faults (GET, POST), calls (GET, DELETE), state (GET); loopback only."""
        if http.remote not in LOOPBACK:
            return web.json_response({"error": "loopback only"}, status=403)
        region, what = self.region, http.match_info["what"]
        if what == "faults" and http.method == "POST":
            try:
                region.faults.update(await http.json())
            except (ValueError, AttributeError) as error:
                return web.json_response({"error": str(error)}, status=400)
        if what == "calls" and http.method == "DELETE":
            region.calls.clear()
        answers = {"faults": region.faults.as_dict, "calls": region.calls.as_dict, "state": region.dump}
        if what not in answers:
            return web.json_response({"error": f"no {what} here"}, status=404)
        return web.json_response(answers[what]())


def _cut(http: web.Request) -> None:
    """Breaks the connection in place of an answer."""
    if http.transport is not None:
        http.transport.abort()
    raise asyncio.CancelledError


def _response(reply: Reply, given: Mapping[str, str]) -> web.Response:
    if given.get("response") == "xml":
        text, kind = _xml(reply), "text/xml"
    else:
        text, kind = json.dumps({reply.key: reply.body}, ensure_ascii=False), "application/json"
    response = web.Response(status=reply.status, text=text, content_type=kind, charset="utf-8")
    if reply.session is not None:
        response.set_cookie(COOKIE, reply.session.cookie, path="/client", httponly=True)
        response.set_cookie(KEY_COOKIE, reply.session.key, path="/client/api", httponly=True)
    return response


def _xml(reply: Reply) -> str:
    head = f'<?xml version="1.0" encoding="UTF-8"?><{reply.key} cloud-stack-version="{VERSION}">'
    inside = "".join(_element(name, value) for name, value in reply.body.items())
    return f"{head}{inside}</{reply.key}>"


def _element(name: str, value: object) -> str:
    if isinstance(value, list):
        return "".join(_element(name, one) for one in value)
    if isinstance(value, dict):
        return f"<{name}>{''.join(_element(key, one) for key, one in value.items())}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"
