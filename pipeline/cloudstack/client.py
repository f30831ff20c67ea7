"""The client of one region's API: one `call`, whatever the command.

In: a command and its parameters. Out: the response's inner object, after the job if there is one. Every
failure is one of errors.py. Called by resources.py and eventlog.py for reading, by apply for changes. Many
lanes share one client; `recording` tells each which HTTP calls were its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from pipeline.cloudstack.answers import Reply, count, date_ms, reply, rows
from pipeline.cloudstack.errors import Refused, Throttled, Unauthorised, Unreachable, job_failure
from pipeline.cloudstack.pace import Pace
from pipeline.cloudstack.session import Access, Credentials, KeyPair, LoginSession, Times, is_read
from pipeline.cloudstack.slots import RESERVED, Slots
from pipeline.cloudstack.transport import Request, Wire, pooled
from pipeline.core.errors import PermanentError, TemporaryError

POLL: Final = "queryAsyncJobResult"
FIRST_POLL_S: Final = 0.05
SLOWEST_POLL_S: Final = 2.0
JOB_MAX: Final = 64
"""Characters of a job's id: it is a UUID."""
LOST_POLLS: Final = 5
"""Polls that may go without an answer one after the other before the job's end is called unknown."""

PAGES_MAX: Final = 20_000
"""Ten million entities: a listing that goes on beyond that never ends."""

HIDDEN: Final = ("password", "userapikey", "usersecretkey")
"""Parameters that no error may repeat, as CloudStack itself does with some."""

