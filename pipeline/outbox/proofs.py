"""Keeps what verify found: that regions were equal, or not, at a time, over so many entities.

In: roots and counts per region. Out: rows of `proof`, one a region, which the time of the look holds
together. Called by `region-sync verify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Engine, insert, select

from pipeline.outbox.engine import reading, writing
from pipeline.outbox.schema import proof


@dataclass(frozen=True, slots=True)
class Proof:
    """One region at one look. `root`: the region's digest in hexadecimal; `equal`: whether all regions of
    that look had the same one; `differences`: how many entities differed between any of them."""

    time: int
    region: str
    root: str
    domains: int
    accounts: int
    users: int
    equal: bool
    differences: int


def keep_proofs(engine: Engine, proofs: Sequence[Proof]) -> None:
    """Raises `TemporaryError`."""
    if proofs:
        with writing(engine) as connection:
            connection.execute(insert(proof), [asdict(one) for one in proofs])


def read_proofs(engine: Engine, limit: int) -> list[Proof]:
    """The newest first. Raises `TemporaryError`."""
    columns = [column for column in proof.c if column.name != "id"]
    query = select(*columns).order_by(proof.c.id.desc()).limit(limit)
    with reading(engine) as connection:
        return [Proof(**row) for row in connection.execute(query).mappings()]
