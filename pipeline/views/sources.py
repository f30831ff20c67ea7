"""What the pages are read from, and the words in which a page says that it can't be shown.

Built by `pipeline.web`; handed to every page and every action.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.records import Topology
from pipeline.outbox.engine import Engine

Params = Mapping[str, str]
"""What the address says: parts of the path, and the query."""


@dataclass(frozen=True, slots=True)
class Lag:
    """Messages that a consumer group has not finished, by group's short name (a region's, or `hub`), and when
    the oldest of them was written, in ms. `events`: what was read of each region's topic of events so far.
    `error`: why that is not known."""

    messages: Mapping[str, int] = field(default_factory=dict)
    since: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """`modes`: region → its mode, in the order of the settings. `stopped`: what this process takes nothing
    from, in words. `lag` waits for the network, as does every read from `engine`: pages are read in
    threads."""

    engine: Engine
    clock: Callable[[], int]
    topology: Topology
    modes: Mapping[str, str]
    lag: Callable[[], Lag] = Lag
    stopped: Callable[[], Sequence[str]] = tuple


class NotThere(LookupError):
    """There is no such thing; the text says which."""


class BadQuery(ValueError):
    """The address asks for what can't be; the text is for the person who wrote it."""
