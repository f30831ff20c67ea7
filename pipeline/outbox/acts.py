"""The table of what people did: who, when, to what, and why. A part of `schema`, where all tables are found.

Written by `noting` in the transaction of the act itself, so that there is never one without the other.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from pipeline.outbox.columns import OPTIONS, metadata, number, uuid, word

WHO_MAX: Final = 255

audit: Final = Table(
    "audit",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("time", BigInteger(), nullable=False),
    Column("who", String(WHO_MAX), nullable=False),
    Column("action", word(), nullable=False),
    Column("subject", word(), nullable=False),  # the table of what was acted on
    Column("subject_id", BigInteger(), nullable=False),
    Column("entity", uuid()),
    Column("region", uuid()),
    Column("reason", Text(), nullable=False),
    Index("ix_audit_entity", "entity"),
    Index("ix_audit_subject", "subject", "subject_id"),
    **OPTIONS,
)
