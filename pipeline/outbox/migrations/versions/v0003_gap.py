"""What the buses lost, and leases. A copy of what the schema was then: this module never changes again.

A start that died half-way left one of the two: what is there stays.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, MetaData, String, Table

revision = "0003"
down_revision: str | None = "0002"

OPTIONS: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}

tables = MetaData()

Table(
    "gap",
    tables,
    Column("region", String(64), primary_key=True),
    Column("lost", BigInteger(), nullable=False),
    Column("filled", BigInteger(), nullable=False),
    Column("last_lost_time", BigInteger()),
    Column("silent_since", BigInteger()),
    Column("scan_needed_since", BigInteger()),
    **OPTIONS,
)

Table(
    "lease",
    tables,
    Column("name", String(255), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("until_time", BigInteger(), nullable=False),
    **OPTIONS,
)


def upgrade() -> None:
    """Make what is missing."""
    tables.create_all(op.get_bind())


def downgrade() -> None:
    """Remove both."""
    tables.drop_all(op.get_bind())
