"""Signs a request as CloudStack checks it. Pure.

In: the parameters, the key pair and the time. Out: the query string of a GET, which is also the form of a
POST. Called by the client, and by the simulated regions to check what they are sent. Facts: cloudstack.md,
"Signing".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

SIGNATURE: Final = "signature"


def encode(value: str) -> str:
    """`value` as Java's URLEncoder writes it, with `%20` for a space: `*` stays and `~` becomes `%7E`.

    Python's quote leaves `~` alone, and CloudStack then answers 401.
    """
    return quote(value, safe="*").replace("~", "%7E")


def query(params: Mapping[str, str]) -> str:
    """`params` as a query string or form, in the order of their raw keys."""
    return "&".join(f"{encode(key)}={encode(params[key])}" for key in sorted(params))


def sign(params: Mapping[str, str], secret: str) -> str:
    """The signature of `params` (base64, not yet encoded for a URL); one called `signature` is left out.

    HMAC-SHA1 over the lower-cased pairs; keys are sorted as they are and, unlike values, not encoded.
    """
    pairs = [f"{key}={encode(params[key])}" for key in sorted(params) if key != SIGNATURE]
    digest = hmac.new(secret.encode(), "&".join(pairs).lower().encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def expires(now_ms: int, lifetime_s: int) -> str:
    """The moment after which a request made now is refused, as CloudStack reads it (whole seconds, UTC)."""
    return datetime.fromtimestamp(now_ms // 1000 + lifetime_s, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def signed(params: Mapping[str, str], apikey: str, secret: str, expires_at: str) -> dict[str, str]:
    """`params` with the key, signature version 3, its expiry and the signature: all that is sent."""
    full = {**params, "apikey": apikey, "signatureversion": "3", "expires": expires_at}
    full[SIGNATURE] = sign(full, secret)
    return full