PAGE: Final = 500
"""The most that CloudStack lists at a time; 501 is refused (cloudstack.md)."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How one region is called.

    `endpoint` is the API's URL (`http://host:8080/client/api`). `post` sends changes by POST, as
    `enforce.post.requests.and.timestamps` demands and as aiohttp never sends twice by itself (it repeats a
    GET whose kept connection broke). `signature_lifetime_s` may be 900 at most under that setting.
    `tls_ca`: a certificate authority's file; empty: those of the system. Raises ValueError with one sentence
    for a useless endpoint.
    """

    endpoint: str
    credentials: Credentials
    timeout_s: float = 30.0
    job_timeout_s: float = 600.0
    rate_per_s: float | None = None
    max_connections: int = 64
    tls_ca: str = ""
    post: bool = True
    signature_lifetime_s: int = 600

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"endpoint {self.endpoint!r} is not an http or https URL")
        if parts.query or parts.username or parts.password:
            raise ValueError("the endpoint is the bare URL of the API, without a query and credentials")


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One HTTP call as it ended: `status` None when there was no answer, `error` None when it succeeded.

    A job that failed is told by the poll that learned it. Never holds a parameter or a secret.
    """

    command: str
    read: bool
    status: int | None
    error: str | None
    ms: float


class CloudStack:
    """One region. Safe for many tasks at once; needs a running event loop from the first call on."""

    def __init__(
        self,
        settings: ClientSettings,
        *,
        clock: Callable[[], int],
        transport: httpx.AsyncBaseTransport | None = None,
        on_call: Callable[[CallRecord], None] | None = None,
        before_change: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`clock` gives milliseconds since the epoch. `transport` replaces HTTP in tests. `before_change` is
        asked before each call that changes something, after all waiting; what it raises, `call` raises."""
        self._settings = settings
        self._clock = clock
        self._secrets = settings.credentials.secrets
        real = transport or pooled(settings.max_connections + RESERVED, settings.tls_ca)
        self._wire = Wire(settings.endpoint, settings.timeout_s, real)
        self._on_call = on_call
        self._before_change = before_change
        # Waited for here and not in the pool: a call's time is the region's own then.
        self._slots = Slots(settings.max_connections)
        self._pace = Pace(settings.rate_per_s, lambda: asyncio.get_running_loop().time(), asyncio.sleep)
        self._calls: ContextVar[list[CallRecord] | None] = ContextVar("calls", default=None)
        self._urgent: ContextVar[bool] = ContextVar("urgent", default=False)
        self._access = self._way_in(settings)
        self._heard: tuple[httpx.Headers, int] | None = None

    def _way_in(self, settings: ClientSettings) -> Access:
        credentials = settings.credentials
        if credentials.apikey:
            times = Times(settings.signature_lifetime_s, self._clock, lambda: self.skew_ms)
            return KeyPair(credentials, times, post=settings.post)
        return LoginSession(credentials, self._exchange, post=settings.post)

    @property
    def apikey(self) -> str:
        """Our API key, empty when we log in."""
        return self._settings.credentials.apikey

    @property
    def now(self) -> int:
        """Our clock, in milliseconds."""
        return self._clock()

    @property
    def session_user(self) -> str:
        """The UUID of the user that logged in, empty before, and with a key pair."""
        return self._access.user

    @property
    def skew_ms(self) -> int | None:
        """The region's clock minus ours at the last answer, exact to a second; None when it never told."""
        if self._heard is None:
            return None
        headers, at_ms = self._heard
        told_ms = date_ms(headers)
        return None if told_ms is None else told_ms - at_ms

    async def call(self, command: str, params: Mapping[str, str]) -> dict[str, Any]:
        """The inner object of `<command>response`, or of the job's result. Raises the errors of errors.py.

        After a TemporaryError the change may have been made all the same: read before calling again.
        """
        inner = await self._request(command, params)
        job = inner.get("jobid")
        if job is None or command == POLL:
            return inner
        if not isinstance(job, str | int) or len(str(job)) > JOB_MAX:
            raise Unreachable(f"the answer to {command} names no job that can be followed")
        return await self._finish(command, str(job))

    async def pages(
        self, command: str, params: Mapping[str, str], item: str, page_size: int = PAGE
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """The pages of a listing, none of them empty; `item` names the array. Raises the errors of errors.py.

        What is created or removed meanwhile moves rows from page to page: a row may come twice or be missed.
        """
        for page in range(1, PAGES_MAX + 1):
            found, of = await self.page(command, params, item, (page, page_size))
            if found:
                yield found
            # A page beyond the end has a count and no array, an empty listing neither (cloudstack.md).
            if not found or (page * page_size >= of if of else len(found) < page_size):
                return

    async def page(
        self, command: str, params: Mapping[str, str], item: str, which: tuple[int, int]
    ) -> tuple[list[dict[str, Any]], int]:
        """One page, `which` being its number (from 1) and size, and the count of all rows."""
        full = {**params, "page": str(which[0]), "pagesize": str(which[1])}
        inner = await self.call(command, full)
        return rows(command, inner, item), count(command, inner)

    @contextmanager
    def recording(self) -> Iterator[list[CallRecord]]:
        """Collects the HTTP calls that this task makes within the block, and the tasks that it starts
        there."""
        calls: list[CallRecord] = []
        token = self._calls.set(calls)
        try:
            yield calls
        finally:
            self._calls.reset(token)

    def note(self, command: str, error: str | None, ms: float) -> None:
        """A change that went another way than by the API joins the calls that are recorded."""
        calls = self._calls.get()
        if calls is not None:
            calls.append(CallRecord(command, False, None, error, ms))

    @contextmanager
    def urgently(self) -> Iterator[None]:
        """The calls that this task makes within the block go before all that wait, and are not so made."""
        token = self._urgent.set(True)
        try:
            yield
        finally:
            self._urgent.reset(token)

    async def aclose(self) -> None:
        """Closes all connections. What is under way fails as Unreachable."""
        await self._wire.aclose()

    async def _request(self, command: str, params: Mapping[str, str]) -> dict[str, Any]:
        """One request, and once more when the session had ended."""
        hidden = tuple(params[name] for name in HIDDEN if params.get(name))
        request = replace(await self._access.request(command, params), secrets=hidden)
        try:
            return (await self._exchange(request)).inner
        except Unauthorised:
            if not self._access.renewable(request):
                raise
        again = replace(await self._access.request(command, params), secrets=hidden)
        return (await self._exchange(again)).inner

    async def _exchange(self, request: Request) -> Reply:
        """One HTTP call in its turn, recorded."""
        urgent = self._urgent.get()
        async with self._slots.one(urgent=urgent):
            await self._pace.turn(urgent=urgent)
            if self._before_change is not None and not is_read(request.command):
                await self._before_change()
            return await self._timed(request)

    async def _timed(self, request: Request) -> Reply:
        started = asyncio.get_running_loop().time()
        status: int | None = None
        error: str | None = "given up"
        try:
            answer = await self._wire.exchange(request)
            status = answer.status
            self._heard = answer.headers, self._clock()
            said = reply(request.command, answer, self._clock(), (*self._secrets, *request.secrets))
            failed = job_failure(request.command, said.inner)
            error = None if failed is None else str(failed)
        except (TemporaryError, PermanentError) as failure:
            error = str(failure)
            if isinstance(failure, Throttled):
                self._pace.pause(failure.after_s or 0.0)
            raise
        finally:
            ms = (asyncio.get_running_loop().time() - started) * 1000
            self._record(CallRecord(request.command, is_read(request.command), status, error, ms))
        return said

    def _record(self, record: CallRecord) -> None:
        calls = self._calls.get()
        if calls is not None:
            calls.append(record)
        if self._on_call is not None:
            self._on_call(record)

    async def _finish(self, command: str, job: str) -> dict[str, Any]:
        """The job's result. Raises its failure, or Unreachable when its end is not known in time."""
        try:
            async with asyncio.timeout(self._settings.job_timeout_s):
                return await self._poll(command, job)
        except TimeoutError:
            limit_s = self._settings.job_timeout_s
            raise Unreachable(f"the job of {command} did not end within {limit_s:g} s; it may yet") from None

    async def _poll(self, command: str, job: str) -> dict[str, Any]:
        wait_s = FIRST_POLL_S
        lost = 0
        while True:
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, SLOWEST_POLL_S)
            try:
                state = await self._request(POLL, {"jobid": job})
                if not isinstance(state.get("jobstatus", 0), int):
                    raise Unreachable(f"the job of {command} has no number as its status")
            except TemporaryError:
                # The command is under way: starting it anew for one lost answer would do it twice.
                lost += 1
                if lost >= LOST_POLLS:
                    raise
                continue
            except Refused as error:
                raise Unreachable(f"the job of {command} can no longer be followed: {error}") from error
            lost = 0
            failed = job_failure(command, state)
            if failed is not None:
                raise failed
            if state.get("jobstatus"):
                result = state.get("jobresult")
                return result if isinstance(result, dict) else {}
