"""Users as CloudStack's table is told of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Row:
    """As `pipeline.sandbox.usertable` wants them."""

    id: int
    uuid: str
    password: str
    removed: bool = False

    @property
    def username(self) -> str:
        return f"name of {self.uuid}"
