"""The tables of what compares regions: gaps, scans, plans, proofs. What each is for: DESIGN, "Tables", and
the modules that use them.

Used through `schema`, which holds all the others. All times are integer milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint

from pipeline.outbox.columns import NAME_MAX, OPTIONS, body, metadata, number, uuid, word

gap: Final = Table(
    "gap",
    metadata,
    Column("region", uuid(), primary_key=True),
    Column("lost", BigInteger(), nullable=False),
    Column("filled", BigInteger(), nullable=False),
    Column("last_lost_time", BigInteger()),
    Column("silent_since", BigInteger()),
    Column("scan_needed_since", BigInteger()),
    **OPTIONS,
)

lease: Final = Table(
    "lease",
    metadata,
    Column("name", String(NAME_MAX), primary_key=True),
    Column("owner", uuid(), nullable=False),
    Column("until_time", BigInteger(), nullable=False),
    **OPTIONS,
)

scan: Final = Table(
    "scan",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("region", uuid(), nullable=False),
    Column("lease", uuid(), unique=True),  # the region, while the scan is not over: so there is one at a time
    Column("owner", uuid(), nullable=False),
    Column("state", word(), nullable=False),
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
    **OPTIONS,
)

scan_page: Final = Table(
    "scan_page",
    metadata,
    Column("scan", BigInteger(), primary_key=True, autoincrement=False),
    Column("kind", word(), primary_key=True),
    Column("page", Integer(), primary_key=True, autoincrement=False),
    Column("total", BigInteger(), nullable=False),
    Column("listed", Integer(), nullable=False),
    Column("digests", body(), nullable=False),  # of the UUIDs that it listed, 8 bytes each
    **OPTIONS,
)

proof: Final = Table(
    "proof",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("time", BigInteger(), nullable=False),
    Column("region", uuid(), nullable=False),
    Column("root", uuid(), nullable=False),
    Column("domains", BigInteger(), nullable=False),
    Column("accounts", BigInteger(), nullable=False),
    Column("users", BigInteger(), nullable=False),
    Column("equal", Boolean(), nullable=False),
    Column("differences", BigInteger(), nullable=False),
    Index("ix_proof_time", "time"),
    **OPTIONS,
)

plan: Final = Table(
    "plan",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("hash", word()),  # null while it is made
    Column("region", uuid(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    Column("released_time", BigInteger()),  # when a person had it carried out
    Column("matched", BigInteger(), nullable=False),
    Column("different", BigInteger(), nullable=False),
    Column("missing", BigInteger(), nullable=False),
    Column("extra", BigInteger(), nullable=False),
    Column("conflict", BigInteger(), nullable=False),
    Column("calls", BigInteger(), nullable=False),
    Column("seconds", BigInteger(), nullable=False),
    Index("ix_plan_region", "region", "id"),
    **OPTIONS,
)

plan_step: Final = Table(
    "plan_step",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("plan", BigInteger(), nullable=False),
    Column("place", BigInteger(), nullable=False),  # where its calls come
    Column("region", uuid(), nullable=False),
    Column("entity", uuid(), nullable=False),
    Column("kind", word(), nullable=False),
    Column("fingerprint", uuid(), nullable=False),
    Column("wanted", body(), nullable=False),  # what the region will hold, as JSON, `null` for absent
    Column("body", body(), nullable=False),  # the step, for a person
    Column("state", word(), nullable=False),
    Column("message", Text()),
    UniqueConstraint("plan", "entity", name="uq_plan_step_entity"),
    Index("ix_plan_step_order", "plan", "state", "place", "id"),
    Index("ix_plan_step_released", "region", "state", "entity"),
    **OPTIONS,
)
