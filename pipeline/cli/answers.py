"""Where the commands that show things get their answers, and where a decision goes: the JSON API.

In: the settings, or the address of a process that serves the pages (`--url`). Out: the API's answers, a
person's decision carried out. Without an address the API's own reads are made here, on the database of the
settings, so that a command says the same while nothing runs. Called by the commands that show and decide.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

import typer

from pipeline.cli.database import now_ms, opened
from pipeline.cli.failures import CommandError
from pipeline.cli.person import by, login_name
from pipeline.core.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from pipeline.views.sources import Sources

TIMEOUT_S: Final = 30.0
ANSWER_MAX: Final = 64 * 1024 * 1024
"""Bytes of an answer: five hundred rows with messages of a megabyte are never met."""
API: Final = "/api/v1"
"""As in `views.routes`, which is not loaded to ask somebody else."""
_HOLE: Final = re.compile(r"\{(\w+):?([^}]*)\}")
"""As aiohttp writes them: `{id}`, `{uuid:.+}`."""


class Answers(Protocol):
    """`get` raises `CommandError` for what is not there or can't be asked, `act` for what can't be done; both
    raise `TemporaryError` for what passes by itself."""

    def get(self, path: str, **asked: object) -> Any:
        """The JSON behind this path of the API; what is None is not asked."""

    def act(self, path: str, reason: str) -> None:
        """A person's decision."""


@dataclass(frozen=True, slots=True)
class Here:
    """The database of the settings, read as the pages read it."""

    sources: Sources

    def get(self, path: str, **asked: object) -> Any:
        from pipeline.views.routes import PAGES
        from pipeline.views.sources import BadQuery, NotThere

        for page in sorted(PAGES, key=lambda one: "{" in one.api_path):
            found = _match(page.api_path, API + path)
            if found is not None:
                try:
                    return page.read(self.sources, {**_said(asked), **found})
                except (BadQuery, NotThere) as error:
                    raise CommandError(str(error)) from error
        raise LookupError(path)

    def act(self, path: str, reason: str) -> None:
        from pipeline.views.routes import ACTIONS

        for action in ACTIONS:
            found = _match(action.api_path, API + path)
            if found is not None:
                action.do(self.sources, int(found["id"]), by(reason))
                return
        raise LookupError(path)


@dataclass(frozen=True, slots=True)
class There:
    """A process that serves the pages, asked over HTTP. No proxy of the environment comes between."""

    url: str
    token: str | None
    who: str
    opener: OpenerDirector = field(default_factory=lambda: build_opener(ProxyHandler({})))

    def get(self, path: str, **asked: object) -> Any:
        query = urlencode(_said(asked))
        return self._asked(quote(path) + ("?" if query else "") + query)

    def act(self, path: str, reason: str) -> None:
        if self.token is None:
            raise CommandError("to decide there, give its token: REGION_SYNC_WEB_TOKEN in the environment")
        said = {"who": self.who, "reason": reason}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        self._asked(quote(path), json.dumps(said).encode(), headers)

    def _asked(self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        request = Request(f"{self.url}{API}{path}", body, dict(headers or {}))  # noqa: S310 - see `_address`
        try:
            with self.opener.open(request, timeout=TIMEOUT_S) as response:
                return _read(response.read(ANSWER_MAX))
        except HTTPError as error:
            with error:
                told = _told(error.read(ANSWER_MAX)) or f"HTTP {error.code}"
            raise (TemporaryError if error.code == 503 else CommandError)(f"{self.url}: {told}") from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise TemporaryError(f"{self.url} does not answer: {reason}") from error
        except ValueError as error:
            raise PermanentError(f"{self.url} answers something else than Region Sync's pages do") from error


@contextmanager
def answers(config: Path, url: str | None, region: str | None = None, token: str = "") -> Iterator[Answers]:
    """`region`: one that must be known, where the settings are read. Raises `SettingsError`, and
    `CommandError` where the database holds no tables yet."""
    if url is not None:
        yield There(_address(url), token or None, login_name(os.getuid()))
        return
    from pipeline.settings import HUB, load
    from pipeline.views.sources import Sources

    settings = load(config, HUB)
    if region is not None:
        settings.region(region)
    modes = {one.name: one.mode.value for one in settings.active}
    with opened(settings) as engine:
        yield Here(Sources(engine, now_ms, settings.rules(), modes))


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise typer.BadParameter(f"{url!r} is no address: write http://127.0.0.1:6066", param_hint="--url")
    return url.rstrip("/")


def _match(template: str, path: str) -> dict[str, str] | None:
    """What stands in the template's holes."""
    pattern = _HOLE.sub(lambda hole: f"(?P<{hole[1]}>{hole[2] or '[^/]+'})", template)
    found = re.fullmatch(pattern, path)  # the rest of a template are letters, slashes and hyphens
    return None if found is None else found.groupdict()


def _said(asked: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in asked.items() if value is not None}


def _read(raw: bytes) -> Any:
    found = json.loads(raw)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _told(raw: bytes) -> str | None:
    """The sentence of an answer that says no."""
    try:
        return str(_read(raw)["error"])
    except (ValueError, KeyError):
        return None
