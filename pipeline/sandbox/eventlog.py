"""A region's own event log (what listEvents reads) and the message that the bus gets for each event.

Comes in: events raised by the command modules. Goes out: rows for `event_commands`, and a routing key
with a body for whoever listens (the broker, a test). An event keeps a reference to its entity, not its
UUID: CloudStack resolves the UUID when the log is read, so rows about a user that was moved show the dead
row's UUID afterwards (recorded).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.sandbox.state import Account, Domain, Permission, Project, Role, User

Entity = Domain | Account | User | Role | Permission | Project
Listener = Callable[[str, str], None]

SCHEDULED = "Scheduled"
STARTED = "Started"
COMPLETED = "Completed"
CREATED = "Created"

# Kinds whose UUID stands in the body under the kind's own name; users never do.
NAMED_IN_BODY = {
    Domain: "Domain",
    Account: "Account",
    Role: "Role",
    Permission: "RolePermission",
    Project: "Project",
}
_ENTITY_BY_PREFIX = (
    ("DOMAIN.", "Domain"),
    ("ACCOUNT.", "Account"),
    ("API.KEY.ACCESS.", "Account"),
    ("USER.", "User"),
    ("REGISTER.USER.", "User"),
    ("ROLE.PERMISSION.", "RolePermission"),
    ("ROLE.", "Role"),
    ("PROJECT.", "Project"),
    ("CONFIGURATION.", "Configuration"),
)


def entity_of(event_type: str) -> str:
    """The kind of entity that an event type is about."""
    return next((kind for prefix, kind in _ENTITY_BY_PREFIX if event_type.startswith(prefix)), "*")


@dataclass(eq=False, slots=True)
class LoggedEvent:
    """One row of the event log; times in ms."""

    uuid: str
    type: str
    state: str
    description: str
    user: User
    account: Account
    kind: str
    entity: Entity | None
    created_ms: int
    level: str = "INFO"
    parent: LoggedEvent | None = None
    archived: bool = False

    def entity_name(self) -> str | None:
        """The entity's name today, removed ones included."""
        if isinstance(self.entity, User):
            return self.entity.username
        if self.entity is None or isinstance(self.entity, Permission):
            return None
        return self.entity.name


class EventLog:
    """Rows in the order of their raising, and the listeners that get each as a bus message."""

    def __init__(self) -> None:
        self.rows: list[LoggedEvent] = []
        self.by_uuid: dict[str, LoggedEvent] = {}
        self.by_type: dict[str, list[LoggedEvent]] = {}
        self.listeners: list[Listener] = []

    def append(self, event: LoggedEvent, touched: Iterable[Entity]) -> None:
        """Logs the event, then tells the listeners."""
        self.rows.append(event)
        self.by_uuid[event.uuid] = event
        self.by_type.setdefault(event.type, []).append(event)
        if self.listeners:
            message = body(event, touched)
            self.tell(routing_key(event), json.dumps(message, ensure_ascii=False, separators=(",", ":")))

    def tell(self, key: str, text: str) -> None:
        """Hands one bus message to every listener."""
        for listener in self.listeners:
            listener(key, text)


def routing_key(event: LoggedEvent) -> str:
    """`management-server.ActionEvent.<TYPE>.<Kind>.<uuid or *>`."""
    uuid = event.entity.uuid if event.entity is not None else "*"
    return f"management-server.ActionEvent.{event.type.replace('.', '-')}.{event.kind}.{uuid}"


def body(event: LoggedEvent, touched: Iterable[Entity]) -> dict[str, str]:
    """The message: flat, strings only, no attribute of the entity."""
    when = datetime.fromtimestamp(event.created_ms // 1000, UTC)
    message = {
        "eventDateTime": f"{when:%Y-%m-%d %H:%M:%S} +0000",
        "description": event.description,
        "event": event.type,
        "user": event.user.uuid,
        "account": event.account.uuid,
        "entity": event.kind,
        "status": event.state,
    }
    if event.entity is not None:
        message["entityuuid"] = event.entity.uuid
    for entity in touched:
        name = NAMED_IN_BODY.get(type(entity))
        if name is not None:
            message[name] = entity.uuid
    return message
