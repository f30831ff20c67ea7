"""One HTTP exchange with a region: bounded in time and size, every failure worded as `Unreachable`.

In: method, query or form, cookies. Out: status, headers and the whole body. Called by the client. The
transport is the seam where tests and simulated regions come in. It is used without httpx's client around
it: no redirects, proxies, cookies or authentication of its own are wanted here, and it costs a third less
CPU a call (measured; engine.md, "The sink's HTTP client").
"""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from pipeline.cloudstack.errors import Unreachable
from pipeline.core.distrust import distrust

BODY_MAX_BYTES: Final = 16 * 1024 * 1024
"""A page of 500 accounts with all their limits is 1.3 MB; what is larger than this is not an answer. Parsed,
the worst that fits (nothing but empty objects) is some 500 MB."""

IDLE_CONNECTION_S: Final = 15.0
"""Idle connections are closed by us before the region does it (Jetty after 30 s), so that no call meets a
closing one."""

EXCERPT: Final = 200

_SECRET: Final = re.compile(
    r"\b((?:user)?apikey|(?:user)?secretkey|signature|sessionkey|password|currentpassword|jsessionid)"
    r"(\"?\s*[=:]\s*\"?)[^&\s\"',;<>]+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `content` is the query of a GET and the form of a POST. `secrets`: parameters that no
    error may repeat."""

    command: str
    method: str
    content: str
    cookie: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: httpx.Headers
    body: bytes


class Wire:
    """Sends requests to one endpoint over one pool of connections."""

    def __init__(self, endpoint: str, timeout_s: float, transport: httpx.AsyncBaseTransport) -> None:
        self._url = httpx.URL(endpoint)
        self._timeout_s = timeout_s
        self._transport = transport
        # aiohttp's own limits: connecting and waiting for the next bytes. The whole is bounded below.
        self._extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)}

    async def exchange(self, request: Request) -> Answer:
        """The answer, whatever its status. Raises `Unreachable`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(request)
        except TimeoutError:
            raise Unreachable(f"no answer to {request.command} within {self._timeout_s:g} s") from None
        except (httpx.TransportError, httpx.DecodingError, aiohttp.ClientError, OSError) as error:
            words = distrust(error) or scrubbed(str(error)) or type(error).__name__
            raise Unreachable(f"{request.command} did not reach the region: {words}") from error

    async def _exchange(self, request: Request) -> Answer:
        headers = {"accept": "application/json", "accept-encoding": "gzip"}
        if request.cookie:
            headers["cookie"] = request.cookie
        url, content = self._url, None
        if request.method == "POST":
            content = request.content.encode("ascii")
            headers["content-type"] = "application/x-www-form-urlencoded"
        else:
            url = url.copy_with(query=request.content.encode("ascii"))
        response = await self._transport.handle_async_request(
            httpx.Request(request.method, url, headers=headers, content=content, extensions=self._extensions)
        )
        try:
            return Answer(response.status_code, response.headers, await _body(response, request.command))
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        await self._transport.aclose()


async def _body(response: httpx.Response, command: str) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > BODY_MAX_BYTES:
            raise Unreachable(f"the answer to {command} is over the limit of {BODY_MAX_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def pooled(max_connections: int, tls_ca: str) -> httpx.AsyncBaseTransport:
    """The real transport. `tls_ca`: the file of a certificate authority; empty: those of the system. There is
    no way to leave a certificate unchecked."""
    context = ssl.create_default_context(cafile=tls_ca or None)

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=max_connections,
            ssl=context,
            keepalive_timeout=IDLE_CONNECTION_S,
            enable_cleanup_closed=False,
        )
        # No jar: a session's cookie is sent by the login that got it, and by nothing else.
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    return AiohttpTransport(verify=context, trust_env=False, client=session)


def scrubbed(text: str, secrets: tuple[str, ...] = ()) -> str:
    """`text` without the values of anything that is a key, a signature, a session or a password."""
    text = _SECRET.sub(r"\1\2***", text)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def excerpt(body: bytes, secrets: tuple[str, ...] = ()) -> str:
    """The first characters of a body that is no answer, on one line, for an error's text."""
    text = scrubbed(body[: 8 * EXCERPT].decode("utf-8", errors="replace"), secrets)
    return " ".join(text.split())[:EXCERPT]
