"""Of which release the tables in a database are, and how they are brought up to this one.

In: a connection, in a transaction of the caller's. Out: a word, or the tables as this release knows them.
Called by `engine` and `lookup`. A revision that this release does not know is a newer one's: migrations only
add, so that during an upgrade the processes of the release before it go on, and start, with the new tables.
"""

from __future__ import annotations

from enum import StrEnum

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


class Tables(StrEnum):
    """What a database holds of ours, compared with this release."""

    MISSING = "missing"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


def standing(connection: Connection) -> Tables:
    """Makes nothing."""
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        return Tables.MISSING
    scripts = ScriptDirectory.from_config(_config())
    if found == scripts.get_current_head():
        return Tables.CURRENT
    known = {script.revision for script in scripts.walk_revisions()}
    return Tables.OLDER if found in known else Tables.NEWER


def upgrade(connection: Connection) -> None:
    """Again is no harm; newer tables are left as they are."""
    if standing(connection) is Tables.NEWER:
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "pipeline.outbox:migrations")
    return config
