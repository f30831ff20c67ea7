"""Answers requests: pages, the same as JSON, and actions. In: the sources, the door, a way to put a message
into Kafka. Out: routes and the middleware of an aiohttp application. Called by `pipeline.web`.

Every read and every change is made in a thread, at most `THREADS` at a time, so that the loop goes on with
its work; what comes while `WAITING` wait already is turned away.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, Final, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.outbox.acting import By
from pipeline.views.access import COOKIE, SESSION_S, WHO_MAX, Access, is_same_site
from pipeline.views.bodies import read_form, read_object, written
from pipeline.views.params import id_of
from pipeline.views.render import STYLE, Renderer
from pipeline.views.requeue import Put
from pipeline.views.routes import ACTIONS, API, DONE, PAGES, Action, Page
from pipeline.views.sources import BadQuery, NotThere, Sources

THREADS: Final = 4
WAITING: Final = 64
BODY_MAX: Final = 65_536
"""Bytes of a form, or of a JSON body."""
REASON_MAX: Final = 2_000
SPEC: Final = "openapi.yaml"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers would hide a form's origin from ourselves
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
"""For what has its digest in its address."""

T = TypeVar("T")
Putting = Callable[[Put], Awaitable[None]]

log = logging.getLogger(__name__)


class Refused(Exception):
    """This person may not do that; the text is for them. `status`: of HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Views:
    """All of it, for one process."""

    def __init__(self, sources: Sources, access: Access, put: Putting) -> None:
        self._sources = sources
        self._access = access
        self._put = put
        self._renderer = Renderer()
        self._threads = asyncio.Semaphore(THREADS)
        self._waiting = 0
        self._spec = (files("pipeline.views") / SPEC).read_text()

    def routes(self) -> list[web.RouteDef]:
        """As aiohttp takes them."""
        found = [
            web.get(f"/static/{STYLE}", self._style),
            web.get(f"/api/{SPEC}", self._openapi),
            web.get("/sign-in", self._sign_in_page),
            web.post("/sign-in", self._sign_in),
            web.post("/sign-out", self._sign_out),
        ]
        for page in sorted(PAGES, key=lambda one: ":" in one.path):  # what takes any path comes last
            found += [web.get(page.path, self._html(page)), web.get(page.api_path, self._json(page))]
        for action in ACTIONS:
            found += [
                web.post(action.path, self._form(action)),
                web.post(action.api_path, self._call(action)),
            ]
        return found

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Host, errors, headers: around everything."""
        try:
            if not self._access.is_named_so(request.host):
                raise Refused(421, "this address is not known here: a proxy's name belongs into web.names")
            response = await handler(request)
        except (NotThere, BadQuery, Refused, PermanentError, TemporaryError) as error:
            response = self._failed(request, _status(error), str(error))
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = self._failed(request, error.status, error.reason)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            response = self._failed(request, 500, "something went wrong here; the log says more")
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _html(self, page: Page) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            params = _params(page, request)
            data = await self._in_thread(lambda: page.read(self._sources, params))
            values = {"title": page.title, "params": dict(request.query), "data": data}
            return self._page(request, page.template, values)

        return answer

    def _json(self, page: Page) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            params = _params(page, request)
            return web.json_response(await self._in_thread(lambda: page.read(self._sources, params)))

        return answer

    def _form(self, action: Action) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            session = request.cookies.get(COOKIE, "")
            who = self._access.who(session, self._sources.clock())
            form = await read_form(request)
            if not self._access.is_open:
                raise Refused(403, "actions are off: no token is configured (web.token)")
            if who is None:
                raise Refused(401, "sign in first, or again: the session is over")
            if not is_same_site(request.headers) or not self._access.is_form_key(
                form.get("key", ""), session
            ):
                raise Refused(403, "this did not come from a page of ours: open the page again")
            await self._act(action, request, who, form.get("reason", ""))
            return _see(f"{action.back.format(**request.match_info)}?done={action.name}")

        return answer

    def _call(self, action: Action) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
            if not self._access.is_open:
                raise Refused(403, "actions are off: no token is configured (web.token)")
            if scheme.casefold() != "bearer" or not self._access.is_token(offered.strip()):
                raise Refused(401, "the header Authorization: Bearer TOKEN is missing or wrong")
            said = await read_object(request)
            who = written(said.get("who"), WHO_MAX)
            if not who:
                raise BadQuery("who: say who you are")
            await self._act(action, request, who, written(said.get("reason"), REASON_MAX))
            return web.json_response({"done": action.name, "id": id_of(request.match_info)})

        return answer

    async def _act(self, action: Action, request: web.Request, who: str, reason: str) -> None:
        said = written(reason, REASON_MAX)
        if not said:
            raise BadQuery("reason: say why; it is kept with the decision")
        number = id_of(request.match_info)
        by = By(who, said, self._sources.clock())
        put = await self._in_thread(lambda: action.do(self._sources, number, by))
        log.info("%s by %r: %r", request.path, who, said)
        if put is not None:
            await self._put(put)

    async def _sign_in_page(self, request: web.Request) -> web.StreamResponse:
        return self._page(
            request, "sign_in.html", {"title": "Sign in", "back": _back(request.query.get("back"))}
        )

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        form = await read_form(request)
        who = written(form.get("who"), WHO_MAX)
        if not is_same_site(request.headers):
            raise Refused(403, "this did not come from a page of ours: open the page again")
        if not self._access.is_open or not self._access.is_token(form.get("token", "")):
            raise Refused(401, "that is not the token")
        if not who:
            raise BadQuery("who: say who you are; it is kept with what you do")
        response = _see(_back(form.get("back", "")))
        secure = "https" in (request.scheme, request.headers.get("X-Forwarded-Proto"))
        session = self._access.session(who, self._sources.clock())
        response.set_cookie(
            COOKIE, session, max_age=SESSION_S, httponly=True, samesite="Strict", secure=secure
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        if not is_same_site(request.headers):
            raise Refused(403, "this did not come from a page of ours")
        response = _see("/")
        response.del_cookie(COOKIE)
        return response

    async def _style(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=self._renderer.style, content_type="text/css", charset="utf-8", headers=FOREVER
        )

    async def _openapi(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(text=self._spec, content_type="application/yaml")

    def _page(
        self, request: web.Request, template: str, values: dict[str, Any], status: int = 200
    ) -> web.Response:
        session = request.cookies.get(COOKIE, "")
        now = self._sources.clock()
        who = self._access.who(session, now)
        shown = {
            "here": request.path,
            "address": request.path_qs,
            "now": now,
            "can_act": self._access.is_open,
            "who": who,
            "key": self._access.form_key(session) if who else "",
            "done": DONE.get(request.query.get("done", ""), ""),
            "regions": list(self._sources.modes),
            **values,
            "params": defaultdict(str, values.get("params", {})),
        }
        text = self._renderer.page(template, shown).encode("utf-8", "replace")  # an address may hold anything
        return web.Response(body=text, content_type="text/html", charset="utf-8", status=status)

    def _failed(self, request: web.Request, status: int, text: str) -> web.StreamResponse:
        if request.path.startswith(f"{API}/"):
            return web.json_response({"error": text}, status=status)
        return self._page(
            request, "error.html", {"title": "That did not work", "text": text, "status": status}, status
        )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING:
            raise TemporaryError("too many people look at this just now: try again in a moment")
        self._waiting += 1
        try:
            async with self._threads:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def _status(error: Exception) -> int:
    if isinstance(error, Refused):
        return error.status
    statuses = {NotThere: 404, BadQuery: 400, PermanentError: 409, TemporaryError: 503}
    return next(status for kind, status in statuses.items() if isinstance(error, kind))


def _params(page: Page, request: web.Request) -> dict[str, str]:
    """What the page is asked, and no more."""
    asked = {name: request.query[name] for name in page.query if name in request.query}
    return {**asked, **request.match_info}


def _see(path: str) -> web.Response:
    """The page to go on with, read by GET."""
    return web.Response(status=303, headers={"Location": path})


def _back(text: str | None) -> str:
    """A page of ours to go on with, never another site's."""
    ours = text is not None and text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if ours and text is not None and text.isprintable() else "/"
