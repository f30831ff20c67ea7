"""Signatures as a real CloudStack 4.22 checks them."""

from __future__ import annotations

import pytest

from pipeline.sandbox.auth import encode, signature


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a b", "a%20b"),
        ("a*b", "a*b"),
        ("a~b", "a%7Eb"),
        ("a+b", "a%2Bb"),
        ("a-._b", "a-._b"),
        ("ü", "%C3%BC"),
        ("a/b&c=d", "a%2Fb%26c%3Dd"),
    ],
)
def test_values_are_encoded_as_java_does(value: str, encoded: str) -> None:
    assert encode(value) == encoded


def test_the_example_of_the_developers_guide() -> None:
    """The request that CloudStack's programmers guide signs, with the keys it gives."""
    apikey = "plgWJfZK4gyS3mOMTVmjUVg-X-jlWlnfaUJ9GAbBbf9EdM-kAYMmAiLqzzq1ElZLYq_u38zCm0bewzGUdP66mg"
    secret = "VDaACYb0LV9eNjTetIOElcVQkvJck_J_QljX_FcHRj87ZKiy0z0ty0ZsYBkoXkY9b7eq1EhwJaw7FF3akA3KBQ"
    params = [("apikey", apikey), ("command", "listUsers"), ("response", "json")]
    assert signature(params, secret) == "TTpdDq/7j/J58XCRHomKoQXEQds="


def test_keys_are_sorted_raw_and_the_signature_left_out() -> None:
    params = [("b", "1"), ("A", "2"), ("Signature", "x")]
    assert signature(params, "k") == signature([("A", "2"), ("b", "1")], "k")
    assert signature(params, "k") != signature([("a", "2"), ("B", "1")], "other")
