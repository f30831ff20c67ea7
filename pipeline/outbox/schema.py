"""The tables, declared once: names, columns, keys. What each is for and who writes it: DESIGN, "Tables".

Used by every module of this package; the migrations are held against it by a test. All times are integer
milliseconds since the epoch, UTC. Text is compared byte for byte (`utf8mb4_bin`), since CloudStack takes any
string as a domain's UUID; where case does not matter there is a folded copy (`name_key`).
"""

from __future__ import annotations

from typing import Any, Final

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
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

UUID_MAX: Final = 64
NAME_MAX: Final = 255
MESSAGE_MAX: Final = 4000
"""Characters kept of a message; a TEXT column takes 16,383 of the widest."""
RESULT_MAX: Final = 64

metadata: Final = MetaData()

_OPTIONS: Final[dict[str, Any]] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def _number() -> TypeEngine[int]:
    """An automatic key: SQLite counts up only what it calls INTEGER."""
    return BigInteger().with_variant(Integer(), "sqlite")


def _body() -> TypeEngine[bytes]:
    return LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")


def _uuid() -> String:
    return String(UUID_MAX)


def _word() -> String:
    return String(16)


region: Final = Table(
    "region",
    metadata,
    Column("id", _number(), primary_key=True, autoincrement=True),
    Column("name", _uuid(), nullable=False, unique=True),
    Column("host", String(NAME_MAX), nullable=False),
    Column("root_url", String(NAME_MAX), nullable=False),
    Column("user_name", String(NAME_MAX), nullable=False),
    Column("password", String(NAME_MAX), nullable=False),  # where the secret is to be found, never the secret
    Column("is_master", Boolean(), nullable=False),
    Column("active", Boolean(), nullable=False),
    Column("mode", _word(), nullable=False),
    **_OPTIONS,
)

entity: Final = Table(
    "entity",
    metadata,
    Column("uuid", _uuid(), primary_key=True),  # canonical
    Column("kind", _word(), nullable=False),
    Column("name", String(NAME_MAX), nullable=False),
    Column("name_key", String(NAME_MAX), nullable=False),  # the name without case
    Column("parent", _uuid(), nullable=False),  # canonical
    Column("present", Boolean(), nullable=False),
    Column("version", BigInteger(), nullable=False),
    Column("revision", BigInteger(), nullable=False),  # counts the writes of this row
    Column("body", _body(), nullable=False),  # the record, as pipeline.wire writes it
    Column("created", BigInteger(), nullable=False),
    Column("modified", BigInteger(), nullable=False),
    Column("marked", Text()),  # why it is stuck in a region
    Index("ix_entity_natural", "parent", "kind", "name_key"),
    **_OPTIONS,
)

rmap: Final = Table(
    "rmap",
    metadata,
    Column("source", _uuid(), primary_key=True),  # canonical
    Column("region_id", _uuid(), primary_key=True),  # the region's name
    Column("uuid", _uuid(), nullable=False),  # there
    Column("kind", _word(), nullable=False),
    Column("parent", _uuid()),  # canonical, as confirmed there
    Column("created", BigInteger(), nullable=False),
    Column("modified", BigInteger(), nullable=False),
    Column("removed", BigInteger()),
    Column("confirmed", BigInteger()),  # null: never seen there
    UniqueConstraint("region_id", "uuid", name="uq_rmap_local"),
    Index("ix_rmap_parent", "region_id", "parent"),
    **_OPTIONS,
)

applied: Final = Table(
    "applied",
    metadata,
    Column("entity", _uuid(), primary_key=True),
    Column("region", _uuid(), primary_key=True),
    Column("version", BigInteger(), nullable=False),
    Column("values", _body(), nullable=False),  # the fields as JSON, `null` for absent
    Column("time", BigInteger(), nullable=False),
    **_OPTIONS,
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", _number(), primary_key=True, autoincrement=True),
    Column("routing_key", String(NAME_MAX), nullable=False),
    Column("body", _body(), nullable=False),  # the message, byte for byte
    Column("created_time", BigInteger(), nullable=False),
    Column("published_time", BigInteger()),
    Column("processed_time", BigInteger()),
    Column("result", String(RESULT_MAX)),
    Column("message", Text()),
    Column("entity", _uuid(), nullable=False),
    Column("kind", _word(), nullable=False),
    Column("version", BigInteger(), nullable=False),
    Column("region", _uuid(), nullable=False),
    Column("state", _word(), nullable=False),
    Column("attempts", Integer(), nullable=False),
    Column("due_time", BigInteger(), nullable=False),
    Column("waits_for", _uuid()),
    UniqueConstraint("entity", "region", "version", name="uq_outbox_desired"),
    Index("ix_outbox_due", "region", "state", "due_time"),
    Index("ix_outbox_waits", "region", "waits_for"),
    **_OPTIONS,
)

