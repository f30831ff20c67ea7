"""The tables, declared once: names, columns, keys. What each is for and who writes it: DESIGN, "Tables".

Used by every module of this package; the migrations are held against it by a test. All times are integer
milliseconds since the epoch, UTC. Text is compared byte for byte (`utf8mb4_bin`), since CloudStack takes any
string as a domain's UUID; where case does not matter there is a folded copy (`name_key`).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from pipeline.outbox.acts import audit
from pipeline.outbox.columns import (
    MESSAGE_MAX,
    NAME_MAX,
    OPTIONS,
    RESULT_MAX,
    body,
    metadata,
    number,
    uuid,
    word,
)
from pipeline.outbox.journal_schema import decision, pulse
from pipeline.outbox.reconcile_schema import gap, lease, plan, plan_step, proof, scan, scan_page
from pipeline.outbox.sealed_schema import sealed

__all__ = [
    "MESSAGE_MAX",
    "NAME_MAX",
    "RESULT_MAX",
    "applied",
    "attempt",
    "audit",
    "conflict",
    "dead_letter",
    "decision",
    "entity",
    "futile",
    "gap",
    "hold",
    "lease",
    "metadata",
    "outbox",
    "plan",
    "plan_step",
    "proof",
    "pulse",
    "region",
    "removal",
    "rmap",
    "scan",
    "scan_page",
    "sealed",
    "watermark",
]

region: Final = Table(
    "region",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("name", uuid(), nullable=False, unique=True),
    Column("host", String(NAME_MAX), nullable=False),
    Column("root_url", String(NAME_MAX), nullable=False),
    Column("user_name", String(NAME_MAX), nullable=False),
    Column("password", String(NAME_MAX), nullable=False),  # where the secret is to be found, never the secret
    Column("is_master", Boolean(), nullable=False),
    Column("active", Boolean(), nullable=False),
    Column("mode", word(), nullable=False),
    **OPTIONS,
)

entity: Final = Table(
    "entity",
    metadata,
    Column("uuid", uuid(), primary_key=True),  # canonical
    Column("kind", word(), nullable=False),
    Column("name", String(NAME_MAX), nullable=False),
    Column("name_key", String(NAME_MAX), nullable=False),  # the name without case
    Column("parent", uuid(), nullable=False),  # canonical
    Column("present", Boolean(), nullable=False),
    Column("version", BigInteger(), nullable=False),
    Column("revision", BigInteger(), nullable=False),  # counts the writes of this row
    Column("body", body(), nullable=False),  # the record, as pipeline.wire writes it
    Column("created", BigInteger(), nullable=False),
    Column("modified", BigInteger(), nullable=False),
    Column("marked", Text()),  # why it is stuck in a region
    Column("email_key", String(NAME_MAX)),  # a user's e-mail address without case
    Index("ix_entity_natural", "parent", "kind", "name_key"),
    Index("ix_entity_name", "name_key"),
    Index("ix_entity_email", "email_key"),
    **OPTIONS,
)

rmap: Final = Table(
    "rmap",
    metadata,
    Column("source", uuid(), primary_key=True),  # canonical
    Column("region_id", uuid(), primary_key=True),  # the region's name
    Column("uuid", uuid(), nullable=False),  # there
    Column("kind", word(), nullable=False),
    Column("parent", uuid()),  # canonical, as confirmed there
    Column("created", BigInteger(), nullable=False),
    Column("modified", BigInteger(), nullable=False),
    Column("removed", BigInteger()),
    Column("confirmed", BigInteger()),  # null: never seen there
    UniqueConstraint("region_id", "uuid", name="uq_rmap_local"),
    Index("ix_rmap_parent", "region_id", "parent"),
    **OPTIONS,
)

applied: Final = Table(
    "applied",
    metadata,
    Column("entity", uuid(), primary_key=True),
    Column("region", uuid(), primary_key=True),
    Column("version", BigInteger(), nullable=False),
    Column("values", body(), nullable=False),  # the fields as JSON, `null` for absent
    Column("time", BigInteger(), nullable=False),
    **OPTIONS,
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("routing_key", String(NAME_MAX), nullable=False),
    Column("body", body(), nullable=False),  # the message, byte for byte
    Column("created_time", BigInteger(), nullable=False),
    Column("published_time", BigInteger()),
    Column("processed_time", BigInteger()),
    Column("result", String(RESULT_MAX)),
    Column("message", Text()),
    Column("entity", uuid(), nullable=False),
    Column("kind", word(), nullable=False),
    Column("version", BigInteger(), nullable=False),
    Column("region", uuid(), nullable=False),
    Column("state", word(), nullable=False),
    Column("attempts", Integer(), nullable=False),
    Column("due_time", BigInteger(), nullable=False),
    Column("waits_for", uuid()),
    Column("revokes", Boolean()),  # it takes access away; null: written before that was told
    UniqueConstraint("entity", "region", "version", name="uq_outbox_desired"),
    Index("ix_outbox_due", "region", "state", "due_time"),
    Index("ix_outbox_waits", "region", "waits_for"),
    Index("ix_outbox_revokes", "region", "revokes", "state", "due_time"),
    Index("ix_outbox_state", "state"),  # InnoDB's and SQLite's indexes end with the key: in its order
    Index("ix_outbox_created", "created_time"),
    Index("ix_outbox_processed", "processed_time", "region", "state"),
    **OPTIONS,
)

attempt: Final = Table(
    "attempt",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("outbox_id", BigInteger(), nullable=False),
    Column("command", String(64), nullable=False),
    Column("status", Integer()),
    Column("error", Text()),
    Column("ms", Integer(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    Index("ix_attempt_outbox", "outbox_id"),
    **OPTIONS,
)

conflict: Final = Table(
    "conflict",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("entity", uuid(), nullable=False),
    Column("field", uuid(), nullable=False),
    Column("base", Text()),
    Column("kept", Text(), nullable=False),
    Column("kept_time", BigInteger(), nullable=False),
    Column("kept_region", uuid(), nullable=False),
    Column("lost", Text(), nullable=False),
    Column("lost_time", BigInteger(), nullable=False),
    Column("lost_region", uuid(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    Column("reason", Text()),
    Index("ix_conflict_entity", "entity"),
    Index("ix_conflict_region", "lost_region", "time"),
    **OPTIONS,
)

hold: Final = Table(
    "hold",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("entity", uuid(), nullable=False),
    Column("region", uuid(), nullable=False),
    Column("outbox_id", BigInteger(), nullable=False, unique=True),
    Column("reason", Text(), nullable=False),
    Column("created_time", BigInteger(), nullable=False),
    Column("decided_time", BigInteger()),
    Column("decision", word()),
    Column("note", Text()),
    Column("until", BigInteger()),  # quarantined until then; null: never was
    Column("state_before", word()),  # the state that it had before the quarantine
    Index("ix_hold_entity", "entity"),
    **OPTIONS,
)

removal: Final = Table(
    "removal",
    metadata,
    Column("outbox_id", BigInteger(), primary_key=True, autoincrement=False),
    Column("region", uuid(), nullable=False),
    Column("time", BigInteger(), nullable=False),  # when it was let through
    Index("ix_removal_window", "region", "time"),
    **OPTIONS,
)

futile: Final = Table(
    "futile",
    metadata,
    Column("outbox_id", BigInteger(), primary_key=True, autoincrement=False),
    Column("entity", uuid(), nullable=False),
    Column("region", uuid(), nullable=False),
    Column("difference", Text(), nullable=False),
    Column("seen", body(), nullable=False),  # the fields after the calls as JSON, `null` for absent
    Column("times", Integer(), nullable=False),
    Index("ix_futile_entity", "entity", "region"),
    **OPTIONS,
)

dead_letter: Final = Table(
    "dead_letter",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("topic", String(NAME_MAX), nullable=False),
    Column("partition", Integer(), nullable=False),
    Column("offset", BigInteger(), nullable=False),
    Column("region", uuid(), nullable=False),
    Column("routing_key", String(NAME_MAX), nullable=False),
    Column("reason", Text(), nullable=False),
    Column("body", body(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    UniqueConstraint("topic", "partition", "offset", name="uq_dead_letter_place"),
    **OPTIONS,
)

watermark: Final = Table(
    "watermark",
    metadata,
    Column("name", String(NAME_MAX), primary_key=True),
    Column("value", BigInteger(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    **OPTIONS,
)
