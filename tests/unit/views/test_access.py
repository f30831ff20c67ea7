"""Who may change something: the token, the session, the form, the origin, the host."""

from __future__ import annotations

import pytest

from pipeline.views.access import SESSION_S, Access, is_same_site
from tests.unit.outbox.builders import NOW

TOKEN = "a token that nobody guesses"


def test_only_the_token_is_the_token() -> None:
    access = Access(TOKEN, "127.0.0.1")
    assert access.is_token(TOKEN)
    assert not any(access.is_token(text) for text in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é"))


def test_without_a_token_nothing_is_the_token() -> None:
    access = Access(None, "127.0.0.1")
    forged = Access("", "127.0.0.1").session("eve", NOW)
    assert not access.is_open
    assert not any(access.is_token(text) for text in ("", "None", "null"))
    assert access.who(forged, NOW) is None
    assert not access.is_form_key(access.form_key(forged), forged)


@pytest.mark.parametrize("who", ["ann", "Zoë 😀", "a.b.c", "<script>"])
def test_a_session_says_who_signed_in(who: str) -> None:
    access = Access(TOKEN, "127.0.0.1")
    assert access.who(access.session(who, NOW), NOW) == who
    assert access.who(access.session(who, NOW), NOW + SESSION_S * 1000) is None


def test_a_session_can_t_be_made_or_changed_without_the_token() -> None:
    access = Access(TOKEN, "127.0.0.1")
    session = access.session("ann", NOW)
    name, until, signature = session.split(".")
    later = f"{name}.{int(until) + 1}.{signature}"
    others = Access("another token, just as long", "127.0.0.1").session("ann", NOW)
    for forged in ("", "x", "..", "...", f"{name}.{until}.", later, others, "é.1.2"):
        assert access.who(forged, NOW) is None, forged


def test_a_form_belongs_to_one_session() -> None:
    access = Access(TOKEN, "127.0.0.1")
    mine, hers = access.session("ann", NOW), access.session("eve", NOW)
    assert access.is_form_key(access.form_key(mine), mine)
    assert not access.is_form_key(access.form_key(hers), mine)
    assert not access.is_form_key("", mine)


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"Origin": "http://127.0.0.1:6066"}, True),
        ({"Origin": "https://127.0.0.1:6066"}, True),  # TLS ends in a proxy
        ({"Referer": "http://127.0.0.1:6066/holds"}, True),
        ({"Origin": "http://evil.example.org"}, False),
        ({"Origin": "http://127.0.0.1:6067"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "null", "Referer": "http://127.0.0.1:6066/holds"}, False),
        ({"Origin": "http://[::1"}, False),
        ({}, False),
    ],
)
def test_a_page_of_ours_sent_it(headers: dict[str, str], same: bool) -> None:
    assert is_same_site({"Host": "127.0.0.1:6066", **headers}) is same


@pytest.mark.parametrize(
    ("listens", "names", "called", "known"),
    [
        ("127.0.0.1", (), "127.0.0.1:6066", True),
        ("127.0.0.1", (), "localhost:6066", True),
        ("127.0.0.1", (), "[::1]:6066", True),
        ("127.0.0.1", (), "rebound.example.org:6066", False),
        ("127.0.0.1", (), "", False),
        ("127.0.0.1", ("sync.example.org",), "Sync.Example.org", True),
        ("0.0.0.0", (), "anything.example.org", True),
    ],
)
def test_a_name_of_ours(listens: str, names: tuple[str, ...], called: str, known: bool) -> None:
    assert Access(TOKEN, listens, names).is_named_so(called) is known
