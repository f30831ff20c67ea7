"""What the pages and their JSON say of a region that said what it may not say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline.core.entities import Kind
from pipeline.core.records import Conflict, Source, Stamp, Topology
from pipeline.outbox.hub import Change, HubStore
from pipeline.views.sources import Sources
from tests.unit.outbox.builders import NOW, Clock, record
from tests.unit.views.conftest import REGIONS, Site
from tests.unit.views.test_pages import shown


@pytest.fixture
def sources(engine: Engine, sources: Sources) -> Sources:
    """r2 is a mirror, r3 a source for one domain's users. r2 changed a user, and made a domain."""
    user = record(Kind.USER, "u1", "alice", "a1")
    value = user.fields["email"]
    reason = "r2 is not a source for /acme"
    changed = Conflict("u1", "email", "e", "e", value.stamp, "<b>evil", Stamp(NOW, "r2"), reason)
    made = record(Kind.DOMAIN, "d9", "theirs")
    birth = Conflict(
        "d9", "life", None, "absent", Stamp(NOW, ""), "present", Stamp(NOW, "r2"), "why (Domain x)"
    )
    unborn = [Change(made, None, conflicts=(birth,))]
    HubStore(engine, Clock()).commit([Change(user, None, conflicts=(changed,))], NOW, (), unborn)
    users = (Source(("acme",), frozenset({Kind.USER})),)
    return replace(sources, topology=Topology(REGIONS, sources={"r2": (), "r3": users}))


async def test_a_region_s_card_tells_what_it_is_a_source_for_and_what_it_said_beyond(site: Site) -> None:
    text = shown(await site.page("/"))
    assert "Source for everything" in text
    assert "Source for nothing: it is a mirror ; 2 said beyond that in the last day" in text
    assert "Source for /acme (User)" in text
    assert "it said 2 things in the last day that it may not say" in text
    found = (await site.json("/regions"))["regions"]
    assert [one["violations"] for one in found] == [0, 2, 0]
    assert [one["source_for"] for one in found] == ["everything", "nothing: it is a mirror", "/acme (User)"]


async def test_the_ledger_tells_why_and_a_change_may_be_let_count(site: Site) -> None:
    await site.sign_in("ann")
    page = await site.page("/conflicts?region=r2")
    text = shown(page)
    assert "Not taken <b>evil from r2" in text and "Why r2 is not a source for /acme" in text
    assert "<b>evil" not in page
    assert "it was not taken from r2, and stays there" in text
    lines: list[Any] = (await site.json("/conflicts"))["conflicts"]
    assert {one["field"]: one["reason"] for one in lines} == {
        "email": "r2 is not a source for /acme",
        "life": "why (Domain x)",
    }
    ids = {one["field"]: one["id"] for one in lines}
    assert (await site.act(f"/conflicts/{ids['life']}/overrule")).status == 409
    assert (await site.act(f"/conflicts/{ids['email']}/overrule", "it is right")).status == 303
    fields = {one["field"]: one for one in (await site.json("/entity/u1"))["fields"]}
    assert fields["email"]["value"] == "<b>evil"
