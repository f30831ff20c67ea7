"""What verify found. A copy of what the schema was then: this module never changes again.

MariaDB and MySQL commit each table by itself: what a start that died half-way has left there stays.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, inspect

revision = "0005"
down_revision: str | None = "0004"

tables = MetaData()

Table(
    "proof",
    tables,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("time", BigInteger(), nullable=False),
    Column("region", String(64), nullable=False),
    Column("root", String(64), nullable=False),
    Column("domains", BigInteger(), nullable=False),
    Column("accounts", BigInteger(), nullable=False),
    Column("users", BigInteger(), nullable=False),
    Column("equal", Boolean(), nullable=False),
    Column("differences", BigInteger(), nullable=False),
    Index("ix_proof_time", "time"),
    mysql_charset="utf8mb4",
    mysql_collate="utf8mb4_bin",
    mysql_engine="InnoDB",
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
    """Remove the table."""
    tables.drop_all(op.get_bind())
