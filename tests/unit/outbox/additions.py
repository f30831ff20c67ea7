"""What a migration may do, so that the release before goes on with the tables: add what nobody must know of.

In: one statement of SQL, and what the migrations so far have added. Out: what is wrong with it, or None.
Called by the contract of upgrades.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_UNQUOTED: Final = str.maketrans("", "", '`"')
_HARMLESS: Final = re.compile(
    r"(BEGIN|SELECT|SHOW|DESCRIBE|EXPLAIN|PRAGMA)\b|(INSERT INTO|UPDATE|DELETE FROM) alembic_version\b",
    re.IGNORECASE,
)
_TABLE: Final = re.compile(r"CREATE TABLE (\w+)", re.IGNORECASE)
_COLUMN: Final = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+) ([^,]+)$", re.IGNORECASE)
_INDEX: Final = re.compile(r"CREATE (UNIQUE )?INDEX \w+ ON (\w+)", re.IGNORECASE)
_FILL: Final = re.compile(r"UPDATE (\w+) SET (\w+)=\S+ WHERE [^,]+$", re.IGNORECASE)


@dataclass(slots=True)
class Added:
    """By the migrations that ran so far; `fresh`: tables of this very migration, which nobody writes yet."""

    columns: set[tuple[str, str]] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)


def breach(statement: str, added: Added) -> str | None:
    """`statement` is noted in `added`."""
    text = " ".join(statement.translate(_UNQUOTED).split())
    if _HARMLESS.match(text):
        if "alembic_version" in text and not text.upper().startswith("SELECT"):
            added.fresh.clear()  # the next migration begins
        return None
    if (table := _TABLE.match(text)) is not None:
        added.fresh.add(table[1])
        return None
    if (column := _COLUMN.match(text)) is not None:
        added.columns.add((column[1], column[2]))
        must = "NOT NULL" in column[3].upper() and "DEFAULT" not in column[3].upper()
        return "the release before can't fill this column" if must else None
    if (index := _INDEX.match(text)) is not None:
        return "the release before may write such rows" if index[1] and index[2] not in added.fresh else None
    if (fill := _FILL.match(text)) is not None:
        return None if (fill[1], fill[2]) in added.columns else "a column of the release before is rewritten"
    return "no addition"
