"""The database, as the commands open it, and their clock.

In: settings. Out: an engine over tables of this version, or one sentence. Called by every command that needs
what is remembered.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.cli.failures import CommandError

if TYPE_CHECKING:
    from pipeline.outbox.engine import Engine
    from pipeline.settings import Settings


@contextmanager
def opened(settings: Settings) -> Iterator[Engine]:
    """The database. Raises `CommandError` when it holds no tables yet."""
    from pipeline.outbox.engine import open_database
    from pipeline.outbox.lookup import tables
    from pipeline.outbox.tables import Tables

    state = tables(settings.database.get_secret_value())
    if state is Tables.MISSING:
        raise CommandError("the database has no tables yet: `region-sync migrate` makes them")
    if state is Tables.OLDER:
        raise CommandError(
            "the database's tables are of an older version: `region-sync migrate` brings them up"
        )
    engine = open_database(settings.database.get_secret_value())
    try:
        yield engine
    finally:
        engine.dispose()


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
