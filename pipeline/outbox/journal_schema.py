"""The tables of what is looked at and soon forgotten: what the hub decided about each observation, and the
heartbeats of the regions' workers. A part of `schema`, where all tables are found.

Rows are small. Of decisions there is one for every observation: they are deleted by age and number
(`decisions`).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, String, Table, Text, UniqueConstraint

from pipeline.outbox.columns import OPTIONS, metadata, number, uuid, word

CAUSE_MAX: Final = 64

decision: Final = Table(
    "decision",
    metadata,
    Column("id", number(), primary_key=True, autoincrement=True),
    Column("entity", uuid(), nullable=False),  # canonical
    Column("log", uuid(), nullable=False),  # which log of observations, and which partition of it
    Column("offset", BigInteger(), nullable=False),
    Column("kind", word(), nullable=False),
    Column("region", uuid(), nullable=False),
    Column("cause", String(CAUSE_MAX), nullable=False),  # the event's type, or what else made it be read
    Column("applied", BigInteger()),  # the version that it is the read-back of
    Column("outcome", word(), nullable=False),
    Column("conflicts", Integer(), nullable=False),
    Column("version", BigInteger()),  # of the desired states that it led to
    Column("event_time", BigInteger(), nullable=False),
    Column("time", BigInteger(), nullable=False),
    # One observation is one row; an account's may also found its user. Rows of an entity are found by it too.
    UniqueConstraint("entity", "log", "offset", name="uq_decision_place"),
    **OPTIONS,
)

pulse: Final = Table(
    "pulse",
    metadata,
    Column("region", uuid(), primary_key=True),
    Column("worker", uuid(), primary_key=True),
    Column("time", BigInteger(), nullable=False),
    Column("lanes", Integer(), nullable=False),
    Column("busy", Integer(), nullable=False),
    Column("reachable", Boolean()),  # null: no call has ended yet
    Column("since", BigInteger()),
    Column("reason", Text()),  # why it is not reachable, or what is tried again
    **OPTIONS,
)
