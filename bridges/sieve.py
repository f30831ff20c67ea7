"""Decides what becomes of one message of a region's bus: a hint for Kafka, nothing, or a dead letter.

In: the routing key and the body as they came. Out: `Hint` or `Dropped`; `Unreadable` is raised for what goes
to the dead letters, its text being the reason. Pure, and cheap: `relay` calls it for every message.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from pipeline.core.entities import Kind
from pipeline.core.events import (
    COMPLETED,
    ENTITY_MAX,
    KNOWN,
    MAX_BODY_BYTES,
    Event,
    Unreadable,
    changes_nothing,
    known,
    parse_event,
    parse_time,
)

NO_CHANGE: Final = "changes nothing"
"""Started and Scheduled (only Completed may have changed anything), and log-ins (see events.KNOWN)."""

NO_ENTITY: Final = "names no entity"
"""A create that failed: CloudStack had no UUID to tell, so there is nothing to read."""

_CATEGORY: Final = "ActionEvent"
_SHOWN: Final = 120
_ENTITIES: Final = frozenset(kind.value for kind in Kind)


class Hint(NamedTuple):
    """Worth a look: `key` is the entity's UUID in that region, `time` the event's, milliseconds."""

    key: bytes
    time: int


class Dropped(NamedTuple):
    """Well formed, and nothing for anybody to do."""

    reason: str


class _Flat(msgspec.Struct, gc=False):
    """What is looked at of the flat object of strings that CloudStack sends."""

    entity: str
    event: str
    status: str
    eventDateTime: str
    entityuuid: str = ""
    user: str = ""
    username: str = ""
    Account: str = ""


_FLAT: Final = msgspec.json.Decoder(_Flat)


def judge(routing_key: str | bytes, body: bytes) -> Hint | Dropped:
    """What becomes of a message. Raises `Unreadable` for what belongs to the dead letters."""
    return _judge_plain(routing_key, body) or judge_any(routing_key, body)


def judge_any(routing_key: str | bytes, body: bytes) -> Hint | Dropped:
    """`judge` by the core's own reading of an event, which knows the reason for everything it refuses."""
    event = parse_event(body)
    _check_route(routing_key, event)
    if not known(event):
        raise Unreadable(f"event {event.type[:_SHOWN]!r} is not known")
    if changes_nothing(event):
        return Dropped(NO_CHANGE)
    if event.uuid is None:
        return Dropped(NO_ENTITY)
    return Hint(event.uuid.encode(), event.time)


def _judge_plain(routing_key: str | bytes, body: bytes) -> Hint | Dropped | None:
    """`judge` for the event as it nearly always comes, in a quarter of the time; None for any other."""
    if not body.isascii() or len(body) > MAX_BODY_BYTES or isinstance(routing_key, bytes):
        return None
    try:
        flat = _FLAT.decode(body)
        time = parse_time(flat.eventDateTime)
    except (msgspec.DecodeError, Unreadable, RecursionError):
        return None
    changes = KNOWN.get(flat.event)
    words = routing_key.split(".")
    plain = (
        changes is not None
        and flat.entity in _ENTITIES
        and flat.status
        and len(flat.entityuuid) <= ENTITY_MAX
        and "\0" not in flat.entityuuid
        and len(words) == 5
        and words[1] == _CATEGORY
        and words[2] == flat.event.replace(".", "-")
        and words[3] == flat.entity
    )
    if not plain:
        return None
    if not changes or flat.status != COMPLETED:
        return Dropped(NO_CHANGE)
    return Hint(flat.entityuuid.encode(), time) if flat.entityuuid else Dropped(NO_ENTITY)


def _check_route(routing_key: str | bytes, event: Event) -> None:
    """`management-server.ActionEvent.USER-UPDATE.User.<uuid or *>` must tell the same as the body.

    The last word is not compared: CloudStack replaces dots in it, and writes `*` for what it does not know.
    """
    if isinstance(routing_key, bytes):  # pika's way to say that it was not UTF-8
        raise Unreadable("routing key is not UTF-8")
    words = routing_key.split(".")
    if len(words) != 5 or words[1] != _CATEGORY:
        raise Unreadable(f"routing key {routing_key[:_SHOWN]!r} is not an ActionEvent's")
    if words[2] != event.type.replace(".", "-") or words[3] != event.kind:
        told = f"{event.type[:_SHOWN]} of {event.kind}"
        raise Unreadable(f"routing key {routing_key[:_SHOWN]!r} contradicts the body: {told}")
