"""The page of who still has access: who, where, since when, and why."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from pipeline.core.entities import Kind
from pipeline.outbox.hub import HubStore
from pipeline.outbox.pulses import Pulse, PulseStore
from pipeline.outbox.region import RegionStore
from pipeline.views.exposure import SHOWN
from tests.unit.outbox.builders import NOW, Clock, keep, record, seen_in, settled
from tests.unit.outbox.exposure_contract import buried, disabled, sent, user
from tests.unit.views.conftest import Site
from tests.unit.views.test_pages import HOSTILE, shown


@pytest.fixture
def hub(engine: Engine) -> HubStore:
    """With the account that all users are in."""
    hub = HubStore(engine, Clock())
    keep(hub, record(Kind.ACCOUNT, "a1", "acme"))
    return hub


def beat(engine: Engine, region: str, *, reachable: bool) -> None:
    why = None if reachable else "connection refused"
    PulseStore(engine).keep(Pulse(region, f"w-{region}", NOW, 64, 0, reachable, NOW, why))


async def exposures(site: Site, path: str = "/exposure") -> list[dict[str, Any]]:
    return list((await site.json(path))["exposures"])


async def test_nobody(site: Site) -> None:
    assert "Nobody has access anywhere that was taken away." in shown(await site.page("/exposure"))
    assert await exposures(site) == []


async def test_who_where_since_when_and_why(site: Site, hub: HubStore, engine: Engine) -> None:
    off, going = sent(hub, disabled(user("off"))), sent(hub, buried(user("gone")))
    region = RegionStore(engine, "r2", Clock())
    region.settle([settled(off, "dead", version=off.version, message="no such user")], NOW)
    region.settle([settled(going, "held", version=going.version, message="it would take along 4 VMs")], NOW)
    first, second = await exposures(site)
    assert (first["region"], first["path"], first["wanted"], first["holds"]) == (
        "r2",
        "ROOT|acme|off",
        "disabled",
        "enabled",
    )
    assert (first["since"], first["state"], first["accepted"]) == (NOW - 9_000, "dead", False)
    assert "it failed (no such user)" in first["why"]
    assert (second["wanted"], second["since"], second["state"]) == ("removed", NOW - 5_000, "held")
    assert "waits for a person (it would take along 4 VMs)" in second["why"]
    text = shown(await site.page("/exposure"))
    assert "ROOT|acme|off disabled enabled" in text
    assert text.index("ROOT|acme|off") < text.index("ROOT|acme|gone"), "the longest exposed first"


async def test_a_domain_that_should_be_gone(site: Site, hub: HubStore) -> None:
    sent(hub, buried(seen_in(record(Kind.DOMAIN, "dom", "emea"), "r2")))
    (one,) = await exposures(site)
    assert (one["path"], one["wanted"], one["holds"]) == ("ROOT/emea", "removed", "present")


async def test_a_region_that_does_not_answer_says_so(site: Site, hub: HubStore, engine: Engine) -> None:
    sent(hub, disabled(user("off")))
    beat(engine, "r2", reachable=True)
    (one,) = await exposures(site)
    assert one["why"] == "it is on its way."
    beat(engine, "r2", reachable=False)
    (one,) = await exposures(site)
    assert one["why"] == "the region does not answer (connection refused)."


async def test_one_region_alone(site: Site, hub: HubStore) -> None:
    sent(hub, disabled(user("off")))
    assert await exposures(site, "/exposure?region=r1") == []
    assert len(await exposures(site, "/exposure?region=r2")) == 1
    assert await exposures(site, "/exposure?region=nowhere") == []


async def test_too_many_are_cut_off(site: Site, hub: HubStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.views.exposure.SHOWN", 2)
    assert SHOWN > 2
    for number in range(3):
        sent(hub, disabled(user(f"u{number}")))
    found = await site.json("/exposure")
    assert (len(found["exposures"]), found["more"]) == (2, True)
    assert "The 2 that have been exposed the longest" in shown(await site.page("/exposure"))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_text_is_text(site: Site, hub: HubStore, engine: Engine, text: str) -> None:
    off = sent(hub, disabled(user("u1")))
    RegionStore(engine, "r2", Clock()).settle([settled(off, "dead", version=off.version, message=text)], NOW)
    page = await site.page("/exposure")
    assert "<script>alert" not in page and "<img src=x" not in page
    assert " ".join(text.split()) in shown(page)
