"""What every answer of the server keeps to: headers, errors, hosts; and who may act."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine

from pipeline.core.entities import Kind
from pipeline.outbox.acts import audit
from pipeline.outbox.hub import HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import outbox
from pipeline.views.access import COOKIE
from pipeline.views.routes import PAGES
from tests.unit.outbox.builders import NOW, Clock, keep, record, row, rows, settled
from tests.unit.views.conftest import TOKEN, Site
from tests.unit.views.world import furnish

SCRIPT = re.compile(r"<script|<style|\son[a-z]+=|\sstyle=|javascript:|//[a-z0-9.-]+/", re.IGNORECASE)


@pytest.fixture
def dead(engine: Engine) -> int:
    """A failed row."""
    hub = HubStore(engine, Clock())
    user = record(Kind.USER, "u1", "alice", "a1")
    [number] = keep(hub, user, sent=("r2",))
    RegionStore(engine, "r2", Clock()).settle([settled(user, "dead", message="no such role")], NOW)
    return number


async def test_every_page_is_served_under_strict_headers(site: Site, engine: Engine) -> None:
    furnish(engine)
    for page in PAGES:
        path = page.path.replace("{uuid:.+}", "u1").replace("{id}", "1")
        answer = await site.client.get(path)
        text = await answer.text()
        assert answer.status == 200, text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert SCRIPT.search(text.replace("<!doctype html>", "")) is None, (path, SCRIPT.search(text))
        assert '<html lang="en">' in text and "<main" in text and text.count("<h1>") == 1
        head = await site.client.head(path)
        assert head.status == 200


async def test_the_style_is_kept_by_browsers(site: Site) -> None:
    text = await site.page("/")
    found = re.search(r'href="(/static/style.css\?v=[0-9a-f]+)"', text)
    assert found is not None
    answer = await site.client.get(found[1])
    assert (answer.status, answer.content_type) == (200, "text/css")
    assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/outbox/999", 404),
        ("/outbox/x", 400),
        ("/outbox/²", 400),
        ("/outbox/99999999999999999999999999", 400),
        ("/entity/none", 404),
        ("/outbox?state=odd", 400),
        ("/outbox?limit=0", 400),
        ("/outbox?since=yesterday", 400),
        ("/outbox?before=-1", 400),
        ("/router/", 404),
        ("/table/", 404),
        ("/stats", 404),
    ],
)
async def test_what_can_t_be_shown_says_why(site: Site, path: str, status: int) -> None:
    answer = await site.client.get(path)
    assert answer.status == status
    assert 'role="alert"' in await answer.text()
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    if path not in ("/router/", "/table/", "/stats"):
        told = await site.client.get(f"/api/v1{path}")
        assert told.status == status
        assert isinstance((await told.json())["error"], str)


async def test_another_name_of_this_machine_is_refused(site: Site) -> None:
    answer = await site.client.get("/", headers={"Host": "rebound.example.org"})
    assert answer.status == 421


async def test_a_person_signs_in_and_acts(site: Site, engine: Engine, dead: int) -> None:
    assert "Try again" not in await site.page(f"/outbox/{dead}")
    answer = await site.sign_in("ann")
    assert (answer.status, answer.headers["Location"]) == (303, "/holds")
    assert {"HttpOnly", "SameSite=Strict"} <= set(answer.headers["Set-Cookie"].split("; "))
    assert f'value="{site.key}"' in await site.page(f"/outbox/{dead}")

    answer = await site.act(f"/outbox/{dead}/retry", "the role is there now")

    assert (answer.status, answer.headers["Location"]) == (303, f"/outbox/{dead}?done=retry")
    assert row(engine, outbox, id=dead)["state"] == "pending"
    line = row(engine, audit)
    assert (line["who"], line["action"], line["subject"], line["subject_id"], line["reason"]) == (
        "ann",
        "retry",
        "outbox",
        dead,
        "the role is there now",
    )
    assert (line["entity"], line["region"], line["time"]) == ("u1", "r2", NOW)
    assert "It will be tried again." in await site.page(f"/outbox/{dead}?done=retry")


async def test_what_must_not_act_does_not(site: Site, engine: Engine, dead: int) -> None:
    path, fields = f"/outbox/{dead}/retry", {"reason": "because"}
    assert (await site.post(path, fields)).status == 401
    assert (await site.sign_in(token="wrong")).status == 401
    assert (await site.post("/sign-in", {"who": "ann", "token": TOKEN}, Origin="http://x.org")).status == 403
    assert COOKIE not in {cookie.key for cookie in site.client.session.cookie_jar}
    assert (await site.sign_in()).status == 303
    good = {**fields, "key": site.key}
    assert (await site.post(path, fields)).status == 403
    assert (await site.post(path, {**fields, "key": "x"})).status == 403
    assert (await site.post(path, good, Origin="http://evil.example.org")).status == 403
    assert (await site.post(path, good, Origin="null")).status == 403
    assert (await site.post(path, {**good, "reason": "  "})).status == 400
    assert (await site.client.get(path)).status == 405
    assert row(engine, outbox, id=dead)["state"] == "dead"
    assert rows(engine, audit) == []
    assert (await site.act(path)).status == 303
    assert (await site.act(path)).status == 409  # it has not failed any more
    assert len(rows(engine, audit)) == 1


async def test_signed_out_is_signed_out(site: Site, dead: int) -> None:
    await site.sign_in()
    key = site.key
    assert (await site.post("/sign-out", {})).status == 303
    assert (await site.post(f"/outbox/{dead}/retry", {"reason": "x", "key": key})).status == 401


async def test_a_session_ends(site: Site, dead: int) -> None:
    await site.sign_in()
    site.clock.now += 9 * 3_600_000
    assert (await site.act(f"/outbox/{dead}/retry")).status == 401


@pytest.mark.parametrize("back", ["//evil.example.org", "https://evil.example.org", "/\\evil", "/\r\nX: y"])
async def test_signing_in_leads_nowhere_else(site: Site, back: str) -> None:
    answer = await site.post("/sign-in", {"who": "ann", "token": TOKEN, "back": back})
    assert (answer.status, answer.headers["Location"]) == (303, "/")


async def test_a_program_acts_with_the_token(site: Site, engine: Engine, dead: int) -> None:
    path = f"/outbox/{dead}/discard"
    assert (await site.call(path, token="wrong", who="bot", reason="x")).status == 401
    assert (await site.call(path, reason="x")).status == 400
    assert (await site.call(path, who="bot")).status == 400
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert (await site.client.post(f"/api/v1{path}", data={"who": "x"}, headers=headers)).status == 400
    assert row(engine, outbox, id=dead)["state"] == "dead"
    answer = await site.call(path, who="bot", reason="not wanted")
    assert await answer.json() == {"done": "discard", "id": dead}
    kept = row(engine, outbox, id=dead)
    assert (kept["state"], kept["result"]) == ("superseded", "discarded")
    assert kept["message"] == "discarded by bot: not wanted"
    assert (await site.call("/outbox/999/retry", who="bot", reason="x")).status == 409


async def test_without_a_token_nobody_acts_and_the_page_says_so(closed_site: Site, dead: int) -> None:
    assert "no token is configured" in await closed_site.page("/")
    assert "no token is configured" in await closed_site.page("/sign-in")
    assert (await closed_site.sign_in()).status == 401
    assert (await closed_site.post(f"/outbox/{dead}/retry", {"reason": "x"})).status == 403
    assert (await closed_site.call(f"/outbox/{dead}/retry", who="x", reason="x")).status == 403


async def test_a_body_has_a_limit(site: Site) -> None:
    answer = await site.post("/sign-in", {"who": "a" * 100_000, "token": TOKEN})
    assert answer.status == 413
