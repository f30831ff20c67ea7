"""Why a server's certificate was not trusted, in one sentence.

In: whatever a client's library raised. Out: the sentence, or nothing where a certificate is not the cause.
Called at every edge that speaks TLS (API, bus, database) and by `check`. Python's own error is found by its
`verify_code` (OpenSSL's number, ssl.SSLCertVerificationError), however deep a library has wrapped it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

EXPIRED: Final = "its certificate has expired"
TOO_EARLY: Final = "its certificate is not valid yet: compare the clocks"
OTHER_NAME: Final = "its certificate is for another host name: use the name that the certificate has"
UNKNOWN_AUTHORITY: Final = (
    "its certificate is signed by an authority that is not trusted here: give that authority's file (tls_ca)"
)

_CODES: Final = {
    9: TOO_EARLY,
    10: EXPIRED,
    18: UNKNOWN_AUTHORITY,
    19: UNKNOWN_AUTHORITY,
    20: UNKNOWN_AUTHORITY,
    21: UNKNOWN_AUTHORITY,
    62: OTHER_NAME,
    64: OTHER_NAME,
}
"""X509_V_ERR_… of OpenSSL (x509_vfy.h)."""

_KEEPERS: Final = ("orig", "original_exception", "exception", "exceptions", "certificate_error")
"""Where SQLAlchemy, PyMySQL, pika and aiohttp keep what befell them."""
_DEPTH: Final = 12


def distrust(error: object) -> str:
    """The sentence, or an empty text."""
    for one in _within(error, _DEPTH):
        code = getattr(one, "verify_code", None)
        if isinstance(code, int):
            told = getattr(one, "verify_message", "") or f"code {code}"
            return _CODES.get(code, f"its certificate is not trusted: {told}")
    return ""


def _within(error: object, depth: int) -> Iterator[object]:
    """The error and all that it is made of: its cause, its arguments, what a library has kept of it."""
    if not isinstance(error, BaseException) or depth == 0:
        return
    yield error
    kept = (error.__cause__, error.__context__, *error.args)
    named = (getattr(error, name, None) for name in _KEEPERS)
    for inner in (*kept, *named):
        for one in inner if isinstance(inner, tuple | list) else (inner,):
            if one is not error:
                yield from _within(one, depth - 1)
