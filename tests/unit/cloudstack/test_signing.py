"""Signatures: the example of CloudStack's own documentation, and every character that Java encodes its own
way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.cloudstack import signing
from tests.unit.cloudstack.conftest import SECRET, signature


def test_the_example_of_the_developers_guide() -> None:
    params = {
        "apikey": "plgWJfZK4gyS3mOMTVmjUVg-X-jlWlnfaUJ9GAbBbf9EdM-kAYMmAiLqzzq1ElZLYq_u38zCm0bewzGUdP66mg",
        "command": "listUsers",
        "response": "json",
    }
    secret = "VDaACYb0LV9eNjTetIOElcVQkvJck_J_QljX_FcHRj87ZKiy0z0ty0ZsYBkoXkY9b7eq1EhwJaw7FF3akA3KBQ"
    assert signing.sign(params, secret) == "TTpdDq/7j/J58XCRHomKoQXEQds="


def test_encodes_as_java_does() -> None:
    assert signing.encode("a b+c*d~e.f-g_h/é") == "a%20b%2Bc*d%7Ee.f-g_h%2F%C3%A9"


def test_keys_are_sorted_as_they_are_written() -> None:
    assert signing.query({"b": "1", "A": "2", "a": "3"}) == "A=2&a=3&b=1"


def test_a_signature_among_the_parameters_is_not_signed() -> None:
    params = {"command": "listUsers", "apikey": "k"}
    assert signing.sign({**params, "signature": "old"}, "s") == signing.sign(params, "s")


def test_expiry_is_whole_seconds_with_a_zone() -> None:
    assert signing.expires(1_795_422_000_999, 600) == "2026-11-23T08:30:00+0000"


@given(st.dictionaries(st.from_regex(r"[A-Za-z][A-Za-z0-9.\[\]]{0,8}", fullmatch=True), st.text(max_size=20)))
def test_agrees_with_javas_rules_for_any_text(params: dict[str, str]) -> None:
    params = {key: value.encode("utf-8", "ignore").decode() for key, value in params.items()}
    assert signing.sign(params, SECRET) == signature(params)
