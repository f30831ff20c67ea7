"""Calls over a real socket: requests as CloudStack wants them, jobs, pages, and every way in which a call
fails."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from pipeline.cloudstack import client as client_module
from pipeline.cloudstack import transport
from pipeline.cloudstack.client import CallRecord, ClientSettings, CloudStack
from pipeline.cloudstack.errors import Busy, NotEmpty, Refused, Throttled, Unauthorised, Unreachable
from pipeline.cloudstack.session import Credentials
from tests.unit.cloudstack.conftest import (
    KEY,
    NOW,
    SECRET,
    Script,
    ScriptedRegion,
    ok,
    recorded,
    refusal,
)

Serve = Callable[[Script], Awaitable[ScriptedRegion]]
ClientOf = Callable[..., CloudStack]


def say(body: dict[str, Any]) -> web.Response:
    return web.json_response(body)


def always(response: Callable[[], web.StreamResponse]) -> Script:
    return lambda _params: response()


async def test_a_read_is_a_signed_get(serve: Serve, client_of: ClientOf) -> None:
    region = await serve(always(lambda: ok("listUsers", {"count": 1, "user": [{"id": "u"}]})))
    inner = await client_of(region).call("listUsers", {"id": "u", "listall": "true"})
    assert inner == {"count": 1, "user": [{"id": "u"}]}
    method, params = region.requests[0]
    assert method == "GET"
    assert params["expires"] == "2026-11-23T08:30:00+0000"
    assert params["signatureversion"] == "3"
    assert params["apikey"] == KEY
    assert region.unsigned == []


@pytest.mark.parametrize("post", [True, False])
async def test_any_text_arrives_and_is_signed(serve: Serve, client_of: ClientOf, post: bool) -> None:
    region = await serve(always(lambda: ok("updateDomain", {})))
    name = "Ünï~d*m+ & 100% /a=b?c#d;e 'f' \"g\" [h] 🙂"
    await client_of(region, post=post).call("updateDomain", {"id": "d", "name": name, "networkdomain": ""})
    method, params = region.requests[0]
    assert method == ("POST" if post else "GET")
    assert params["name"] == name
    assert params["networkdomain"] == ""
    assert region.unsigned == []


async def test_a_job_is_waited_for(serve: Serve, client_of: ClientOf) -> None:
    bodies = [recorded("user.disable", call) for call in range(3)]
    region = await serve(lambda _params: say(bodies[len(region.requests) - 1]))
    client = client_of(region)
    with client.recording() as calls:
        inner = await client.call("disableUser", {"id": "u"})
    assert inner["user"]["state"] == "disabled"
    assert [(call.command, call.read) for call in calls] == [
        ("disableUser", False),
        ("queryAsyncJobResult", True),
        ("queryAsyncJobResult", True),
    ]
    assert [method for method, _ in region.requests] == ["POST", "GET", "GET"]


async def test_a_failed_job_is_the_commands_error(serve: Serve, client_of: ClientOf) -> None:
    bodies = [recorded("domain.delete.nonempty.nocleanup", call) for call in range(3)]
    region = await serve(lambda _params: say(bodies[len(region.requests) - 1]))
    client = client_of(region)
    with client.recording() as calls, pytest.raises(NotEmpty) as caught:
        await client.call("deleteDomain", {"id": "d"})
    assert caught.value.command == "deleteDomain"
    assert calls[-1].error == str(caught.value)


async def test_a_job_that_failed_for_now_is_not_polled_again(serve: Serve, client_of: ClientOf) -> None:
    failed = {"jobstatus": 2, "jobresult": {"errorcode": 530, "errortext": "Deadlock found"}}

    def script(params: dict[str, str]) -> web.Response:
        started = params["command"] == "deleteUser"
        return ok(params["command"], {"jobid": "j"} if started else failed)

    region = await serve(script)
    with pytest.raises(Busy):
        await client_of(region).call("deleteUser", {"id": "u"})
    assert region.commands == ["deleteUser", "queryAsyncJobResult"]


async def test_a_job_outlives_lost_polls(serve: Serve, client_of: ClientOf) -> None:
    def script(params: dict[str, str]) -> web.Response:
        if params["command"] == "deleteUser":
            return ok("deleteUser", {"jobid": "j"})
        if len(region.requests) < 4:
            return web.Response(status=502, text="<html>bad gateway</html>")
        return ok("queryAsyncJobResult", {"jobstatus": 1, "jobresult": {"success": True}})

    region = await serve(script)
    assert await client_of(region).call("deleteUser", {"id": "u"}) == {"success": True}
    assert region.commands.count("deleteUser") == 1


async def test_a_job_that_never_ends_is_temporary(serve: Serve, client_of: ClientOf) -> None:
    def script(params: dict[str, str]) -> web.Response:
        job = {"jobid": "j"} if params["command"] == "deleteUser" else {"jobstatus": 0}
        return ok(params["command"], job)

    region = await serve(script)
    with pytest.raises(Unreachable, match=r"the job of deleteUser did not end within 0\.2 s"):
        await client_of(region, job_timeout_s=0.2).call("deleteUser", {"id": "u"})


async def test_a_job_that_the_region_forgot_is_temporary(serve: Serve, client_of: ClientOf) -> None:
    def script(params: dict[str, str]) -> web.Response:
        if params["command"] == "deleteUser":
            return ok("deleteUser", {"jobid": "j"})
        return refusal("queryAsyncJobResult", 431, "Invalid parameter jobid value=j entity does not exist")

    region = await serve(script)
    with pytest.raises(Unreachable, match="can no longer be followed"):
        await client_of(region).call("deleteUser", {"id": "u"})


async def test_pages_to_the_end(serve: Serve, client_of: ClientOf) -> None:
    everyone = [{"id": str(number)} for number in range(1201)]

    def script(params: dict[str, str]) -> web.Response:
        first = (int(params["page"]) - 1) * int(params["pagesize"])
        return ok("listUsers", {"count": 1201, "user": everyone[first : first + int(params["pagesize"])]})

    region = await serve(script)
    pages = [page async for page in client_of(region).pages("listUsers", {"listall": "true"}, "user")]
    assert [len(page) for page in pages] == [500, 500, 201]
    assert [row for page in pages for row in page] == everyone
    assert len(region.requests) == 3


async def test_pages_of_nothing_and_beyond_the_end(serve: Serve, client_of: ClientOf) -> None:
    beyond = recorded("read.listAccounts.page99")
    for body in ({"listaccountsresponse": {}}, beyond):
        region = await serve(always(lambda body=body: say(body)))
        assert [page async for page in client_of(region).pages("listAccounts", {}, "account")] == []
        assert len(region.requests) == 1


async def test_pages_without_a_count_end_with_a_short_one(serve: Serve, client_of: ClientOf) -> None:
    rows = [{"id": "a"}, {"id": "b"}, {"id": "c"}]

    def script(params: dict[str, str]) -> web.Response:
        page = int(params["page"])
        return ok("listRoles", {"role": rows[2 * page - 2 : 2 * page]})

    region = await serve(script)
    pages = [page async for page in client_of(region).pages("listRoles", {}, "role", page_size=2)]
    assert [row for page in pages for row in page] == rows


@pytest.mark.parametrize(
    ("status", "text"),
    [(200, "<html>maintenance</html>"), (502, "bad gateway"), (500, ""), (404, "<h1>no</h1>")],
)
async def test_what_is_not_cloudstacks_is_unreachable(
    serve: Serve, client_of: ClientOf, status: int, text: str
) -> None:
    region = await serve(always(lambda: web.Response(status=status, text=text)))
    with pytest.raises(Unreachable, match=f"HTTP {status}") as caught:
        await client_of(region).call("listUsers", {})
    assert text in str(caught.value)


async def test_a_redirect_is_not_followed(serve: Serve, client_of: ClientOf) -> None:
    there = {"location": "https://other.example/client/api?signature=abc"}
    region = await serve(always(lambda: web.Response(status=302, headers=there)))
    with pytest.raises(Unreachable, match=r"points to https://other\.example/client/api\?signature=\*\*\*"):
        await client_of(region).call("listUsers", {})
    assert len(region.requests) == 1


async def test_an_unavailable_region_may_ask_for_time(serve: Serve, client_of: ClientOf) -> None:
    region = await serve(always(lambda: web.Response(status=503, headers={"retry-after": "7"})))
    with pytest.raises(Unreachable) as caught:
        await client_of(region).call("listUsers", {})
    assert caught.value.after_s == 7.0


async def test_a_throttled_call_holds_back_all_others(serve: Serve, client_of: ClientOf) -> None:
    times: list[float] = []

    def script(_params: dict[str, str]) -> web.Response:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            return web.Response(status=429, headers={"retry-after": "0.4"}, text="slow down")
        return ok("listUsers", {})

    region = await serve(script)
    client = client_of(region)
    with pytest.raises(Throttled) as caught:
        await client.call("listUsers", {})
    assert caught.value.after_s == 0.4
    await asyncio.gather(*(client.call("listUsers", {}) for _ in range(3)))
    assert min(times[1:]) - times[0] >= 0.39


async def test_a_429_of_cloudstacks_own_with_a_header(serve: Serve, client_of: ClientOf) -> None:
    def script(params: dict[str, str]) -> web.Response:
        answer = refusal(params["command"], 429, "please retry after 250 ms")
        if len(region.requests) == 2:
            answer.headers["retry-after"] = "Mon, 23 Nov 2026 08:20:02 GMT"
            answer.headers["date"] = "Mon, 23 Nov 2026 08:20:00 GMT"
        return answer

    region = await serve(script)
    client = client_of(region)
    with pytest.raises(Throttled) as first:
        await client.call("listUsers", {})
    with pytest.raises(Throttled) as second:
        await client.call("listUsers", {})
    assert first.value.after_s == 0.25
    assert second.value.after_s == 2.0


@pytest.mark.parametrize("hours", [-24, -1, 1, 24])
async def test_signatures_follow_a_region_whose_clock_is_far_from_ours(
    serve: Serve, client_of: ClientOf, hours: int
) -> None:
    """It takes none that has expired, or that expires later than in 15 minutes (its strictest setting)."""
    there = NOW / 1000 + 3600 * hours

    def script(params: dict[str, str]) -> web.Response:
        expires = datetime.strptime(params["expires"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
        fresh = there <= expires <= there + 900
        answer = ok("listUsers", {"count": 1}) if fresh else refusal("listUsers", 401, "signature expired")
        answer.headers["date"] = formatdate(there, usegmt=True)
        return answer

    region = await serve(script)
    client = client_of(region)
    for _ in range(3):
        assert await client.call("listUsers", {}) == {"count": 1}
    assert len(region.requests) == 4, "found out once"
    assert region.unsigned == []


async def test_signatures_do_not_follow_a_clock_to_anywhere(serve: Serve, client_of: ClientOf) -> None:
    def script(_params: dict[str, str]) -> web.Response:
        answer = refusal("listUsers", 401, "signature expired")
        answer.headers["date"] = formatdate(NOW / 1000 + 30 * 86_400, usegmt=True)
        return answer

    region = await serve(script)
    with pytest.raises(Unauthorised, match="the clocks"):
        await client_of(region).call("listUsers", {})
    assert len(region.requests) == 1


@pytest.mark.parametrize("hours", [-24, 0, 24])
async def test_a_date_to_come_back_at_is_told_by_the_regions_clock(
    serve: Serve, client_of: ClientOf, hours: int
) -> None:
    """However far ours is from it: nobody waits for the difference."""
    told = NOW / 1000 + 3600 * hours
    headers = {"retry-after": formatdate(told + 5, usegmt=True), "date": formatdate(told, usegmt=True)}
    region = await serve(always(lambda: web.Response(status=503, headers=headers)))
    with pytest.raises(Unreachable) as caught:
        await client_of(region).call("listUsers", {})
    assert caught.value.after_s == 5.0


async def test_json_of_somebody_else_is_no_empty_listing(serve: Serve, client_of: ClientOf) -> None:
    """A wall that wants a login, answering with 200."""
    said = {"error": {"code": "session_expired"}}
    region = await serve(always(lambda: web.json_response(said)))
    with pytest.raises(Unreachable, match="the answer to listUsers is another one's: 'error'"):
        await client_of(region).call("listUsers", {})


async def test_a_hanging_region_is_given_up(serve: Serve, client_of: ClientOf) -> None:
    async def hang(_params: dict[str, str]) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    region = await serve(hang)
    with pytest.raises(Unreachable, match=r"no answer to createUser within 0\.2 s"):
        await client_of(region, timeout_s=0.2).call("createUser", {})


async def test_a_dripping_answer_is_given_up(serve: Serve, client_of: ClientOf) -> None:
    """The limit is for the whole answer: a byte now and then does not prolong it."""
    done = asyncio.Event()

    class Dripping(web.StreamResponse):
        async def write_eof(self, data: bytes = b"") -> None:
            while not done.is_set():
                await self.write(b" ")
                await asyncio.sleep(0.05)

    region = await serve(always(Dripping))
    with pytest.raises(Unreachable, match="no answer"):
        await client_of(region, timeout_s=0.3).call("listUsers", {})
    done.set()


async def test_nobody_listens(client_of: ClientOf, unused_tcp_port: int) -> None:
    client = client_of(f"http://127.0.0.1:{unused_tcp_port}/client/api")
    with (
        pytest.raises(Unreachable, match="listUsers did not reach the region") as caught,
        client.recording() as calls,
    ):
        await client.call("listUsers", {})
    assert calls[0].status is None
    assert calls[0].error == str(caught.value)
    assert "signature" not in str(caught.value)


async def test_a_dropped_connection_does_not_repeat_a_change(serve: Serve, client_of: ClientOf) -> None:
    """Over a kept connection, where aiohttp repeats reads of its own accord."""
    dropped = 0

    def script(params: dict[str, str]) -> web.StreamResponse:
        nonlocal dropped
        if params["command"] == "listUsers":
            return ok("listUsers", {})
        dropped += 1
        return Dropped()

    class Dropped(web.StreamResponse):
        async def prepare(self, request: web.BaseRequest) -> None:
            assert request.transport is not None
            request.transport.abort()

    region = await serve(script)
    client = client_of(region)
    await client.call("listUsers", {})
    with pytest.raises(Unreachable):
        await client.call("createUser", {})
    assert dropped == 1


async def test_an_endless_answer_is_cut(
    serve: Serve, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "BODY_MAX_BYTES", 1_000_000)
    bomb = gzip.compress(b" " * 5_000_000)
    region = await serve(always(lambda: web.Response(body=bomb, headers={"content-encoding": "gzip"})))
    with pytest.raises(Unreachable, match="over the limit of 1000000 bytes"):
        await client_of(region).call("listUsers", {})


async def test_a_compressed_answer_is_read(serve: Serve, client_of: ClientOf) -> None:
    body = gzip.compress(json.dumps({"listusersresponse": {"count": 7}}).encode())
    region = await serve(always(lambda: web.Response(body=body, headers={"content-encoding": "gzip"})))
    assert await client_of(region).call("listUsers", {}) == {"count": 7}


async def test_an_answer_that_lies_about_its_encoding(serve: Serve, client_of: ClientOf) -> None:
    region = await serve(always(lambda: web.Response(body=b"plain", headers={"content-encoding": "gzip"})))
    with pytest.raises(Unreachable):
        await client_of(region).call("listUsers", {})


async def test_no_secret_in_any_error(serve: Serve, client_of: ClientOf) -> None:
    """A proxy that shows the request in its error page."""

    async def echo(request: dict[str, str]) -> web.Response:
        shown = "&".join(f"{key}={value}" for key, value in request.items())
        return web.Response(status=502, text=f"could not forward /client/api?{shown} {SECRET}")

    region = await serve(echo)
    seen: list[CallRecord] = []
    client = client_of(region, on_call=seen.append)
    with pytest.raises(Unreachable) as caught:
        await client.call("createUser", {"password": "pa55-word", "username": "x"})
    signature = region.requests[0][1]["signature"]
    for text in (str(caught.value), str(seen)):
        assert not any(secret in text for secret in (signature, SECRET, KEY, "pa55-word"))


async def test_unauthorised_tells_what_to_check(serve: Serve, client_of: ClientOf) -> None:
    text = "unable to verify user credentials and/or request signature"
    region = await serve(always(lambda: refusal("listUsers", 401, text)))
    with pytest.raises(Unauthorised, match="check the API key"):
        await client_of(region).call("listUsers", {})
    assert len(region.requests) == 1


async def test_each_task_records_its_own_calls(serve: Serve, client_of: ClientOf) -> None:
    region = await serve(lambda params: ok(params["command"], {}))
    everything: list[CallRecord] = []
    client = client_of(region, on_call=everything.append)

    async def lane(command: str) -> list[str]:
        with client.recording() as calls:
            for _ in range(3):
                await client.call(command, {})
        return [call.command for call in calls]

    lanes = await asyncio.gather(lane("listUsers"), lane("updateUser"))
    assert lanes == [["listUsers"] * 3, ["updateUser"] * 3]
    assert len(everything) == 6
    assert all(call.status == 200 and call.error is None and call.ms > 0 for call in everything)


async def test_a_cancelled_call_is_recorded(serve: Serve, client_of: ClientOf) -> None:
    arrived = asyncio.Event()

    async def hang(_params: dict[str, str]) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(60)
        return web.Response()

    region = await serve(hang)
    seen: list[CallRecord] = []
    task = asyncio.create_task(client_of(region, on_call=seen.append).call("createUser", {}))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(call.command, call.error) for call in seen] == [("createUser", "given up")]


async def test_the_rate_is_kept(serve: Serve, client_of: ClientOf) -> None:
    """From before the first to after the last: a busy machine makes that longer, and never shorter."""
    client = client_of(await serve(lambda _params: ok("listUsers", {})), rate_per_s=20.0)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(client.call("listUsers", {}) for _ in range(8)))
    assert asyncio.get_running_loop().time() - began >= 7 / 20


async def test_the_regions_clock_is_noted(serve: Serve, client_of: ClientOf) -> None:
    def script(_params: dict[str, str]) -> web.Response:
        answer = ok("listUsers", {})
        answer.headers["date"] = "Mon, 23 Nov 2026 08:20:42 GMT"
        return answer

    client = client_of(await serve(script))
    assert client.skew_ms is None
    await client.call("listUsers", {})
    assert client.skew_ms == 42_000


def test_credentials_show_no_secret() -> None:
    shown = repr(ClientSettings("http://h/client/api", Credentials("key", "s3cret-of-key")))
    assert "s3cret" not in shown
    assert "s3cret" not in repr(Credentials(username="u", password="s3cret-word"))


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        ("ftp://host/client/api", "is not an http or https URL"),
        ("host:8080/client/api", "is not an http or https URL"),
        ("http://host/client/api?apikey=x", "without a query"),
        ("http://user:pw@host/client/api", "without a query and credentials"),
    ],
)
def test_useless_endpoints(endpoint: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        ClientSettings(endpoint, Credentials("k", "s"))
    assert "pw@" not in str(caught.value)


@pytest.mark.parametrize("given", [{}, {"apikey": "k"}, {"username": "u"}])
def test_half_credentials(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="an API key with its secret, or"):
        Credentials(**given)


def test_refused_is_told_apart_from_reads() -> None:
    assert client_module.is_read("listUsers")
    assert client_module.is_read("getUser")
    assert not client_module.is_read("createUser")
    assert issubclass(Refused, Exception)
