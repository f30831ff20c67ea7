"""A certificate's refusal is found however deep a library has put it."""

from __future__ import annotations

import ssl

import pytest

from pipeline.core.distrust import EXPIRED, OTHER_NAME, UNKNOWN_AUTHORITY, distrust


def verification(code: int, message: str = "") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (10, EXPIRED),
        (62, OTHER_NAME),
        (64, OTHER_NAME),
        (18, UNKNOWN_AUTHORITY),
        (19, UNKNOWN_AUTHORITY),
        (20, UNKNOWN_AUTHORITY),
        (23, "its certificate is not trusted: certificate revoked"),
    ],
)
def test_each_in_a_sentence(code: int, words: str) -> None:
    assert distrust(verification(code, "certificate revoked")) == words


def test_however_deep() -> None:
    chained = OSError("outer")
    chained.__cause__ = ValueError(verification(10))
    assert distrust(chained) == EXPIRED
    kept = OSError("outer")
    kept.original_exception = verification(62)  # type: ignore[attr-defined]
    assert distrust(RuntimeError([kept])) == OTHER_NAME


def test_anything_else_is_none() -> None:
    circle = OSError("a")
    circle.__context__ = circle
    for other in (OSError("no"), circle, "text", None):
        assert distrust(other) == ""
