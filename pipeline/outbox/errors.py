"""The database's failures in the project's two words, translated once, at the edge.

In: whatever SQLAlchemy or a driver raises inside `translated()`. Out: `TemporaryError` for what passes by
itself (a deadlock, a lock that waited too long, a lost or refused connection, a busy SQLite file, no free
connection in the pool); everything else goes on as it is. Texts name the cause only: no statement, no value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, TimeoutError

from pipeline.core.distrust import distrust
from pipeline.core.errors import TemporaryError

PASSING: Final = frozenset(
    {
        1040,  # too many connections
        1053,  # the server is shutting down
        1158,  # 1158 to 1161: the network, while reading or writing
        1159,
        1160,
        1161,
        1205,  # lock wait timeout
        1213,  # deadlock
        1317,  # interrupted
        1927,  # the connection was killed
        2002,  # 2002 and 2003: can't connect
        2003,
        2006,  # the server has gone away
        2013,  # lost in mid-query
    }
)
"""MariaDB's and MySQL's error numbers that may not come again (mysqld_error.h, errmsg.h)."""

BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class StaleRecord(TemporaryError):
    """Somebody else wrote the record, or the mapping, since it was loaded: load again, merge again."""


@contextmanager
def translated() -> Iterator[None]:
    """Raises `TemporaryError` in place of a failure that passes."""
    try:
        yield
    except DBAPIError as error:
        if is_passing(error):
            raise TemporaryError(f"database: {distrust(error) or error.orig}") from error
        raise
    except TimeoutError as error:
        raise TemporaryError("database: no free connection") from error


def is_passing(error: DBAPIError) -> bool:
    """Whether the same statement may succeed later."""
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        code: int | None = getattr(error.orig, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in BUSY  # the low byte is the primary code
    number = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return number in PASSING
