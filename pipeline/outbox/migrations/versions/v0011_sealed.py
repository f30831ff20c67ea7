"""Users' keys on their way between two regions' workers, sealed. A copy of what the schema was then: this
module never changes again.

MariaDB and MySQL commit each statement by itself: what a start that died half-way has left there stays.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text, UniqueConstraint

revision = "0011"
down_revision: str | None = "0010"

OPTIONS: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}

tables = MetaData()

Table(
    "sealed",
    tables,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("entity", String(64), nullable=False),
    Column("region", String(64), nullable=False),
    Column("field", String(64), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("asked_time", BigInteger(), nullable=False),
    Column("tries", Integer(), nullable=False),
    Column("sender", String(64)),
    Column("text", Text()),
    UniqueConstraint("entity", "region", "field", name="uq_sealed_question"),
    **OPTIONS,
)


def upgrade() -> None:
    """Make what is missing."""
    tables.create_all(op.get_bind())


def downgrade() -> None:
    """Remove what was made."""
    tables.drop_all(op.get_bind())