attempt: Final = Table(
    "attempt",
    metadata,
    Column("id", _number(), primary_key=True, autoincrement=True),
    Column("outbox_id", BigInteger(), nullable=False),
    Column("command", String(64), nullable=False),
    Column("status", Integer()),
    Column("error", Text()),
    Column("ms", Integer(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    Index("ix_attempt_outbox", "outbox_id"),
    **_OPTIONS,
)

conflict: Final = Table(
    "conflict",
    metadata,
    Column("id", _number(), primary_key=True, autoincrement=True),
    Column("entity", _uuid(), nullable=False),
    Column("field", _uuid(), nullable=False),
    Column("base", Text()),
    Column("kept", Text(), nullable=False),
    Column("kept_time", BigInteger(), nullable=False),
    Column("kept_region", _uuid(), nullable=False),
    Column("lost", Text(), nullable=False),
    Column("lost_time", BigInteger(), nullable=False),
    Column("lost_region", _uuid(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    Index("ix_conflict_entity", "entity"),
    **_OPTIONS,
)

hold: Final = Table(
    "hold",
    metadata,
    Column("id", _number(), primary_key=True, autoincrement=True),
    Column("entity", _uuid(), nullable=False),
    Column("region", _uuid(), nullable=False),
    Column("outbox_id", BigInteger(), nullable=False, unique=True),
    Column("reason", Text(), nullable=False),
    Column("created_time", BigInteger(), nullable=False),
    Column("decided_time", BigInteger()),
    Column("decision", _word()),
    Column("note", Text()),
    **_OPTIONS,
)

dead_letter: Final = Table(
    "dead_letter",
    metadata,
    Column("id", _number(), primary_key=True, autoincrement=True),
    Column("topic", String(NAME_MAX), nullable=False),
    Column("partition", Integer(), nullable=False),
    Column("offset", BigInteger(), nullable=False),
    Column("region", _uuid(), nullable=False),
    Column("routing_key", String(NAME_MAX), nullable=False),
    Column("reason", Text(), nullable=False),
    Column("body", _body(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    UniqueConstraint("topic", "partition", "offset", name="uq_dead_letter_place"),
    **_OPTIONS,
)

watermark: Final = Table(
    "watermark",
    metadata,
    Column("name", String(NAME_MAX), primary_key=True),
    Column("value", BigInteger(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    **_OPTIONS,
)

scan: Final = Table(
    "scan",
    metadata,
    Column("id", _number(), primary_key=True, autoincrement=True),
    Column("region", _uuid(), nullable=False),
    Column(
        "lease", _uuid(), unique=True
    ),  # the region, while the scan is not over: so there is one at a time
    Column("owner", _uuid(), nullable=False),
    Column("state", _word(), nullable=False),
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
    Column("suspended", Text()),  # why nothing was concluded about what is missing
    Index("ix_scan_region", "region", "id"),
    **_OPTIONS,
)

scan_page: Final = Table(
    "scan_page",
    metadata,
    Column("scan", BigInteger(), primary_key=True, autoincrement=False),
    Column("kind", _word(), primary_key=True),
    Column("page", Integer(), primary_key=True, autoincrement=False),
    Column("total", BigInteger(), nullable=False),
    Column("listed", Integer(), nullable=False),
    Column("digests", _body(), nullable=False),  # of the UUIDs that it listed, 8 bytes each
    **_OPTIONS,
)

proof: Final = Table(
    "proof",
    metadata,
    Column("id", _number(), primary_key=True, autoincrement=True),
    Column("time", BigInteger(), nullable=False),
    Column("region", _uuid(), nullable=False),
    Column("root", _uuid(), nullable=False),
    Column("domains", BigInteger(), nullable=False),
    Column("accounts", BigInteger(), nullable=False),
    Column("users", BigInteger(), nullable=False),
    Column("equal", Boolean(), nullable=False),
    Column("differences", BigInteger(), nullable=False),
    Index("ix_proof_time", "time"),
    **_OPTIONS,
)
