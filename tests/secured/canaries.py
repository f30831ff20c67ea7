"""Secrets that would be recognised anywhere, and how they are looked for.

In: texts of any kind. Out: which secrets are in them: as they are, URL-encoded, in base64 (wherever in a
longer text they may begin), as JSON writes them. Each holds characters that these forms write in other ways.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

BUS = "Canary/bus+5e1f=x"
KAFKA = "Canary/kafka+91aa=x"
DATABASE = "Canary/database+2c9d=x"
TOKEN = "Canary/token+40ee=x-0123456789"
WRONG = "Canary/wrong+77b0=x"
PERSON = "Canary/person+1d3c=x"
"""A password that somebody gives to a user in a region."""


ALL = (BUS, KAFKA, DATABASE, TOKEN, WRONG, PERSON)


def forms(secret: str) -> Iterator[str]:
    """All that would give the secret away."""
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    for before in range(3):  # where it lies within the groups of three bytes decides how base64 writes it
        written = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")
        yield written[(0, 2, 3)[before] : -2]


def found(secrets: Iterable[str], texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Which secret is in which text."""
    return [
        (secret, name)
        for secret in secrets
        for name, text in texts.items()
        if any(form in text for form in forms(secret))
    ]
