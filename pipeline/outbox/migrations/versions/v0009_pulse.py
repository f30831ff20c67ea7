"""The heartbeats of the regions' workers. A copy of what the schema was then: this module never changes
again.

MariaDB and MySQL commit each statement by itself: what a start that died half-way has left there stays.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, String, Table, Text

revision = "0009"
down_revision: str | None = "0008"

OPTIONS: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}

tables = MetaData()

Table(
    "pulse",
    tables,
    Column("region", String(64), primary_key=True),
    Column("worker", String(64), primary_key=True),
    Column("time", BigInteger(), nullable=False),
    Column("lanes", Integer(), nullable=False),
    Column("busy", Integer(), nullable=False),
    Column("reachable", Boolean()),
    Column("since", BigInteger()),
    Column("reason", Text()),
    **OPTIONS,
)


def upgrade() -> None:
    """Make what is missing."""
    tables.create_all(op.get_bind())


def downgrade() -> None:
    """Remove what was made."""
    tables.drop_all(op.get_bind())
