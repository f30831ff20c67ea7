"""What the pages show and do, over a little of everything; and that text is shown as text."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline.core import topics
from pipeline.core.drift import Drift, Step, Tally
from pipeline.core.entities import ROOT, Kind
from pipeline.core.limits import UNLIMITED
from pipeline.core.plan import Call
from pipeline.core.records import Value
from pipeline.outbox import schema
from pipeline.outbox.acting import By
from pipeline.outbox.hub import Change, DeadLetter, HubStore
from pipeline.outbox.plans import PlanStore
from tests.unit.outbox.builders import NOW, Clock, at, desired, fields, keep, record, row, seen_in
from tests.unit.views.conftest import Site
from tests.unit.views.world import EVENT, furnish

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}",
    "\u202egnitirw tfel ot thgir",
    "😀 Ünïcödé",
    "x" * 500,
)


def shown(page: str) -> str:
    """The page's text, without its marks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def test_regions(site: Site, engine: Engine) -> None:
    furnish(engine)
    text = shown(await site.page("/"))
    assert "3 observations wait to be merged." in text
    assert "1 conflict , 2 dead letters" in text
    assert "1 failed" in text and "1 removal waits for a person" in text
    assert "equal since" in text and "2 different" in text
    assert "never looked: region-sync verify" in text
    assert "Reachable yes since" in text and "3 of 64 busy" in text
    assert "no since" in text and ": <b>refused" in text and "it does not answer" in text
    assert "no worker Waiting" in text, "r3 has none"
    found = await site.json("/regions")
    assert [one["workers"]["count"] for one in found["regions"]] == [1, 1, 0]
    assert [one["workers"]["reachable"] for one in found["regions"]] == [True, False, None]
    assert [one["region"] for one in found["regions"]] == ["r1", "r2", "r3"]
    assert [one["lag"] for one in found["regions"]] == [1, 0, None]


async def test_an_entity(site: Site, engine: Engine) -> None:
    furnish(engine)
    page = await site.page("/entity/u1")
    text = shown(page)
    assert "ROOT|acme|alice" in text
    assert '<td class="differs"><strong>≠ <bdi>early</bdi></strong></td>' in page
    assert "It differs here: nothing was sent to the region yet." in text
    assert "It is not here: it failed (no such user), and stays so until it is tried again" in text
    assert "updateUser: HTTP 431: no such user 12 ms" in text
    assert "email: 'late' of r2 won over 'early'" in text
    assert "conflict lost what was changed there lost; version 1 goes to r2 (" in text
    assert "partition 3, offset 812)" in text and "USER.<b>UPDATE had it read" in text
    assert "USER.<b>" not in page
    [decided] = [one for one in (await site.json("/entity/u1"))["timeline"] if one["offset"] is not None]
    assert (decided["partition"], decided["offset"], decided["region"]) == (3, 812, "r1")


async def test_an_account_s_limits_are_a_line_but_for_those_that_differ(site: Site, engine: Engine) -> None:
    told = {"limit_user_vm": "7", "limit_cpu": UNLIMITED}
    account = record(Kind.ACCOUNT, "a1", "acme", ROOT)
    stamp = account.life.stamp
    account = replace(
        account, fields=account.fields | {name: Value(text, stamp) for name, text in told.items()}
    )
    for region, vms in (("r1", "7"), ("r2", "20")):
        account = seen_in(account, region, **{**told, "limit_user_vm": vms})
    HubStore(engine, Clock()).commit([Change(account, None)], NOW)
    page = await site.page("/entity/a1")
    assert '<td class="differs"><strong>≠ <bdi>20</bdi></strong></td>' in page
    assert "Limits (the same wherever they are told): cpu unlimited Is it everywhere" in shown(page)
    fields = {one["field"]: one["folded"] for one in (await site.json("/entity/a1"))["fields"]}
    assert (fields["limit_user_vm"], fields["limit_cpu"], fields["name"]) == (False, True, False)


async def test_holds(site: Site, engine: Engine) -> None:
    furnish(engine)
    assert "it would take along 4 VMs" in await site.page("/holds")
    await site.sign_in("ann")
    assert (await site.act("/holds/1/refuse", "still in use")).status == 303
    assert "Nothing waits for a person." in await site.page("/holds")
    text = shown(await site.page("/holds?decided=yes"))
    assert "refused" in text and "refuse by ann: still in use" in text


async def test_the_loser_of_a_conflict_is_made_to_win(site: Site, engine: Engine) -> None:
    furnish(engine)
    await site.sign_in("ann")
    page = await site.page("/conflicts")
    assert "it is the later change" in page and "Let the loser win" in page
    assert (await site.act("/conflicts/1/overrule", "the customer said so")).status == 303
    text = shown(await site.page("/conflicts"))
    assert "It can't be turned round: the value was changed again since then." in text
    assert "overrule by ann: the customer said so" in text
    fields = {one["field"]: one for one in (await site.json("/entity/u1"))["fields"]}
    assert fields["email"]["value"] == "early"
    assert (await site.act("/conflicts/1/overrule")).status == 409


