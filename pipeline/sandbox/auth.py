"""Who calls: signed requests (HMAC-SHA1, version 3 with expiry) and sessions from `login`.

Comes in: raw parameters as sent. Goes out: the user, or 401. Used by `dispatch`. Signing as measured:
keys sorted raw, values encoded as Java's URLEncoder does with %20 for a space (so `*` stays and `~`
becomes %7E), the whole in lower case.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from pipeline.sandbox import access
from pipeline.sandbox.errors import ApiError, unauthorized
from pipeline.sandbox.state import User
from pipeline.sandbox.world import World

MAX_EXPIRY_MS = 15 * 60 * 1000
_READING = re.compile(r"(get|list|query|find)\w+|login|logout|isAccountAllowedToCreateOfferingsWithTags")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the region's configuration asks of a request."""

    now_ms: int
    enforce_timestamps: bool


def encode(value: str) -> str:
    """As Java's URLEncoder does, with %20 for a space."""
    return quote(value, safe="*-._").replace("~", "%7E")


def signature(params: Iterable[tuple[str, str]], secretkey: str) -> str:
    """The signature of a request; `signature` itself is left out, whatever its case; of a repeated
    parameter the first counts.
    """
    first: dict[str, str] = {}
    for key, value in params:
        first.setdefault(key, value)
    pairs = sorted((key, value) for key, value in first.items() if key.lower() != "signature")
    text = "&".join(f"{key}={encode(value)}" for key, value in pairs).lower()
    mac = hmac.new(secretkey.encode(), text.encode(), hashlib.sha1)
    return base64.b64encode(mac.digest()).decode()


def signed_by(params: list[tuple[str, str]], world: World, rules: Rules) -> User:
    """The user whose key signed the request. Raises 401."""
    given = {key.lower(): value for key, value in params}
    user = world.users_by_apikey.get(given.get("apikey", ""))
    sent = given.get("signature")
    if user is None or not sent or not user.secretkey:
        raise unauthorized()
    _check_expiry(given, rules)
    if not hmac.compare_digest(signature(params, user.secretkey).encode(), sent.encode()):
        raise unauthorized()
    usable = access.check_usable(user)
    granted = usable.apikeyaccess if usable.apikeyaccess is not None else usable.account.apikeyaccess
    if granted is False:
        raise unauthorized()
    return usable


def _check_expiry(given: dict[str, str], rules: Rules) -> None:
    if given.get("signatureversion") != "3":
        if rules.enforce_timestamps:
            raise unauthorized()
        return
    expires_ms = _expiry_ms(given.get("expires", ""))
    if expires_ms is None or expires_ms < rules.now_ms:
        raise unauthorized()
    if rules.enforce_timestamps and expires_ms > rules.now_ms + MAX_EXPIRY_MS:
        raise unauthorized()


def _expiry_ms(text: str) -> int | None:
    """`2026-11-23T08:00:00+0000`, with `Z` or `+00:00` too."""
    try:
        when = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
    return int(when.timestamp() * 1000)


def check_method(command: str, method: str, rules: Rules) -> None:
    """Raises 400 for a change sent by GET where the configuration asks for POST."""
    if rules.enforce_timestamps and method == "GET" and not _READING.fullmatch(command):
        raise ApiError(400, f"State changing command {command} needs to be sent using POST request", None)
