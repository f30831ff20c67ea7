"""The first tables. A copy of what the schema was then: this module never changes again.

MariaDB and MySQL commit each table by itself, so a start that died half-way left some of them: what is there
stays, what is missing is made.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
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

revision = "0001"
down_revision: str | None = None

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
    "region",
    tables,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("name", UUID, nullable=False, unique=True),
    Column("host", String(255), nullable=False),
    Column("root_url", String(255), nullable=False),
    Column("user_name", String(255), nullable=False),
    Column("password", String(255), nullable=False),
    Column("is_master", Boolean(), nullable=False),
    Column("active", Boolean(), nullable=False),
    Column("mode", WORD, nullable=False),
    **OPTIONS,
)

Table(
    "entity",
    tables,
    Column("uuid", UUID, primary_key=True),
    Column("kind", WORD, nullable=False),
    Column("name", String(255), nullable=False),
    Column("name_key", String(255), nullable=False),
    Column("parent", UUID, nullable=False),
    Column("present", Boolean(), nullable=False),
    Column("version", BigInteger(), nullable=False),
    Column("revision", BigInteger(), nullable=False),
    Column("body", BODY, nullable=False),
    Column("created", BigInteger(), nullable=False),
    Column("modified", BigInteger(), nullable=False),
    Column("marked", Text()),
    Index("ix_entity_natural", "parent", "kind", "name_key"),
    **OPTIONS,
)

Table(
    "rmap",
    tables,
    Column("source", UUID, primary_key=True),
    Column("region_id", UUID, primary_key=True),
    Column("uuid", UUID, nullable=False),
    Column("kind", WORD, nullable=False),
    Column("parent", UUID),
    Column("created", BigInteger(), nullable=False),
    Column("modified", BigInteger(), nullable=False),
    Column("removed", BigInteger()),
    Column("confirmed", BigInteger()),
    UniqueConstraint("region_id", "uuid", name="uq_rmap_local"),
    Index("ix_rmap_parent", "region_id", "parent"),
    **OPTIONS,
)

Table(
    "applied",
    tables,
    Column("entity", UUID, primary_key=True),
    Column("region", UUID, primary_key=True),
    Column("version", BigInteger(), nullable=False),
    Column("values", BODY, nullable=False),
    Column("time", BigInteger(), nullable=False),
    **OPTIONS,
)

Table(
    "outbox",
    tables,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("routing_key", String(255), nullable=False),
    Column("body", BODY, nullable=False),
    Column("created_time", BigInteger(), nullable=False),
    Column("published_time", BigInteger()),
    Column("processed_time", BigInteger()),
    Column("result", String(64)),
    Column("message", Text()),
    Column("entity", UUID, nullable=False),
    Column("kind", WORD, nullable=False),
    Column("version", BigInteger(), nullable=False),
    Column("region", UUID, nullable=False),
    Column("state", WORD, nullable=False),
    Column("attempts", Integer(), nullable=False),
    Column("due_time", BigInteger(), nullable=False),
    Column("waits_for", UUID),
    UniqueConstraint("entity", "region", "version", name="uq_outbox_desired"),
    Index("ix_outbox_due", "region", "state", "due_time"),
    Index("ix_outbox_waits", "region", "waits_for"),
    **OPTIONS,
)

Table(
    "attempt",
    tables,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("outbox_id", BigInteger(), nullable=False),
    Column("command", String(64), nullable=False),
    Column("status", Integer()),
    Column("error", Text()),
    Column("ms", Integer(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    Index("ix_attempt_outbox", "outbox_id"),
    **OPTIONS,
)

Table(
    "conflict",
    tables,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("entity", UUID, nullable=False),
    Column("field", UUID, nullable=False),
    Column("base", Text()),
    Column("kept", Text(), nullable=False),
    Column("kept_time", BigInteger(), nullable=False),
    Column("kept_region", UUID, nullable=False),
    Column("lost", Text(), nullable=False),
    Column("lost_time", BigInteger(), nullable=False),
    Column("lost_region", UUID, nullable=False),
    Column("time", BigInteger(), nullable=False),
    Index("ix_conflict_entity", "entity"),
    **OPTIONS,
)

Table(
    "hold",
    tables,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("entity", UUID, nullable=False),
    Column("region", UUID, nullable=False),
    Column("outbox_id", BigInteger(), nullable=False, unique=True),
    Column("reason", Text(), nullable=False),
    Column("created_time", BigInteger(), nullable=False),
    Column("decided_time", BigInteger()),
    Column("decision", WORD),
    Column("note", Text()),
    **OPTIONS,
)

Table(
    "dead_letter",
    tables,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("topic", String(255), nullable=False),
    Column("partition", Integer(), nullable=False),
    Column("offset", BigInteger(), nullable=False),
    Column("region", UUID, nullable=False),
    Column("routing_key", String(255), nullable=False),
    Column("reason", Text(), nullable=False),
    Column("body", BODY, nullable=False),
    Column("time", BigInteger(), nullable=False),
    UniqueConstraint("topic", "partition", "offset", name="uq_dead_letter_place"),
    **OPTIONS,
)

Table(
    "watermark",
    tables,
    Column("name", String(255), primary_key=True),
    Column("value", BigInteger(), nullable=False),
    Column("time", BigInteger(), nullable=False),
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
    """Remove everything."""
    tables.drop_all(op.get_bind())
