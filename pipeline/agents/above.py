"""What an entity is in, level by level, by the records.

In: records by canonical UUID, as a batch has them. Out: whether one domain is below another, and where an
entity is by its domains' names. Called by the hub's merge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pipeline.core.authority import Place
from pipeline.core.entities import ROOT, Kind
from pipeline.core.records import Record

DEEPEST: Final = 256
"""Levels of domains; beyond that something is wrong, and looking further helps nobody."""


class Above:
    """The records, walked upwards."""

    def __init__(self, record: Callable[[str], Record | None]) -> None:
        self.record = record

    def is_below(self, domain: str, other: str) -> bool:
        """Whether `domain` is `other` or below it."""
        for _ in range(DEEPEST):
            if domain in (other, ROOT):
                break
            above = self.record(domain)
            if above is None:
                return False
            domain = above.parent
        return domain == other

    def place(self, kind: Kind, name: str, parent: str) -> Place:
        """Of an entity of that kind, name and parent; a user is where its account is."""
        if kind is Kind.USER:
            account = self.record(parent)
            if account is None or account.kind is not Kind.ACCOUNT:
                return None
            parent = account.parent
        names = [name] if kind is Kind.DOMAIN else []
        for _ in range(DEEPEST):
            if parent == ROOT:
                return tuple(reversed(names))
            above = self.record(parent)
            if above is None or above.kind is not Kind.DOMAIN:
                return None
            names.append(above.fields["name"].text)
            parent = above.parent
        return None
