"""The full scan. A copy of what the schema was then: this module never changes again.

MariaDB and MySQL commit each table by itself: what a start that died half-way has left there stays.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, inspect
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision: str | None = "0003"

OPTIONS: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}
NUMBER = BigInteger().with_variant(Integer(), "sqlite")
BODY = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")
UUID = String(64)
WORD = String(16)

tables = MetaData()

Table(
    "scan",
    tables,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("region", UUID, nullable=False),
    Column("lease", UUID, unique=True),
    Column("owner", UUID, nullable=False),
    Column("state", WORD, nullable=False),
    Column("started_time", BigInteger(), nullable=False),
    Column("heartbeat_time", BigInteger(), nullable=False),
    Column("ended_time", BigInteger()),
    Column("calls", BigInteger(), nullable=False),
    Column("ms", BigInteger(), nullable=False),
    Column("equal", BigInteger(), nullable=False),
    Column("different", BigInteger(), nullable=False),
    Column("in_flight", BigInteger(), nullable=False),
    Column("unknown", BigInteger(), nullable=False),
    Column("missing", BigInteger(), nullable=False),
    Column("protected", BigInteger(), nullable=False),
    Column("suspended", Text()),
    Index("ix_scan_region", "region", "id"),
    **OPTIONS,
)

Table(
    "scan_page",
    tables,
    Column("scan", BigInteger(), primary_key=True, autoincrement=False),
    Column("kind", WORD, primary_key=True),
    Column("page", Integer(), primary_key=True, autoincrement=False),
    Column("total", BigInteger(), nullable=False),
    Column("listed", Integer(), nullable=False),
    Column("digests", BODY, nullable=False),
    **OPTIONS,
)


def upgrade() -> None:
    """Make what is missing."""
    connection = op.get_bind()
    tables.create_all(connection)
    inspector = inspect(connection)
    for table in tables.sorted_tables:
        known = {index["name"] for index in inspector.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in known:
                index.create(connection)


def downgrade() -> None:
    """Remove the scan's tables."""
    tables.drop_all(op.get_bind())
