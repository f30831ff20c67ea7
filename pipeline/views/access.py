"""Who may change something: whoever shows the token, from a page of ours.

In: the token as the settings have it (None: nobody may), and what a request carries. Out: yes or no, and the
cookie of a person who signed in. Called by the server. Pages are read without any of this. A cookie says who
signed in and until when, under a signature that is made with the token: another token, and all are signed
out. A form carries a second signature, over the cookie, which no other site can read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

COOKIE: Final = "region_sync_session"
SESSION_S: Final = 8 * 3600
"""A working day: after that the token is asked for again."""
WHO_MAX: Final = 80
_PARTS: Final = 3


class Access:
    """One process's door."""

    def __init__(self, token: str | None, host: str, names: tuple[str, ...] = ()) -> None:
        self._token = token.encode() if token else None
        self._names = frozenset(name.casefold() for name in (*names, host))
        self._local = is_loopback(host)

    @property
    def is_open(self) -> bool:
        """Whether anybody may change anything."""
        return self._token is not None

    def is_token(self, offered: str) -> bool:
        """In a time that says nothing about how much of it was right."""
        return self._token is not None and hmac.compare_digest(_digest(_bytes(offered)), _digest(self._token))

    def session(self, who: str, now: int) -> str:
        """The cookie of a person who showed the token."""
        name = base64.urlsafe_b64encode(who.strip()[:WHO_MAX].encode("utf-8", "replace")).decode()
        said = f"{name}.{now // 1000 + SESSION_S}"
        return f"{said}.{self._sign('session', said)}"

    def who(self, session: str, now: int) -> str | None:
        """Who signed in; None for a cookie that is not ours, or over."""
        said, _, signature = session.rpartition(".")
        parts = said.split(".")
        if self._token is None or len(parts) != _PARTS - 1:
            return None
        if not hmac.compare_digest(_bytes(signature), self._sign("session", said).encode()):
            return None
        return base64.urlsafe_b64decode(parts[0]).decode() if int(parts[1]) > now // 1000 else None

    def form_key(self, session: str) -> str:
        """What every form of this session carries."""
        return self._sign("form", session)

    def is_form_key(self, offered: str, session: str) -> bool:
        """Whether the form came with a page of this session."""
        return self._token is not None and hmac.compare_digest(
            _bytes(offered), self.form_key(session).encode()
        )

    def is_named_so(self, host: str) -> bool:
        """Whether the request calls us by a name of ours. A page of another site whose name was made to point
        to this machine (DNS rebinding) does not; where everybody reaches us anyway, any name does."""
        name = _name(host)
        return not self._local or name in self._names or is_loopback(name)

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._token or b"", _bytes(f"{purpose}:{text}"), hashlib.sha256).hexdigest()


def is_same_site(headers: Mapping[str, str]) -> bool:
    """Whether a page of ours sent this: browsers name the page's origin with every POST. Only host and port
    are compared: a proxy in front may have taken TLS off."""
    origin = headers.get("Origin") or headers.get("Referer") or ""
    try:
        found = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(found) and found.casefold() == headers.get("Host", "").casefold()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    if host.casefold() in ("localhost", ""):
        return host != ""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").casefold()
    except ValueError:
        return ""


def _bytes(text: str) -> bytes:
    """Of what a request carries: bytes that are not UTF-8 come as halves of surrogate pairs."""
    return text.encode("utf-8", "surrogatepass")


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