async def test_dead_letters(site: Site, engine: Engine) -> None:
    furnish(engine)
    await site.sign_in("ann")
    text = shown(await site.page("/dead-letters"))
    assert "{<script>" in text and "requeue by ann: upgraded" in text
    refused = await site.act("/dead-letters/1/requeue")
    assert refused.status == 409
    assert "it still can&#39;t be read: body is not JSON" in await refused.text()
    assert (await site.act("/dead-letters/2/requeue")).status == 303
    assert site.put == [(topics.events("r1"), b"u1", EVENT)]


async def test_a_plan_is_a_tree_of_domains(site: Site, engine: Engine) -> None:
    furnish(engine)
    assert "1 different, 1 extra" in shown(await site.page("/plans"))
    page = await site.page("/plans/1")
    text = shown(page)
    assert "sales <b> acme different User alice" in text
    assert "updateUser" in text and "extra User bob" in text
    assert "region-sync apply --plan" in text
    assert "<b>" not in page
    assert [one["path"] for one in (await site.json("/plans/1"))["steps"]] == [
        "/sales/<b>|acme|alice",
        "/sales|bob",
    ]
    assert "apply by ann" not in text
    PlanStore(engine, "r2", Clock()).release(1, [], By("ann", "its hash", NOW))
    assert "apply by ann: its hash" in shown(await site.page("/plans/1"))
    [act] = (await site.json("/plans/1"))["acts"]
    assert (act["who"], act["action"], act["reason"]) == ("ann", "apply", "its hash")
    assert (await site.json("/plans?region=r1")) == {"plans": []}
    assert (await site.client.get("/plans/9")).status == 404


async def test_a_large_plan_comes_in_pieces(site: Site, engine: Engine) -> None:
    store = PlanStore(engine, "r2", Clock())
    number = store.begin()
    call = (Call("createUser", {}),)
    wanted = fields(Kind.USER, "n", "a1")
    steps = [
        Step(Kind.USER, f"u{n}", f"u{n}", "/same", Drift.MISSING, None, wanted, call) for n in range(501)
    ]
    store.add(number, steps)
    tally = Tally()
    tally.add(steps)
    store.end(number, tally, 1)
    first = await site.json(f"/plans/{number}")
    assert len(first["steps"]) == 500
    rest = await site.json(f"/plans/{number}?after={first['more']}")
    assert (len(rest["steps"]), rest["more"]) == (1, None)
    assert (await site.page(f"/plans/{number}")).count("missing</span>") == 500
    assert "More →" in await site.page(f"/plans/{number}")


async def test_letters_go_back_where_they_belong(site: Site, engine: Engine) -> None:
    hub = HubStore(engine, Clock())
    user = record(Kind.USER, "u1", "alice", "a1")
    hub.commit([Change(user, None, (desired(user),), mapping=at(user, "r2", "there"))], NOW)
    message = row(engine, schema.outbox)["body"]
    seen = b'{"v":1,"body":{"region":"r1","kind":"User","uuid":"u7","fields":null,"time":5}}'
    letters = [(b"r2", message), (b"", seen), (b"", b'{"v":9,"body":{}}'), (b"elsewhere", EVENT)]
    hub.keep_dead_letters(
        [DeadLetter("t", 0, n, name.decode(), "", "x", body, NOW) for n, (name, body) in enumerate(letters)]
    )
    statuses = [
        (await site.call(f"/dead-letters/{n}/requeue", who="bot", reason="x")).status for n in (1, 2, 3, 4)
    ]
    assert statuses == [200, 200, 409, 409]
    assert site.put == [
        (topics.desired("r2"), b"there", message),
        (topics.OBSERVATIONS, b"u7", seen),
    ]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_is_shown_as_text(name: str, site: Site, engine: Engine) -> None:
    hub = HubStore(engine, Clock())
    domain = record(Kind.DOMAIN, "d/1?&#<b>", name, ROOT)
    keep(hub, domain, sent=("r2",))
    found = await site.json(f"/search?q={name[:100].replace('&', '%26').replace('#', '%23')}")
    assert [hit["uuid"] for hit in found["hits"]] == ["d/1?&#<b>"]
    for path in ("/entity/d%2F1%3F%26%23%3Cb%3E", "/outbox", "/outbox/1"):
        page = await site.page(path)
        for raw in ("<script", "<img", "onmouseover='", "<b>"):
            assert raw not in page, path
    answer = await site.client.get("/search", params={"q": name})
    page = await answer.text()
    assert "/entity/d%2F1%3F%26%23%3Cb%3E" in page
    assert " ".join(name[:200].split()) in shown(page) or "img" in name or "script" in name
    assert "<script" not in page and "<img" not in page


async def test_names_of_any_writing_direction_stay_apart(site: Site, engine: Engine) -> None:
    keep(HubStore(engine, Clock()), record(Kind.DOMAIN, "d1", "\u202eabc", ROOT))
    assert "<bdi>\u202eabc</bdi>" in await site.page("/entity/d1")
