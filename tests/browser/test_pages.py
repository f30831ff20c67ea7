"""Each page shows what the database holds; hostile text is text; narrow, wide, dark, by keyboard."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine

from pipeline.core.entities import ROOT, Kind
from pipeline.outbox.audit import AuditStore
from pipeline.outbox.holding import HoldStore
from pipeline.outbox.hub import HubStore
from pipeline.outbox.listing import Cut, Wanted, outbox_rows
from tests.browser.browser import Browser
from tests.browser.conftest import TOKEN
from tests.unit.outbox.builders import Clock, keep, record

PATHS = (
    "/",
    "/search?q=a",
    "/entity/u1",
    "/outbox",
    "/stuck",
    "/exposure",
    "/outbox/1",
    "/holds",
    "/holds?decided=yes",
    "/conflicts",
    "/dead-letters",
    "/plans",
    "/plans/1",
    "/sign-in",
    "/nothing",
)
HOSTILE = {
    "script": "<script>window.hacked = true</script>",
    "image": '"><img src=x onerror="window.hacked = true">',
    "long": "x" * 250 + "W" * 250,
    "right to left": "\u202eשלום עולם\u202c <b>",
    "emoji": "😀🏳️‍🌈 👩‍👩‍👧‍👦",
}


def test_every_page_shows_what_the_database_holds(browser: Browser, site: str, engine: Engine) -> None:
    browser.open(site)
    card = browser.part("#region-r2")
    assert "equal since" in card and "1 failed" in card and "1 removal waits for a person" in card
    counts = AuditStore(engine).counts()
    assert f"{counts['r2']['dead']} dead" in card and f"{counts['r2']['held']} held" in card
    browser.follow("1 dead")
    assert browser.path == "/outbox?region=r2&state=dead"
    browser.click("link text", "1")
    [dead] = outbox_rows(engine, Wanted(state="dead"), Cut()).rows
    assert browser.title == f"Outbox row {dead.id}"
    assert "updateUser 431 12 no such user" in browser.text
    browser.follow("u1")
    assert browser.title == "User alice"
    assert "≠ early" in browser.text
    assert "It is not here: it failed (no such user)" in browser.text
    browser.follow("Holds")
    [held] = HoldStore(engine).holds()
    assert held.reason in browser.part(f"#hold-{held.id}")
    browser.follow("Conflicts")
    assert "Won late from r2" in browser.part("#conflict-1")
    browser.follow("Dead letters")
    assert "{<script>" in browser.part("#letter-1")


@pytest.mark.parametrize(
    ("text", "path"),
    [("ali", "ROOT|acme|alice"), ("ROOT|acme", "ROOT|acme"), ("u1", "ROOT|acme|alice")],
)
def test_search_finds(text: str, path: str, browser: Browser, site: str) -> None:
    browser.open(f"{site}/search")
    browser.search(text)
    browser.click("link text", path)
    assert browser.title.split()[-1] == path.rpartition("|")[2]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_is_text(name: str, browser: Browser, site: str, engine: Engine) -> None:
    keep(HubStore(engine, Clock()), record(Kind.DOMAIN, f"d/{name[:20]}?#", name, ROOT), sent=("r2",))
    browser.open(f"{site}/outbox")
    browser.click("css selector", "tbody tr:first-child a bdi")
    assert browser.title == f"Domain {name[:255]}" or len(name) > 255
    assert name[:255].split(maxsplit=1)[0] in browser.text
    for path in ("/outbox", f"/search?q={name[:1]}"):
        browser.size(360, 740)
        browser.open(f"{site}{path}")
        assert browser.overflow() == 0
        assert not browser.dialog()


@pytest.mark.parametrize("path", PATHS)
def test_a_page_fits_and_is_accessible(path: str, browser: Browser, site: str) -> None:
    browser.sign_in(site, "ann", TOKEN)
    for width in (320, 768, 1600):
        browser.size(width, 800)
        for scheme in ("light", "dark"):
            browser.scheme(scheme)
            browser.open(f"{site}{path}")
            assert browser.overflow() == 0, (width, scheme)
            if width != 768:
                assert browser.accessibility() == [], (width, scheme)


def test_the_checker_notices(browser: Browser, site: str) -> None:
    browser.open(site)
    browser.driver.execute_script(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<input>');"
        "document.querySelector('h1').setAttribute('class', 'x');"
        "document.styleSheets[0].insertRule('h1.x { color: #ddd }')"
    )
    found = " ".join(browser.accessibility())
    assert re.search(r"critical label", found) and re.search(r"serious color-contrast", found)


def test_the_keyboard_goes_everywhere_and_shows_where_it_is(browser: Browser, site: str) -> None:
    browser.open(f"{site}/holds")
    first = browser.tab()
    assert (first["text"], first["left"] >= 0) == ("To the content", True)
    seen = [browser.tab() for _ in range(12)]
    assert [one["text"] for one in seen[:10]] == [
        "Region Sync",
        "Regions",
        "Search",
        "Outbox",
        "Stuck",
        "Exposure",
        "Holds",
        "Conflicts",
        "Dead letters",
        "Plans",
    ]
    assert all(one["outline"] == "solid" for one in seen)


def test_nothing_comes_from_another_host(browser: Browser, site: str) -> None:
    for path in PATHS:
        browser.open(f"{site}{path}")
        loaded = browser.driver.execute_script(
            "return performance.getEntriesByType('resource').map(one => one.name)"
        )
        assert all(one.startswith((site, "data:")) for one in loaded), loaded
        assert browser.driver.find_elements("tag name", "script") == []
