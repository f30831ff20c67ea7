"""Alembic's environment: runs the versions on the connection that `migrate` hands over, in its transaction
(MariaDB has none for tables, and commits each by itself)."""

from __future__ import annotations

from alembic import context

from pipeline.outbox.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
