"""What people did and why; what the pages are found by. A copy of what the schema was then: this module never
changes again.

MariaDB and MySQL commit each statement by itself: what a start that died half-way has left there stays.
"""

from __future__ import annotations

import json
from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    select,
    update,
)

revision = "0007"
down_revision: str | None = "0006"

OPTIONS: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}
BATCH = 500
NAME_MAX = 255

tables = MetaData()

Table(
    "audit",
    tables,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("time", BigInteger(), nullable=False),
    Column("who", String(NAME_MAX), nullable=False),
    Column("action", String(16), nullable=False),
    Column("subject", String(16), nullable=False),
    Column("subject_id", BigInteger(), nullable=False),
    Column("entity", String(64)),
    Column("region", String(64)),
    Column("reason", Text(), nullable=False),
    Index("ix_audit_entity", "entity"),
    Index("ix_audit_subject", "subject", "subject_id"),
    **OPTIONS,
)

known = MetaData()
entity = Table(
    "entity",
    known,
    Column("uuid", String(64), primary_key=True),
    Column("kind", String(16)),
    Column("name_key", String(NAME_MAX)),
    Column("present", Boolean()),
    Column("body", LargeBinary()),
    Column("email_key", String(NAME_MAX)),
)
outbox = Table(
    "outbox",
    known,
    Column("id", Integer(), primary_key=True),
    Column("state", String(16)),
    Column("region", String(64)),
    Column("created_time", BigInteger()),
    Column("processed_time", BigInteger()),
)
hold = Table("hold", known, Column("id", Integer(), primary_key=True), Column("entity", String(64)))

INDEXES = (
    Index("ix_entity_name", entity.c.name_key),
    Index("ix_entity_email", entity.c.email_key),
    Index("ix_outbox_state", outbox.c.state),
    Index("ix_outbox_created", outbox.c.created_time),
    Index("ix_outbox_processed", outbox.c.processed_time, outbox.c.region, outbox.c.state),
    Index("ix_hold_entity", hold.c.entity),
)


def upgrade() -> None:
    """Make what is missing."""
    connection = op.get_bind()
    tables.create_all(connection)
    there = {column["name"] for column in inspect(connection).get_columns("entity")}
    if "email_key" not in there:
        op.add_column("entity", Column("email_key", String(NAME_MAX)))
    _fill(connection)
    inspector = inspect(connection)
    for index in [index for table in tables.sorted_tables for index in table.indexes] + list(INDEXES):
        assert index.table is not None  # noqa: S101
        if index.name not in {one["name"] for one in inspector.get_indexes(index.table.name)}:
            index.create(connection)


def downgrade() -> None:
    """Remove what was made."""
    connection = op.get_bind()
    for index in INDEXES:
        index.drop(connection)
    op.drop_column("entity", "email_key")
    tables.drop_all(connection)


def _fill(connection: Connection) -> None:
    """The users' addresses, out of their records."""
    last = ""
    while True:
        query = (
            select(entity.c.uuid, entity.c.body)
            .where(entity.c.kind == "User", entity.c.uuid > last)
            .order_by(entity.c.uuid)
            .limit(BATCH)
        )
        rows = connection.execute(query).all()
        for uuid, body in rows:
            text = json.loads(body)["body"]["fields"].get("email", {}).get("text", "")
            key = text.casefold()[:NAME_MAX].encode("utf-8", "replace").decode() or None
            connection.execute(update(entity).where(entity.c.uuid == uuid).values(email_key=key))
        if len(rows) < BATCH:
            return
        last = rows[-1].uuid
