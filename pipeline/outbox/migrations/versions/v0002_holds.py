"""What a quarantine must remember, the removals that count against the limits, and calls without effect. A
copy of what the schema was then: this module never changes again.

What is there already stays: MariaDB and MySQL commit each statement by itself.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, inspect
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision: str | None = "0001"

OPTIONS: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}
BODY = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")

tables = MetaData()

Table(
    "removal",
    tables,
    Column("outbox_id", BigInteger(), primary_key=True, autoincrement=False),
    Column("region", String(64), nullable=False),
    Column("time", BigInteger(), nullable=False),
    Index("ix_removal_window", "region", "time"),
    **OPTIONS,
)
Table(
    "futile",
    tables,
    Column("outbox_id", BigInteger(), primary_key=True, autoincrement=False),
    Column("entity", String(64), nullable=False),
    Column("region", String(64), nullable=False),
    Column("difference", Text(), nullable=False),
    Column("seen", BODY, nullable=False),
    Column("times", Integer(), nullable=False),
    Index("ix_futile_entity", "entity", "region"),
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
    held = {column["name"] for column in inspector.get_columns("hold")}
    for column in (Column("until", BigInteger()), Column("state_before", String(16))):
        if column.name not in held:
            op.add_column("hold", column)


def downgrade() -> None:
    """Remove what this made."""
    op.drop_column("hold", "state_before")
    op.drop_column("hold", "until")
    tables.drop_all(op.get_bind())
