"""Where everything is, and which names are taken: by the records, and by what a region was seen to hold.

In: records' places, a region's snapshots in canonical UUIDs. Out: paths, depths, and whether a name is free.
Used by planning. Of domains and accounts the names are kept, of users a digest alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.core.digest import key
from pipeline.core.entities import ROOT, Kind

DEEPEST: Final = 256
"""Levels of domains; beyond that something is wrong."""


@dataclass(frozen=True, slots=True)
class _Node:
    kind: Kind
    name: str
    parent: str


class Places:
    """Domains and accounts by canonical UUID."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._recorded: set[int] = set()
        self._listed: set[int] = set()

    def record(self, kind: Kind, uuid: str, name: str, parent: str) -> None:
        """A present record. Accounts before users, since a user's name is its domain's."""
        self._place(kind, uuid, name, parent)
        self._recorded.add(self._name(kind, name, parent))

    def listed(self, kind: Kind, uuid: str, name: str, parent: str) -> None:
        """What the region was seen to hold."""
        self._place(kind, uuid, name, parent)
        self._listed.add(self._name(kind, name, parent))

    def is_taken_here(self, kind: Kind, name: str, parent: str) -> bool:
        """Whether the region holds something of that name where CloudStack allows one alone."""
        return self._name(kind, name, parent) in self._listed

    def is_taken_elsewhere(self, kind: Kind, name: str, parent: str) -> bool:
        """The same of the records."""
        return self._name(kind, name, parent) in self._recorded

    def path(self, kind: Kind, name: str, parent: str) -> str:
        """As `/sales/emea|account|user`."""
        return f"{self._path(parent, 0)}{_mark(kind)}{name}"

    def depth(self, uuid: str) -> int:
        """Levels of domains above something in `uuid`."""
        steps = 0
        while uuid in self._nodes and steps < DEEPEST:
            uuid, steps = self._nodes[uuid].parent, steps + 1
        return steps

    def _place(self, kind: Kind, uuid: str, name: str, parent: str) -> None:
        if kind in (Kind.DOMAIN, Kind.ACCOUNT):
            self._nodes.setdefault(uuid, _Node(kind, name, parent))

    def _path(self, uuid: str, steps: int) -> str:
        node = self._nodes.get(uuid)
        if uuid == ROOT or steps > DEEPEST:
            return ""
        if node is None:
            return "?"
        return f"{self._path(node.parent, steps + 1)}{_mark(node.kind)}{node.name}"

    def _name(self, kind: Kind, name: str, parent: str) -> int:
        """Users' names are unique in a domain, whatever the account (cloudstack.md)."""
        if kind is Kind.USER and parent in self._nodes:
            parent = self._nodes[parent].parent
        return key(kind, 0, f"{parent}/{name}")


def _mark(kind: Kind) -> str:
    return "/" if kind is Kind.DOMAIN else "|"
