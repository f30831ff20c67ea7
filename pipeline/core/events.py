"""Reads a region's event as a hint: which entity may have changed, when, and by whom.

In: a routing key and a body as the bus carries them. Out: an `Event`, or `Unreadable` with the reason.
Called by the bridge (to find the key) and by observe (to find what to read). Formats: cloudstack.md,
"The bus"; recordings: stream.region1.jsonl.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from pipeline.core.entities import Kind

MAX_BODY_BYTES: Final = 256 * 1024
"""A real body is about 400 bytes; anything near a megabyte is not an event and must not fill the topics."""

HINT: Final = "REGION-SYNC.HINT"
"""The type of an event that this system made itself: something else showed that this may have changed too."""

SCAN: Final = "REGION-SYNC.SCAN"
"""The type of the hints of a full scan, and of a person's `sync UUID`. Nobody said that anything changed, so
whoever answers one asks the region's event log when, and whether an absence is a removal."""

ABSENT: Final = "REGION-SYNC.ABSENT"
"""The type of a full scan's word that the region does not hold an entity which was never seen there: its list
has just shown it, so nothing has to be read for that."""

AGAIN: Final = "REGION-SYNC.AGAIN"
"""The type of the hub's hint that it did not believe the last word of this entity, since a later worker had
spoken before. Whoever gets it has the entity now, and needs a term that says so."""

ROLES: Final = "REGION-SYNC.ROLES"
"""The type of the poll's hint to look at all roles: no event tells of a changed permission, and that of
a copied role names another one (cloudstack.md)."""

OWN: Final = frozenset({HINT, SCAN, ABSENT, AGAIN, ROLES})

UNPROMPTED: Final = frozenset({SCAN, ABSENT, AGAIN})
"""What a scan, or the hub, says by itself: nobody said that anything changed."""

LIMIT_CHANGED: Final = "RESOURCE.LIMIT.UPDATE"
"""Somebody set a limit of a domain or an account (recordings limit.update.domain, limit.update.account)."""

KNOWN: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "DOMAIN.CREATE": True,
        "DOMAIN.UPDATE": True,
        "DOMAIN.MOVE": True,
        "DOMAIN.DELETE": True,
        "ACCOUNT.CREATE": True,
        "ACCOUNT.UPDATE": True,
        "ACCOUNT.ENABLE": True,
        "ACCOUNT.DISABLE": True,
        "ACCOUNT.DELETE": True,
        "ACCOUNT.MARK.DEFAULT.ZONE": False,  # placement differs by region
        "API.KEY.ACCESS.UPDATE": False,  # a setting for keys, on an account or a user
        LIMIT_CHANGED: True,  # where limits are carried; a read that finds nothing new elsewhere
        "USER.CREATE": True,
        "USER.UPDATE": True,
        "USER.ENABLE": True,
        "USER.DISABLE": True,
        "USER.LOCK": True,
        "USER.MOVE": True,
        "USER.DELETE": True,
        "USER.LOGIN": False,  # one for each person who opens the console: they would crowd out the changes
        "USER.LOGOUT": False,
        "ROLE.CREATE": True,
        "ROLE.UPDATE": True,
        "ROLE.DELETE": True,
        "ROLE.IMPORT": True,  # names no role (source): the poll finds it
        "ROLE.ENABLE": False,  # whether a role is enabled is its region's business
        "ROLE.DISABLE": False,
        "REGISTER.USER.KEY": True,  # where keys are carried; a read that finds nothing new elsewhere
    }
)
"""CloudStack's events on domains, accounts, users and roles, and whether what is synced can change by one
(EventTypes.java of CloudStack 4.22, and the recordings)."""

_REQUIRED: Final = ("entity", "event", "status", "eventDateTime")
_OPTIONAL: Final = ("entityuuid", "user", "username", "accountname", "Account")
_KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.value: kind for kind in Kind})
ENTITY_MAX: Final = 64
"""A UUID has 36 characters; createDomain takes others as well."""

TIME_MIN: Final = -30_610_224_000_000
TIME_MAX: Final = 221_845_392_000_000
"""The years 1000 to 9000, in milliseconds: the merge counts up from a time, and calendars end with 9999."""

TYPE_MAX: Final = 100
"""CloudStack's longest type has 50 characters."""

COMPLETED: Final = "Completed"

_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d) ?([+-]\d{4})", re.ASCII)


