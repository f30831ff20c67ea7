"""The table of users' keys and logins on their way between two regions' workers, sealed. A part of `schema`,
where all tables are found. Rows are few: each goes when it has served, or by its age.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, Table, Text, UniqueConstraint

from pipeline.outbox.columns import OPTIONS, metadata, number, uuid

sealed: Final = Table(
    "sealed",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("entity", uuid(), nullable=False),  # canonical
    Column("region", uuid(), nullable=False),  # which asks, and alone can open it
    Column("field", uuid(), nullable=False),  # of the user; what stands for it is `fingerprint`
    Column("fingerprint", uuid(), nullable=False),
    Column("asked_time", BigInteger(), nullable=False),
    Column("tries", Integer(), nullable=False),  # how often it was asked before, in vain
    Column("sender", uuid()),  # the region that answered
    Column("text", Text()),  # null: nobody has answered
    UniqueConstraint("entity", "region", "field", name="uq_sealed_question"),
    **OPTIONS,
)
