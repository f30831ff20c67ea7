"""Why a line of the ledger of conflicts is one of what a region may not say. A copy of what the schema was
then: this module never changes again.

MariaDB and MySQL commit each statement by itself: what a start that died half-way has left there stays.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Text, inspect

revision = "0012"
down_revision: str | None = "0011"

INDEX = "ix_conflict_region"


def upgrade() -> None:
    """Make what is missing."""
    inspector = inspect(op.get_bind())
    if "reason" not in {column["name"] for column in inspector.get_columns("conflict")}:
        op.add_column("conflict", Column("reason", Text()))
    if INDEX not in {index["name"] for index in inspector.get_indexes("conflict")}:
        op.create_index(INDEX, "conflict", ["lost_region", "time"])


def downgrade() -> None:
    """Remove what was made."""
    op.drop_index(INDEX, "conflict")
    op.drop_column("conflict", "reason")
