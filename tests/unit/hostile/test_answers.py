"""What a region answers: every answer is a reply, or one of the errors of `pipeline.cloudstack.errors`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cloudstack.answers import Reply, date_ms, reply, retry_after_s
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.errors import WORDS_MAX, Garbled
from pipeline.cloudstack.eventlog import read_events, read_history, read_horizon
from pipeline.cloudstack.losses import read_losses
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import Credentials
from pipeline.cloudstack.snapshots import Identity, snapshot
from pipeline.cloudstack.transport import Answer
from pipeline.core.entities import FIELDS, ROOT, Kind, Snapshot
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.core.records import Observation
from pipeline.core.soundness import flaw
from tests.contract.sandbox.recordings import scenarios
from tests.unit.hostile.junk import BOMBS, CALM, JSON, TEXT, bounded, dumped, within
from tests.unit.hostile.mutating import damaged

KEY, SECRET = "our-key", "our-secret-key-that-no-error-shows"
NOW = 1_795_422_000_000
COMMANDS = ("listUsers", "updateUser", "queryAsyncJobResult")
ME = Identity("root", "me", "mine")
CALLS = [call for scenario in scenarios("region1") for call in scenario.calls if call.body is not None][::3]
CORPUS = [json.dumps(call.body).encode() for call in CALLS]
MEMORY_MAX_MIB = 400


def read(body: bytes, status: int = 200, **headers: str) -> None:
    answer = Answer(status, httpx.Headers(headers), body)
    for command in ("listUsers",) if len(body) > 1_000_000 else COMMANDS:
        try:
            said = reply(command, answer, NOW, (SECRET,))
        except (TemporaryError, PermanentError) as error:
            assert SECRET not in str(error)
            assert len(str(error)) < WORDS_MAX + 500
            str(error).encode()
        else:
            assert isinstance(said, Reply) and isinstance(said.inner, dict)
            mapped(said.inner)


def mapped(inner: dict[str, Any]) -> None:
    """Every object of the answer as a snapshot of each kind: sound enough for the hub, or refused."""
    listed = [one for value in inner.values() if isinstance(value, list) for one in value]
    for obj in [one for one in [*inner.values(), *listed] if isinstance(one, dict)]:
        for kind in Kind:
            try:
                found = snapshot(kind, obj, ME)
            except Garbled:
                continue
            check(found)


def check(found: Snapshot) -> None:
    assert found.fields is not None and found.fields.keys() == set(FIELDS[found.kind])
    for one in (found, *found.users):
        wrong = flaw(Observation("r1", one.kind, one.uuid, dict(one.fields or {}), NOW))
        assert wrong is None or wrong.startswith("parent:") or one.uuid == ROOT, wrong


@pytest.mark.parametrize("rounds", [1_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_damaged_recordings_are_read_or_refused(rounds: int) -> None:
    for number, body in enumerate(damaged(CORPUS, seed=6, rounds=rounds)):
        read(body, (200, 401, 431, 530)[number % 4])


@CALM
@given(
    st.dictionaries(st.sampled_from(["listusersresponse", "errorresponse"]) | TEXT, JSON, max_size=2),
    st.integers(100, 999),
)
def test_any_json_is_read_or_refused(value: dict[str, Any], status: int) -> None:
    read(dumped(value), status)


ERRORS = st.fixed_dictionaries({}, optional={"errorcode": JSON, "errortext": JSON, "cserrorcode": JSON})
OBJECTS = st.dictionaries(
    st.sampled_from(
        [
            "id",
            "name",
            "username",
            "domainid",
            "accountid",
            "state",
            "user",
            "created",
            "level",
            "accounttype",
        ]
    ),
    JSON | st.sampled_from(["root", "enabled", "2026-11-23T08:18:10+0000"]),
)


@CALM
@given(st.sampled_from(Kind), OBJECTS, OBJECTS)
def test_any_object_is_an_entity_or_garbled(kind: Kind, obj: dict[str, Any], user: dict[str, Any]) -> None:
    for one in (obj, obj | {"id": "x"}, obj | {"id": "x", "user": [user | {"id": "u"}]}):
        mapped({"one": one, "all": [one]})


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_within_bounds(bomb: str) -> None:
    with bounded(MEMORY_MAX_MIB):
        for outer in (b"?", b'{"listusersresponse":?}', b'{"listusersresponse":{"user":[{"id":?}]}}'):
            read(within(outer, BOMBS[bomb]))
        read(within(b'{"errorresponse":{"errorcode":530,"errortext":?}}', BOMBS[bomb]), 530)


HEADERS = [
    "",
    "0",
    "7",
    "1e308",
    "1e999",
    "9" * 5_000,
    "\u00b2",
    "-1",
    "nan",
    "Mon, 01 Jan 0001 00:00:00 GMT",
]
HEADERS += [
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Mon, 23 Nov 2026 08:18:10 GMT",
    "Mon, 99 Foo",
    ",",
    "\u0000",
    "inf",
]


@pytest.mark.parametrize("text", HEADERS)
def test_any_header_is_a_time_or_none(text: str) -> None:
    timed(text)


@CALM
@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_any_text_is_a_time_or_none(text: str) -> None:
    timed(text)


def timed(text: str) -> None:
    raw = text.encode("latin-1")
    seconds = retry_after_s(httpx.Headers([(b"retry-after", raw)]), NOW)
    assert seconds is None or seconds >= 0
    date_ms(httpx.Headers([(b"date", raw)]))


ITEMS = (
    "user",
    "domain",
    "account",
    "role",
    "event",
    "configuration",
    "virtualmachine",
    "jobid",
    "jobstatus",
)
INNER = st.dictionaries(
    st.sampled_from([*ITEMS, "count", "jobresult", "sessionkey"]),
    JSON | st.lists(OBJECTS, max_size=2) | st.sampled_from([1, 2]),
    max_size=5,
)
ASKED = Snapshot(Kind.ACCOUNT, "a", {"name": "n", "parent": ROOT, "state": "enabled"})


async def drained(client: CloudStack) -> None:
    async for _ in read_events(client, NOW - 10_000):
        pass


def questions(client: CloudStack) -> list[Callable[[], Awaitable[object]]]:
    """Everything that is read of a region."""
    known = Resources(client, limits=True)
    known._identity = replace(ME, tells_limits=True)  # as after `start`, which is asked by itself
    return [
        Resources(client).start,
        lambda: known.read(Kind.USER, "u"),
        lambda: known.read(Kind.ACCOUNT, "a"),
        lambda: known.page(Kind.DOMAIN, 1),
        known.limit_names,
        lambda: known.role_id("User"),
        lambda: known.history(Kind.USER, "u"),
        lambda: read_history(client, Kind.DOMAIN, "d", ("me", "mine")),
        lambda: read_horizon(client),
        lambda: read_losses(known, ASKED),
        lambda: drained(client),
        lambda: client.call("disableUser", {"id": "u"}),
    ]


@settings(CALM, max_examples=100)
@given(st.lists(INNER, min_size=1, max_size=3), st.booleans())
def test_whatever_is_asked_any_answer_is_understood_or_refused(
    inners: list[dict[str, Any]], login: bool
) -> None:
    """Answers in turn; only the project's two words for failure come out."""

    async def ask() -> None:
        turn = 0

        def handle(request: httpx.Request) -> httpx.Response:
            nonlocal turn
            turn += 1
            asked = parse_qs(request.url.query.decode() or request.content.decode())
            name = f"{asked['command'][0].lower()}response"
            return httpx.Response(200, content=dumped({name: inners[turn % len(inners)]}))

        credentials = Credentials(username="a", password=SECRET) if login else Credentials(KEY, SECRET)
        chosen = ClientSettings("http://region/client/api", credentials, job_timeout_s=0.001)
        client = CloudStack(chosen, clock=lambda: NOW, transport=httpx.MockTransport(handle))
        for question in questions(client):
            try:
                async with asyncio.timeout(20):
                    await question()
            except TimeoutError:
                raise AssertionError("it asks without end") from None
            except (TemporaryError, PermanentError) as error:
                assert SECRET not in str(error)

    asyncio.run(ask())
