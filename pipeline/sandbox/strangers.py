"""What something in front of a region (a proxy, a balancer, a login wall) answers in the region's place, and
answers that break on the way.

In: the switches, a random number generator. Out: a response, or None where no such switch strikes. Called by
`server`, before a call takes effect and after.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import Final

from aiohttp import web

from pipeline.sandbox.faults import Faults, strikes

LOGIN_PAGE: Final = (
    "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form></form></body></html>"
)
BAD_GATEWAY: Final = "<html><body><h1>502 Bad Gateway</h1></body></html>"
ELSEWHERE: Final = "https://login.example/?back=%2Fclient%2Fapi"
PIECE: Final = b" " * 65_536


class Endless(web.StreamResponse):
    """Goes on until the caller hangs up."""

    async def write_eof(self, _data: bytes = b"") -> None:
        while True:
            await self.write(PIECE)
            await asyncio.sleep(0)


def in_front(faults: Faults, rng: random.Random) -> web.StreamResponse | None:
    """The call never reaches the region."""
    if strikes(rng, faults.error_ratio):
        return web.Response(status=503, text="<html><body>503 Service Unavailable</body></html>")
    if strikes(rng, faults.html_ratio):
        return web.Response(text=LOGIN_PAGE, content_type="text/html")
    if strikes(rng, faults.redirect_ratio):
        return web.Response(status=302, headers={"location": ELSEWHERE})
    if strikes(rng, faults.stranger_ratio):
        return web.json_response({"error": {"code": "session_expired", "login": ELSEWHERE}})
    if strikes(rng, faults.curt_ratio):
        return web.Response(status=429)
    return None


def on_the_way_back(faults: Faults, rng: random.Random, answer: web.Response) -> web.StreamResponse:
    """The call took effect; what its caller gets."""
    if strikes(rng, faults.html_after_ratio):
        return web.Response(status=502, text=BAD_GATEWAY, content_type="text/html")
    if strikes(rng, faults.cut_ratio):
        body = answer.body if isinstance(answer.body, bytes) else b""
        return web.Response(body=body[: len(body) // 2], content_type="application/json")
    if strikes(rng, faults.endless_ratio):
        return Endless(headers={"content-type": "application/json"})
    return answer


def forgotten(command: str) -> web.Response:
    """A job that the region knows no more: it was purged, or a backup was restored."""
    text = "Invalid parameter jobid value due to incorrect long value format, or entity does not exist"
    inner = {"uuidList": [], "errorcode": 431, "cserrorcode": 9999, "errortext": text}
    body = json.dumps({f"{command.lower()}response": inner})
    return web.Response(status=431, text=body, content_type="application/json")
