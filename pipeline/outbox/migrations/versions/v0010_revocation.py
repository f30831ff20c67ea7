"""Which desired states take access away. A copy of what the schema was then, and of how that is judged: this
module never changes again.

Rows that are not at their end are judged by their messages. MariaDB and MySQL commit each statement by
itself: what a start that died half-way has left there stays.
"""

from __future__ import annotations

import json

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
    inspect,
    select,
    update,
)

revision = "0010"
down_revision: str | None = "0009"

BATCH = 500
OPEN = ("pending", "published", "held", "dead")
ACCESS = {"locked": 1, "disabled": 0}

outbox = Table(
    "outbox",
    MetaData(),
    Column("id", Integer(), primary_key=True),
    Column("body", LargeBinary()),
    Column("region", String(64)),
    Column("state", String(16)),
    Column("due_time", BigInteger()),
    Column("revokes", Boolean()),
)
INDEX = Index("ix_outbox_revokes", outbox.c.region, outbox.c.revokes, outbox.c.state, outbox.c.due_time)


def upgrade() -> None:
    """Make what is missing."""
    connection = op.get_bind()
    if "revokes" not in {column["name"] for column in inspect(connection).get_columns("outbox")}:
        op.add_column("outbox", Column("revokes", Boolean()))
    _fill(connection)
    if INDEX.name not in {one["name"] for one in inspect(connection).get_indexes("outbox")}:
        INDEX.create(connection)


def downgrade() -> None:
    """Remove what was made."""
    INDEX.drop(op.get_bind())
    op.drop_column("outbox", "revokes")


def _fill(connection: Connection) -> None:
    last = 0
    while True:
        query = (
            select(outbox.c.id, outbox.c.body)
            .where(outbox.c.id > last, outbox.c.state.in_(OPEN), outbox.c.revokes.is_(None))
            .order_by(outbox.c.id)
            .limit(BATCH)
        )
        rows = connection.execute(query).all()
        for id_, body in rows:
            desired = json.loads(body)["body"]
            revokes = _access(desired["fields"]) < _access(desired["known"])
            revokes = revokes or (desired["fields"] is None and desired["known"] is not None)
            connection.execute(update(outbox).where(outbox.c.id == id_).values(revokes=revokes))
        if len(rows) < BATCH:
            return
        last = rows[-1].id


def _access(fields: dict[str, str] | None) -> int:
    return 0 if fields is None else ACCESS.get(fields.get("state", "enabled"), 2)
