"""Writes down what a person does: who, when, to what, and why.

In: who acts and why, and what was acted on. Out: lines of the table `audit`, in the transaction of the act
itself. Called by `acting` and `plans`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert

from pipeline.outbox.acts import WHO_MAX, audit
from pipeline.outbox.schema import MESSAGE_MAX
from pipeline.outbox.statements import cut


@dataclass(frozen=True, slots=True)
class By:
    """Who acts, why, and when (ms)."""

    who: str
    reason: str
    now: int


def note(
    connection: Connection, by: By, action: str, subject: tuple[str, int], row: Mapping[Any, Any]
) -> None:
    """One act. `subject`: table and id of what was acted on; `row` may name an entity and a region."""
    note_all(connection, by, action, subject[0], [{**row, "id": subject[1]}])


def note_all(
    connection: Connection, by: By, action: str, table: str, rows: Sequence[Mapping[Any, Any]]
) -> None:
    """One act on several rows of a table: a line for each."""
    lines = [
        {
            "time": by.now,
            "who": cut(by.who, WHO_MAX),
            "action": action,
            "subject": table,
            "subject_id": row["id"],
            "entity": row.get("entity"),
            "region": row.get("region"),
            "reason": cut(by.reason, MESSAGE_MAX),
        }
        for row in rows
    ]
    if lines:
        connection.execute(insert(audit), lines)
