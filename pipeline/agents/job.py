"""What waits in a region worker's lanes. Made from messages by the region worker, done by it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.agents.intake import Taken
from pipeline.agents.tenure import Held
from pipeline.core.events import Event
from pipeline.core.records import Desired


@dataclass(frozen=True, slots=True)
class Job:
    """A hint or a desired state, with the message that brought it."""

    taken: Taken
    wanted: Event | Desired | Echo
    held: Held


@dataclass(frozen=True, slots=True)
class Echo:
    """Word of a call of our own that may be one which was given up, of these entities."""

    locals: tuple[str, ...]
