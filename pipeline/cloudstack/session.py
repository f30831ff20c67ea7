"""Makes a request ours: signed with a key pair, or sent within a session that a login has opened.

In: credentials, a command and its parameters. Out: the `Request` to send. Called by the client, which also
tells when a session is no longer accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from pipeline.cloudstack import signing
from pipeline.cloudstack.answers import Reply
from pipeline.cloudstack.errors import Unauthorised, Unreachable
from pipeline.cloudstack.transport import Request

SKEW_MIN_MS: Final = 60_000
"""Clocks that are nearer to each other make no signature expire."""
SKEW_MAX_MS: Final = 26 * 3_600_000
"""A region that is further off is told of and not followed: a signature must not be good for ever."""
KEY_MAX: Final = 256
"""Characters of what a login tells and is sent with every request: a session key has 27."""

_READS: Final = ("list", "get", "query")


def is_read(command: str) -> bool:
    """Whether `command` changes nothing."""
    return command.startswith(_READS) or command == "login"


@dataclass(frozen=True)
class Credentials:
    """A key pair, or a user name and password with the domain's path (`/` is ROOT). Shows none of the
    secrets."""

    apikey: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    domain: str = "/"

    def __post_init__(self) -> None:
        pair, login = bool(self.apikey and self.secret), bool(self.username and self.password)
        if pair == login:
            raise ValueError("credentials are an API key with its secret, or a user name with its password")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may ever show."""
        return self.apikey, self.secret, self.password


class Access(Protocol):
    """A way to make requests ours."""

    @property
    def user(self) -> str:
        """Our user's UUID, where the way in tells it."""

    async def request(self, command: str, params: Mapping[str, str]) -> Request:
        """The request to send. Raises `Unauthorised`, `Unreachable`."""

    def renewable(self, request: Request) -> bool:
        """Whether `request`, answered with 401, may be made anew and sent once more."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a signature expires. `skew`: the region's clock minus ours at its last answer (ms), None when it
    never told."""

    lifetime_s: int
    clock: Callable[[], int]
    skew: Callable[[], int | None]


class KeyPair:
    """Signs every request. A refused key stays refused; where the region's clock is far from ours, a
    signature may just have expired, and the next ones go by the region's clock."""

    user = ""

    def __init__(self, credentials: Credentials, times: Times, *, post: bool) -> None:
        self._credentials = credentials
        self._times = times
        self._post = post
        self._ahead_ms = 0

    async def request(self, command: str, params: Mapping[str, str]) -> Request:
        full = {**params, "command": command, "response": "json"}
        expires = signing.expires(self._times.clock() + self._ahead_ms, self._times.lifetime_s)
        full = signing.signed(full, self._credentials.apikey, self._credentials.secret, expires)
        return Request(command, _method(command, self._post), signing.query(full))

    def renewable(self, _request: Request) -> bool:
        skew_ms = self._times.skew()
        if skew_ms is None or abs(skew_ms) > SKEW_MAX_MS or abs(skew_ms - self._ahead_ms) < SKEW_MIN_MS:
            return False
        self._ahead_ms = skew_ms
        return True


@dataclass(frozen=True, slots=True)
class _Session:
    key: str
    cookie: str
    user: str


class LoginSession:
    """Logs in at the first request, and once more when the session is no longer accepted.

    A refused login is final for this process: five wrong ones disable the user, with no event to tell of it
    (cloudstack.md), and a new password comes with a restart anyway.
    """

    def __init__(
        self, credentials: Credentials, send: Callable[[Request], Awaitable[Reply]], *, post: bool
    ) -> None:
        self._credentials = credentials
        self._send = send
        self._post = post
        self._lock = asyncio.Lock()
        self._session: _Session | None = None
        self._refused = ""

    @property
    def user(self) -> str:
        return self._session.user if self._session else ""

    async def request(self, command: str, params: Mapping[str, str]) -> Request:
        session = await self._current()
        full = {**params, "command": command, "response": "json", "sessionkey": session.key}
        return Request(command, _method(command, self._post), signing.query(full), session.cookie)

    def renewable(self, request: Request) -> bool:
        """The first who finds the session dead drops it; the others find a new one already."""
        if self._session is not None and self._session.cookie == request.cookie:
            self._session = None
        return True

    async def _current(self) -> _Session:
        async with self._lock:
            if self._session is None:
                self._session = await self._login()
            return self._session

    async def _login(self) -> _Session:
        if self._refused:
            raise Unauthorised(f"{self._refused}; not tried again, since five wrong logins disable the user")
        form = {
            "command": "login",
            "response": "json",
            "username": self._credentials.username,
            "password": self._credentials.password,
        }
        if self._credentials.domain not in ("", "/"):
            form["domain"] = self._credentials.domain
        try:
            reply = await self._send(Request("login", "POST", signing.query(form)))
        except Unauthorised as error:
            self._refused = str(error)
            raise
        key, user = reply.inner.get("sessionkey"), reply.inner.get("userid")
        if not isinstance(key, str) or not 0 < len(key) <= KEY_MAX:
            raise Unreachable("the login was answered without a session key")
        return _Session(key, reply.cookie, user if isinstance(user, str) and len(user) <= KEY_MAX else "")


def _method(command: str, post: bool) -> str:
    return "POST" if post and not is_read(command) else "GET"
