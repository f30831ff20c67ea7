"""From a request to an answer: who calls, may he, what does he want, what comes of it.

Comes in: a `Request` from `server` (or a test). Goes out: a `Reply` with status and body. No I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.sandbox import access, auth, parameters, system_commands
from pipeline.sandbox.call import Answer, Call
from pipeline.sandbox.commands import COMMANDS
from pipeline.sandbox.errors import ApiError, unauthorized, wrong_parameter
from pipeline.sandbox.region import Region, Session
from pipeline.sandbox.state import User

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
SESSION_MS = system_commands.SESSION_TIMEOUT_S * 1000


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: parameters as sent, in order; the session's two cookies; `open_port` is the
    unauthenticated one.
    """

    method: str
    params: list[tuple[str, str]]
    cookie: str | None = None
    key_cookie: str | None = None
    address: str = "127.0.0.1"
    open_port: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `key` is the outer name; `session` a new one."""

    status: int
    key: str
    body: Answer
    session: Session | None = None
    account: str = "-"


def lower_names(params: list[tuple[str, str]]) -> dict[str, str]:
    """Parameters by lower-case name, the first of several; what follows a `[n].` keeps its case."""
    out: dict[str, str] = {}
    for key, value in params:
        head, bracket, rest = key.partition("]")
        out.setdefault(head.lower() + bracket + rest, value)
    return out


def _printable(given: dict[str, str]) -> None:
    """Raises 431 for control characters in a value."""
    for key, value in given.items():
        if _CONTROL.search(value):
            raise wrong_parameter(
                f"Received value {value} for parameter {key} is invalid, contains "
                "illegal ASCII non-printable "
                "characters"
            )


def dispatch(region: Region, request: Request) -> Reply:
    """Never raises: a refusal is an answer too."""
    given = lower_names(request.params)
    command = given.get("command")
    caller = "-"
    try:
        if command == "login":
            return _login(region, request, given)
        user = _caller(region, request, given)
        caller = user.account.name
        if command is None or command not in region.apis:
            raise unauthorized()
        auth.check_method(command, request.method, _rules(region))
        call = region.call_as(user, command)
        call.credentials = {name: given[name] for name in ("apikey", "signature") if name in given}
        if command == "logout":
            region.sessions.pop(request.cookie or "", None)
            return Reply(200, "logoutresponse", system_commands.logged_out(call), account=caller)
        if command not in COMMANDS:
            raise unauthorized()
        return Reply(200, f"{command.lower()}response", _run(call, given), account=caller)
    except ApiError as error:
        return Reply(
            error.code, error.response_key or _error_key(region, command), error.body(), account=caller
        )


def _error_key(region: Region, command: str | None) -> str:
    if command is None:
        return "null"
    return f"{command.lower()}response" if command in region.apis else "errorresponse"


def _run(call: Call, given: dict[str, str]) -> Answer:
    access.check_command(call)
    _printable(given)
    parameters.parse(call, call.region.apis[call.command], given)
    return COMMANDS[call.command](call)


def _rules(region: Region) -> auth.Rules:
    enforce = region.setting("enforce.post.requests.and.timestamps") == "true"
    return auth.Rules(region.clock(), enforce)


def _caller(region: Region, request: Request, given: dict[str, str]) -> User:
    if request.open_port:
        return region.system_user
    session = region.sessions.get(request.cookie or "")
    if session is not None and "apikey" not in given:
        return _session_user(region, session, given.get("sessionkey", request.key_cookie))
    return auth.signed_by(request.params, region.world, _rules(region))


def _session_user(region: Region, session: Session, key: str | None) -> User:
    """Cookie and session key must fit each other, or the session is over; each call prolongs it."""
    now = region.clock()
    if key != session.key or session.until_ms < now:
        region.sessions.pop(session.cookie, None)
        raise unauthorized("unable to verify user credentials")
    user = access.check_usable(session.user)
    session.until_ms = now + SESSION_MS
    return user


def _login(region: Region, request: Request, given: dict[str, str]) -> Reply:
    for name in ("username", "password"):
        if name not in given:
            raise wrong_parameter(f"Unable to execute API command login due to missing parameter {name}")
    allowed = int(region.setting("incorrect.login.attempts.allowed") or 0)
    user = system_commands.authenticate(region.world, given, allowed)
    session = Session(region.new_key()[:32], region.new_key()[:27], user, region.clock() + SESSION_MS)
    region.sessions[session.cookie] = session
    system_commands.logged_in(region.call_as(user, "login"), request.address)
    body = system_commands.login_answer(user, session.key)
    return Reply(200, "loginresponse", body, session, user.account.name)