class Unreadable(ValueError):
    """The message is no event of a kind that is synced; the text is the reason, for the dead letter."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: a hint that carries no attribute values.

    `uuid` is the entity's UUID in that region, None when CloudStack did not know it (a failed create).
    `time` is the event's time in milliseconds (the bus knows whole seconds). `actor` is the UUID of the
    calling user, empty when unknown (the event log tells names instead, `actor_name` in `actor_account`).
    `account` is the target account named by the body's `Account` key, if any.
    """

    type: str
    kind: Kind
    uuid: str | None
    status: str
    time: int
    actor: str = ""
    actor_name: str = ""
    actor_account: str = ""
    account: str | None = None

    @property
    def completed(self) -> bool:
        """Started and Scheduled announce; only Completed may have changed anything (success or not)."""
        return self.status == COMPLETED


def parse_event(body: bytes) -> Event:
    """The event in `body`. Raises `Unreadable`, worded for the dead letter, for anything else."""
    fields = _object(body)
    entity, event_type, status, time = _texts(fields, _REQUIRED, required=True)
    uuid, actor, actor_name, actor_account, account = _texts(fields, _OPTIONAL, required=False)
    if len(uuid) > ENTITY_MAX:
        raise Unreadable(f"entityuuid is {len(uuid)} characters long")
    if "\0" in uuid or len(event_type) > TYPE_MAX:
        raise Unreadable("entityuuid holds a NUL, or event is over the limit")
    return Event(
        type=event_type,
        kind=_kind(entity),
        uuid=uuid or None,
        status=status,
        time=parse_time(time),
        actor=actor,
        actor_name=actor_name,
        actor_account=actor_account,
        account=account or None,
    )


def hint(kind: Kind, uuid: str, time: int, event: str = HINT) -> bytes:
    """The body of an event that this system makes itself: "read this entity, it may have changed at `time`"
    (milliseconds; the bus's form has whole seconds). `event`: one of `OWN`."""
    when = datetime.fromtimestamp(time // 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S %z")
    fields = {
        "event": event,
        "entity": str(kind),
        "entityuuid": uuid,
        "status": "Completed",
        "eventDateTime": when,
    }
    return json.dumps(fields).encode()


@lru_cache(maxsize=256)  # whole seconds: a burst's events share theirs
def parse_time(text: str) -> int:
    """`2026-11-23 08:18:10 +0000` or `2026-11-23T08:18:10+0000` as milliseconds. Raises `Unreadable`."""
    parts = _TIME.fullmatch(text)
    try:
        if parts is not None:  # strptime would cost more than all the rest of reading an event
            time = int(datetime.fromisoformat("{}T{}{}".format(*parts.groups())).timestamp()) * 1000
            if TIME_MIN <= time <= TIME_MAX:
                return time
    except (ValueError, OverflowError):
        pass
    raise Unreadable(f"time {text[:40]!r} is not one")


def known(event: Event) -> bool:
    """Whether CloudStack is known to raise this type; a type that is not may mean anything."""
    return event.type in KNOWN


def changes_nothing(event: Event) -> bool:
    """True for what is announced only (Scheduled, Started), and for types that touch nothing synced."""
    return not event.completed or not KNOWN.get(event.type, True)


def _object(body: bytes) -> dict[str, object]:
    if len(body) > MAX_BODY_BYTES:
        raise Unreadable(f"body of {len(body)} bytes is over the limit of {MAX_BODY_BYTES}")
    try:
        value = json.loads(body.decode("utf-8"), parse_int=float)  # of any length: no number is looked at
    except UnicodeDecodeError:
        raise Unreadable("body is not UTF-8") from None
    except (ValueError, RecursionError):
        raise Unreadable("body is not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("body is not a JSON object")
    return value


def _texts(fields: Mapping[str, object], keys: tuple[str, ...], *, required: bool) -> list[str]:
    """The values of `keys`, "" for what is missing and may be: one call for all, since each event pays it."""
    values = []
    for key in keys:
        value = fields.get(key)
        if not value and required and (value is None or value == ""):
            raise Unreadable(f"key {key!r} is missing")
        if value is None:
            value = ""
        if not isinstance(value, str) or not (value.isascii() or _storable(value)):
            raise Unreadable(f"key {key!r} is not text")
        values.append(value)
    return values


def _storable(value: str) -> bool:
    """False for half of a surrogate pair: JSON can spell it, nothing can store it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(entity: str) -> Kind:
    kind = _KINDS.get(entity)
    if kind is None:
        raise Unreadable(f"entity {entity[:40]!r} is not synced")
    return kind
