"""What becomes of a message: a table of cases, the recorded bus, and the short way against the long one."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridges.sieve import NO_CHANGE, NO_ENTITY, Dropped, Hint, judge, judge_any
from pipeline.core.events import KNOWN, LIMIT_CHANGED, MAX_BODY_BYTES, Unreadable
from tests.component.bridges.recording import for_a_bridge

UUID = "1ce560d2-e714-11f1-b5ac-02fc00000001"
EVENT = {
    "eventDateTime": "2026-11-23 08:14:59 +0000",
    "entityuuid": UUID,
    "description": "Successfully completed Updating User. UserId: 44",
    "event": "USER.UPDATE",
    "user": UUID,
    "account": "1ce533fe-e714-11f1-b5ac-02fc00000001",
    "entity": "User",
    "status": "Completed",
}
ROUTE = f"management-server.ActionEvent.USER-UPDATE.User.{UUID}"
TIME = 1795421699000


def body(**changes: object) -> bytes:
    fields = {key: value for key, value in {**EVENT, **changes}.items() if value is not None}
    return json.dumps(fields).encode()


def route(event: str, entity: str, uuid: str = UUID) -> str:
    return f"management-server.ActionEvent.{event.replace('.', '-')}.{entity}.{uuid}"


def test_a_completed_change_is_a_hint_with_the_entity_as_its_key() -> None:
    assert judge(ROUTE, body()) == Hint(UUID.encode(), TIME)


def test_a_failed_change_is_a_hint_too() -> None:
    assert judge(ROUTE, body(description="Error while Updating User. UserId: 44")) == Hint(
        UUID.encode(), TIME
    )


@pytest.mark.parametrize("status", ["Scheduled", "Started", "Created"])
def test_announcements_are_dropped(status: str) -> None:
    assert judge(ROUTE, body(status=status)) == Dropped(NO_CHANGE)


@pytest.mark.parametrize("event", [event for event, changes in KNOWN.items() if not changes])
def test_types_that_change_nothing_are_dropped(event: str) -> None:
    assert judge(route(event, "User"), body(event=event)) == Dropped(NO_CHANGE)


@pytest.mark.parametrize("event", [event for event, changes in KNOWN.items() if changes])
def test_types_that_may_change_something_are_relayed(event: str) -> None:
    entity = event.removeprefix("REGISTER.").split(".", maxsplit=1)[0].title()
    entity = "Account" if event == LIMIT_CHANGED else entity
    assert judge(route(event, entity), body(event=event, entity=entity)) == Hint(UUID.encode(), TIME)


def test_a_failed_create_names_nobody() -> None:
    failed = body(event="USER.CREATE", entityuuid=None)
    assert judge(route("USER.CREATE", "User", "*"), failed) == Dropped(NO_ENTITY)


def test_a_uuid_with_a_dot_is_kept_as_the_body_has_it() -> None:
    """createDomain takes any string; in the routing key CloudStack writes a dash for the dot."""
    given = body(event="DOMAIN.CREATE", entity="Domain", entityuuid="my.dömain")
    assert judge(route("DOMAIN.CREATE", "Domain", "my-dömain"), given) == Hint("my.dömain".encode(), TIME)


DEAD = {
    "not UTF-8": (ROUTE, body()[:-2] + b'\xff\xfe"}', "body is not UTF-8"),
    "not JSON": (ROUTE, b"{'event': 1}", "body is not JSON"),
    "cut off": (ROUTE, body()[:-1], "body is not JSON"),
    "empty": (ROUTE, b"", "body is not JSON"),
    "an array": (ROUTE, b"[1, 2]", "body is not a JSON object"),
    "a deep nest": (ROUTE, b"[" * 100_000, "body is not JSON"),
    "no event": (ROUTE, body(event=None), "key 'event' is missing"),
    "no entity": (ROUTE, body(entity=None), "key 'entity' is missing"),
    "no status": (ROUTE, body(status=None), "key 'status' is missing"),
    "no time": (ROUTE, body(eventDateTime=None), "key 'eventDateTime' is missing"),
    "an empty status": (ROUTE, body(status=""), "key 'status' is missing"),
    "a number for the UUID": (ROUTE, body(entityuuid=7), "key 'entityuuid' is not text"),
    "an object for the user": (ROUTE, body(user={}), "key 'user' is not text"),
    "half a surrogate pair": (ROUTE, body(entityuuid="\ud800"), "key 'entityuuid' is not text"),
    "a long UUID": (ROUTE, body(entityuuid="x" * 65), "entityuuid is 65 characters long"),
    "no real time": (ROUTE, body(eventDateTime="2026-13-23 08:14:59 +0000"), "is not one"),
    "a time without a zone": (ROUTE, body(eventDateTime="2026-11-23 08:14:59"), "is not one"),
    "another entity": (ROUTE, body(entity="Network"), "entity 'Network' is not synced"),
    "1 MB": (ROUTE, body(description="x" * 1024**2), f"over the limit of {MAX_BODY_BYTES}"),
    "an unknown event": (route("USER.TELEPORT", "User"), body(event="USER.TELEPORT"), "is not known"),
    "four words": ("management-server.ActionEvent.USER-UPDATE.User", body(), "is not an ActionEvent's"),
    "the queue's name": ("region-sync.r1", body(), "is not an ActionEvent's"),
    "another category": (ROUTE.replace("Action", "Alert"), body(), "is not an ActionEvent's"),
    "the route of another kind": (route("USER.UPDATE", "Account"), body(), "contradicts the body"),
    "the route of another event": (route("USER.DELETE", "User"), body(), "contradicts the body"),
    "a route that is not UTF-8": (b"management-server.\xff", body(), "routing key is not UTF-8"),
}


@pytest.mark.parametrize(("routing_key", "content", "reason"), DEAD.values(), ids=DEAD)
def test_what_cannot_be_read_is_refused_with_the_reason(
    routing_key: str | bytes, content: bytes, reason: str
) -> None:
    with pytest.raises(Unreadable) as refusal:
        judge(routing_key, content)
    assert reason in str(refusal.value)


def test_the_recorded_bus_holds_no_dead_letter() -> None:
    outcomes = Counter(
        verdict.reason if isinstance(verdict, Dropped) else "hint"
        for verdict in (judge(*message) for message in for_a_bridge())
    )
    assert outcomes == {"hint": 3307, NO_CHANGE: 74, NO_ENTITY: 10}


def outcome(decide: object, routing_key: str | bytes, content: bytes) -> object:
    try:
        return decide(routing_key, content)  # type: ignore[operator]
    except Unreadable as error:
        return str(error)


odd = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.just({}), st.just([]))
values = {
    "entity": st.sampled_from(["User", "Account", "Domain", "Role", ""]),
    "event": st.sampled_from([*KNOWN, "USER.X"]),
    "status": st.sampled_from(["Completed", "Started", ""]),
    "eventDateTime": st.sampled_from(["2026-11-23 08:14:59 +0000", "2026-11-23T08:14:59-0130", "now", ""]),
    "entityuuid": st.one_of(st.just(UUID), st.text(max_size=70)),
    "user": st.text(max_size=3),
}


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    fields: dict[str, object] = {key: draw(value) for key, value in values.items()}
    for key in draw(st.lists(st.sampled_from([*values, "username", "Account", "other"]), max_size=2)):
        fields[key] = draw(odd)
    for key in draw(st.lists(st.sampled_from(list(values)), max_size=1)):
        fields.pop(key, None)
    text = json.dumps(fields, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    cut = draw(st.integers(0, 30))
    return text if cut > 2 else text[: len(text) - cut] + b"\x00" * draw(st.integers(0, 1))


routes = st.builds(
    lambda event, entity, words: ".".join(["m", "ActionEvent", event.replace(".", "-"), entity, "*"][:words]),
    values["event"],
    values["entity"],
    st.sampled_from([5, 5, 5, 4]),
)


@given(routes, bodies(), st.booleans())
@example(ROUTE, body(), True)
def test_the_short_way_through_the_sieve_agrees_with_the_long_one(
    routing_key: str, content: bytes, fitting: bool
) -> None:
    if fitting:
        try:
            fields = json.loads(content)
            routing_key = route(str(fields["event"]), str(fields["entity"]))
        except (ValueError, KeyError, TypeError):
            pass
    assert outcome(judge, routing_key, content) == outcome(judge_any, routing_key, content)
