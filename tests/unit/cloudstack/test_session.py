"""Logging in: the session's key and cookie, its end, and what a wrong password must never lead to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from pipeline.cloudstack.client import CloudStack
from pipeline.cloudstack.errors import Unauthorised
from pipeline.cloudstack.session import Credentials
from tests.unit.cloudstack.conftest import Script, ScriptedRegion, ok, refusal

Serve = Callable[[Script], Awaitable[ScriptedRegion]]
ClientOf = Callable[..., CloudStack]
LOGIN = Credentials(username="svc~sync", password="Pässword+1", domain="/")


class Sessions:
    """A region that knows one password and the newest session."""

    def __init__(self) -> None:
        self.region: ScriptedRegion | None = None
        self.logins = 0
        self.password = LOGIN.password

    def __call__(self, params: dict[str, str]) -> web.Response:
        assert self.region is not None
        if params["command"] == "login":
            return self._login(params)
        cookie = self.region.headers[-1].get("Cookie", "")
        if params.get("sessionkey") != f"key{self.logins}" or f"JSESSIONID=id{self.logins}" not in cookie:
            return refusal(
                params["command"], 401, "unable to verify user credentials and/or request signature"
            )
        return ok(params["command"], {"count": 0})

    def _login(self, params: dict[str, str]) -> web.Response:
        if params["password"] != self.password:
            return refusal("login", 531, f"Failed to authenticate user {params['username']} in domain 1")
        self.logins += 1
        answer = ok("login", {"sessionkey": f"key{self.logins}", "userid": "our-uuid", "timeout": 1800})
        answer.set_cookie("JSESSIONID", f"id{self.logins}", path="/client", httponly=True)
        answer.set_cookie("sessionkey", f"key{self.logins}")
        return answer

    def end(self) -> None:
        """All sessions end, as when the management server restarts."""
        self.logins += 100


@pytest.fixture
async def sessions(serve: Serve) -> Sessions:
    script = Sessions()
    script.region = await serve(script)
    return script


async def test_logs_in_once_for_all(sessions: Sessions, client_of: ClientOf) -> None:
    client = client_of(sessions.region, credentials=LOGIN)
    await asyncio.gather(*(client.call("listUsers", {}) for _ in range(8)))
    assert sessions.region is not None
    assert sessions.region.commands.count("login") == 1
    assert sessions.region.requests[0][0] == "POST"
    assert client.session_user == "our-uuid"


async def test_logs_in_again_once_when_the_session_ends(sessions: Sessions, client_of: ClientOf) -> None:
    client = client_of(sessions.region, credentials=LOGIN)
    await client.call("listUsers", {})
    sessions.end()
    await asyncio.gather(*(client.call("listUsers", {}) for _ in range(8)))
    assert sessions.region is not None
    assert sessions.region.commands.count("login") == 2


async def test_a_wrong_password_is_sent_once(sessions: Sessions, client_of: ClientOf) -> None:
    """Five wrong logins disable the user, and no event tells of it."""
    sessions.password = "another"
    client = client_of(sessions.region, credentials=LOGIN)
    for _ in range(7):
        with pytest.raises(Unauthorised) as caught:
            await client.call("listUsers", {})
    assert "not tried again" in str(caught.value)
    assert LOGIN.password not in str(caught.value)
    assert sessions.region is not None
    assert sessions.region.commands == ["login"]


async def test_a_session_that_stays_refused_is_not_tried_for_ever(serve: Serve, client_of: ClientOf) -> None:
    def script(params: dict[str, str]) -> web.Response:
        if params["command"] == "login":
            return ok("login", {"sessionkey": "k", "userid": "u"})
        return refusal(params["command"], 401, "unable to verify user credentials and/or request signature")

    region = await serve(script)
    with pytest.raises(Unauthorised):
        await client_of(region, credentials=LOGIN).call("updateUser", {"id": "u"})
    assert region.commands == ["login", "updateUser", "login", "updateUser"]
