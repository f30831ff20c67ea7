"""The web API: whatever is asked, nothing goes wrong inside (500), nothing changes, and no token is shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ServerDisconnectedError
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from yarl import URL

from pipeline.outbox.acts import audit
from pipeline.views.access import COOKIE, Access
from pipeline.views.params import DIGITS_MAX
from pipeline.views.routes import ACTIONS, PAGES
from pipeline.views.server import BODY_MAX
from pipeline.views.sources import Sources
from tests.unit.hostile.junk import BOMBS, CALM, JSON, TEXT, dumped, within
from tests.unit.hostile.mutating import TOKENS, damaged
from tests.unit.outbox.builders import rows
from tests.unit.views.conftest import TOKEN, Site, engine, opened, site, sources  # noqa: F401 - fixtures
from tests.unit.views.world import furnish

VALUES = [
    "", "-1", "0", "9" * DIGITS_MAX, "0" * 5_000 + "1", "9" * 5_000, str(2**53 + 1), "²", "١", "a\0b",
    "\0", "%ff", "%ed%a0%80", "%00", "\u202e", "1970-01-01", "0001-01-01T00:00+23:59",
    "9999-12-31T23:59:59-23:59", "9" * 30, "999999999d", "'; DROP TABLE outbox; --", "x" * 5_000, "{{ 7*7 }}",
    "ROOT", "../../etc/passwd", "%2e%2e%2f",
]  # fmt: skip


async def fine(site: Site, method: str, path: str, **sent: Any) -> int:  # noqa: F811
    """The status, which is never our own fault."""
    url = URL(str(site.client.make_url("/")).rstrip("/") + path, encoded=True)
    try:
        answer = await site.client.session.request(method, url, allow_redirects=False, **sent)
    except ServerDisconnectedError:  # aiohttp's own word where a body is not compressed as it says
        assert sent["headers"]["Content-Encoding"]
        return 400
    text = await answer.text()
    assert answer.status < 500, f"{method} {path[:200]} {str(sent)[:200]}: {answer.status} {text[:300]}"
    assert TOKEN not in text
    return answer.status


FURNISHED = 1
"""Acts that `furnish` writes down."""


def acts(engine: Engine) -> int:  # noqa: F811
    return len(rows(engine, audit))


def as_query(value: str) -> str:
    return value if value.startswith("%") else quote(value, safe="", errors="surrogatepass")


@pytest.mark.parametrize("page", [*PAGES], ids=lambda page: page.path)
async def test_any_filter_and_path_is_answered(page: Any, site: Site, engine: Engine) -> None:  # noqa: F811
    furnish(engine)
    for value in VALUES:
        shown = as_query(value)
        for base in (page.path, page.api_path):
            path = base.replace("{uuid:.+}", shown or "x").replace("{id}", shown or "x")
            for name in page.query if "{" not in base else ("x", *page.query):
                await fine(site, "GET", f"{path}?{name}={shown}")


async def test_any_address_is_answered(site: Site, engine: Engine) -> None:  # noqa: F811
    furnish(engine)
    corpus = [f"{page.path}?{name}=1".encode() for page in PAGES for name in page.query or ("x",)]
    for raw in damaged(corpus, seed=6, rounds=300):
        path = "/" + quote(raw[:2_000], safe="/?=&%{}").lstrip("/")
        await fine(site, "GET", path)
        await fine(site, "GET", f"/api/v1{path}")


HEADERS = {
    "Host": ["", "a b", "[::1", "localhost:99999", "x" * 3_000, "127.0.0.1:1:2", "\u00e9"],
    "Origin": ["", "null", "http://[::1", "http://\u00e9", "x" * 3_000],
    "Cookie": [
        f"{COOKIE}={v}" for v in ("", ".", "..", "a.b.c", "YQ.9.\u00e9", "\u00e9.1.x", "=" * 50, "a." * 900)
    ],
    "Authorization": ["", "Bearer", "Bearer \u00e9", "bearer " + "x" * 3_000, "Basic eA==", "\u00ff"],
    "Content-Type": ["", "x", "application/json; charset=no-such", "application/json; charset=utf-16", ";;;"],
    "X-Forwarded-Proto": ["https, http", "\u00e9"],
    "Accept-Language": ["\u00e9"],
    "Content-Encoding": ["gzip", "br", "x"],
    "Expect": ["x"],
}


@pytest.mark.parametrize("name", HEADERS)
async def test_any_header_is_answered(name: str, site: Site, engine: Engine) -> None:  # noqa: F811
    furnish(engine)
    for value in HEADERS[name]:
        sent = {name: value.encode("latin-1").decode("utf-8", "surrogateescape")}
        for path in ("/", "/outbox/1", "/api/v1/regions"):
            await fine(site, "GET", path, headers=sent)
        for path in ("/sign-in", "/outbox/1/retry", "/api/v1/outbox/1/retry"):
            await fine(site, "POST", path, headers=sent, data=b'{"who": "x", "reason": "y"}')
    assert acts(engine) == FURNISHED


TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "multipart/x",
)


@pytest.mark.parametrize("bomb", BOMBS)
async def test_any_body_is_answered(bomb: str, site: Site, engine: Engine) -> None:  # noqa: F811
    furnish(engine)
    paths = [action.api_path.replace("{id}", "99") for action in ACTIONS]
    for body in (
        BOMBS[bomb],
        within(b'{"who":"a","reason":?}', BOMBS[bomb]),
        within(b"who=a&token=?", BOMBS[bomb]),
    ):
        for kind in TYPES:
            headers = {"Content-Type": kind, "Authorization": f"Bearer {TOKEN}", "Origin": site.origin}
            status = await fine(site, "POST", paths[0], data=body, headers=headers)
            assert status in (400, 409, 413), status
            assert await fine(site, "POST", "/sign-in", data=body, headers=headers) in (400, 401, 413)
    assert len(b"".join(TOKENS)) < BODY_MAX
    assert acts(engine) == FURNISHED


async def test_damaged_bodies_are_answered(site: Site, engine: Engine) -> None:  # noqa: F811
    furnish(engine)
    form = b'--b\r\nContent-Disposition: form-data; name="who"\r\n\r\nann\r\n--b--\r\n'
    corpus = [
        b'{"who": "ann", "reason": "because", "x": [1, {"y": null}]}',
        b"who=ann&token=x&back=/holds",
        form,
    ]
    for number, body in enumerate(damaged(corpus, seed=6, rounds=300)):
        kind = TYPES[number % len(TYPES)]
        headers = {"Content-Type": kind, "Authorization": f"Bearer {TOKEN}", "Origin": site.origin}
        await fine(site, "POST", "/api/v1/dead-letters/99/requeue", data=body, headers=headers)
        await fine(site, "POST", "/sign-in", data=body, headers=headers)
    assert acts(engine) == FURNISHED


@settings(CALM, max_examples=60)
@given(said=JSON | st.fixed_dictionaries({"who": JSON | TEXT, "reason": JSON | TEXT}))
async def test_any_json_is_answered(said: Any, site: Site) -> None:  # noqa: F811
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    await fine(site, "POST", "/api/v1/holds/99/approve", data=dumped(said), headers=headers)


async def test_what_was_written_is_kept_as_text(site: Site, engine: Engine) -> None:  # noqa: F811
    furnish(engine)
    said = json.dumps({"who": "a\ud800\0n", "reason": "b\udfff"}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    assert await fine(site, "POST", "/api/v1/holds/1/refuse", data=said, headers=headers) == 200
    line = rows(engine, audit)[-1]
    assert (line["who"], line["reason"]) == ("a?n", "b?")
    assert "a?n" in await site.page("/holds?decided=yes")


@pytest.fixture(autouse=True)
async def unchanged(sources: Sources) -> AsyncIterator[None]:  # noqa: F811
    """A process that answered all this still answers."""
    yield
    async for fresh in opened(sources, Access(None, "127.0.0.1")):
        assert await fresh.page("/")
