"""Plans, kept until they are carried out. A copy of what the schema was then: this module never changes
again.

MariaDB and MySQL commit each table by itself: what a start that died half-way has left there stays.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
)
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision: str | None = "0005"

tables = MetaData()

_OPTIONS: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
_BODY = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")

Table(
    "plan",
    tables,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("hash", String(16)),
    Column("region", String(64), nullable=False),
    Column("time", BigInteger(), nullable=False),
    Column("released_time", BigInteger()),
    Column("matched", BigInteger(), nullable=False),
    Column("different", BigInteger(), nullable=False),
    Column("missing", BigInteger(), nullable=False),
    Column("extra", BigInteger(), nullable=False),
    Column("conflict", BigInteger(), nullable=False),
    Column("calls", BigInteger(), nullable=False),
    Column("seconds", BigInteger(), nullable=False),
    Index("ix_plan_region", "region", "id"),
    **_OPTIONS,
)

Table(
    "plan_step",
    tables,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("plan", BigInteger(), nullable=False),
    Column("place", BigInteger(), nullable=False),
    Column("region", String(64), nullable=False),
    Column("entity", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("wanted", _BODY, nullable=False),
    Column("body", _BODY, nullable=False),
    Column("state", String(16), nullable=False),
    Column("message", Text()),
    UniqueConstraint("plan", "entity", name="uq_plan_step_entity"),
    Index("ix_plan_step_order", "plan", "state", "place", "id"),
    Index("ix_plan_step_released", "region", "state", "entity"),
    **_OPTIONS,
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
    """Remove the tables."""
    tables.drop_all(op.get_bind())
