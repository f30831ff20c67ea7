"""What the hub decided about each observation. A copy of what the schema was then: this module never changes
again.

MariaDB and MySQL commit each statement by itself: what a start that died half-way has left there stays.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, UniqueConstraint

revision = "0008"
down_revision: str | None = "0007"

OPTIONS: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}

tables = MetaData()

Table(
    "decision",
    tables,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("entity", String(64), nullable=False),
    Column("log", String(64), nullable=False),
    Column("offset", BigInteger(), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("region", String(64), nullable=False),
    Column("cause", String(64), nullable=False),
    Column("applied", BigInteger()),
    Column("outcome", String(16), nullable=False),
    Column("conflicts", Integer(), nullable=False),
    Column("version", BigInteger()),
    Column("event_time", BigInteger(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    UniqueConstraint("entity", "log", "offset", name="uq_decision_place"),
    **OPTIONS,
)


def upgrade() -> None:
    """Make what is missing."""
    tables.create_all(op.get_bind())


def downgrade() -> None:
    """Remove what was made."""
    tables.drop_all(op.get_bind())
