"""One API call on its way through a region: who calls, with what values, and what it has touched so far.

Made by `dispatch`, handed to a command. `subjects` are entities that events are about without naming them
in their body. `touched` is CloudStack's call context: every entity that a parameter names is in it, a
command adds what it made, and the events that the call raises carry all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pipeline.sandbox.errors import ApiError
from pipeline.sandbox.eventlog import COMPLETED, NAMED_IN_BODY, STARTED, Entity, LoggedEvent, entity_of
from pipeline.sandbox.jobs import Job
from pipeline.sandbox.state import Account, User

if TYPE_CHECKING:
    from pipeline.sandbox.region import Region
    from pipeline.sandbox.world import World

T = TypeVar("T")
Value = str | int | bool | list[str] | dict[str, str] | list[dict[str, str]] | Entity | LoggedEvent | Job
Answer = dict[str, object]

KIND_NAMES = {**NAMED_IN_BODY, User: "User"}


@dataclass(eq=False)
class Call:
    """`values` holds the parsed parameters by name; absent ones are absent."""

    region: Region
    command: str
    user: User
    account: Account
    values: dict[str, Value] = field(default_factory=dict)
    touched: dict[str, Entity] = field(default_factory=dict)
    subjects: dict[str, Entity] = field(default_factory=dict)
    parent: LoggedEvent | None = None
    credentials: dict[str, str] = field(default_factory=dict)

    @property
    def world(self) -> World:
        return self.region.world

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def need(self, name: str) -> str:
        """A required string; its presence was checked before the command ran."""
        return self.text(name) or ""

    def whole(self, name: str) -> int | None:
        value = self.values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def flag(self, name: str) -> bool:
        return self.values.get(name) is True

    def names(self, name: str) -> list[str] | None:
        value = self.values.get(name)
        return [one for one in value if isinstance(one, str)] if isinstance(value, list) else None

    def rows(self, name: str) -> list[dict[str, str]]:
        """Of importRole's rules."""
        value = self.values.get(name)
        return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []

    def pairs(self, name: str) -> dict[str, str] | None:
        value = self.values.get(name)
        return value if isinstance(value, dict) else None

    def entity(self, name: str, kind: type[T]) -> T | None:
        value = self.values.get(name)
        return value if isinstance(value, kind) else None

    def needed(self, name: str, kind: type[T]) -> T:
        """A required entity; the parser has refused the call already where it is unknown."""
        value = self.entity(name, kind)
        if value is None:
            raise KeyError(name)
        return value

    def touch(self, entity: Entity) -> None:
        self.touched[KIND_NAMES[type(entity)]] = entity

    def event(self, type_: str, state: str, description: str, **more: object) -> LoggedEvent:
        """Raises an event. `more`: level, account (whose event it is), entity and kind in place of the
        context's.
        """
        kind = str(more.get("kind") or entity_of(type_))
        entity = more["entity"] if "entity" in more else self.touched.get(kind) or self.subjects.get(kind)
        account = more.get("account")
        event = LoggedEvent(
            self.world.new_uuid(),
            type_,
            state,
            description,
            self.user,
            account if isinstance(account, Account) else self.account,
            kind,
            entity,  # type: ignore[arg-type]
            self.world.clock(),
            str(more.get("level", "INFO")),
            self.parent,
        )
        self.region.log.append(event, self.touched.values())
        return event

    def audited(self, type_: str, description: str, work: Callable[[], T], started: bool = False) -> T:
        """Runs the work and raises its Completed event, failed or not, as CloudStack does."""
        return self.audited_all([(type_, description)], work, started)

    def audited_all(self, events: list[tuple[str, str]], work: Callable[[], T], started: bool = False) -> T:
        """As `audited`, for a command that raises several events."""
        if started:
            for type_, description in events:
                self.event(type_, STARTED, description[:1].upper() + description[1:])
        try:
            result = work()
        except ApiError:
            for type_, description in events:
                self.event(type_, COMPLETED, f"Error while {description}", level="ERROR")
            raise
        for type_, description in events:
            self.event(type_, COMPLETED, f"Successfully completed {description}")
        return result
