"""The database's failures in the project's two words, translated once, at the edge.

In: whatever SQLAlchemy or a driver raises inside `translated()`. Out: `TemporaryError` for what passes by
itself (a deadlock, a lock that waited too long, a lost or refused connection, a busy SQLite file, no free
connection in the pool); everything else goes on as it is. Texts name the cause only: no statement, no value.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, TimeoutError

from pipeline.core.distrust import distrust
from pipeline.core.errors import TemporaryError

PASSING: Final = frozenset(
    {
        1020,  # the row has changed since it was read (snapshot isolation)
        1021,  # the disk is full; waiting for someone to free some space
        1026,  # error while writing a file
        1037,  # 1037, 1038, 1041: out of memory
        1038,
        1040,  # too many connections
        1041,
        1047,  # a Galera node that is not ready
        1053,  # the server is shutting down
        1114,  # the table is full: so is the disk
        1129,  # this host is blocked after too many failed connections
        1135,  # no thread for one more connection
        1152,  # an aborted connection
        1158,  # 1158 to 1161: the network, while reading or writing
        1159,
        1160,
        1161,
        1184,  # an aborted connection
        1203,  # too many connections of this user
        1205,  # lock wait timeout
        1206,  # the lock table is full
        1213,  # deadlock
        1226,  # this user's limit of connections or queries
        1290,  # the server is read-only
        1317,  # interrupted
        1637,  # too many transactions at once
        1792,  # a read-only transaction
        1836,  # read-only mode
        1927,  # the connection was killed
        1969,  # the statement took too long
        2002,  # 2002 and 2003: can't connect
        2003,
        2006,  # the server has gone away
        2013,  # lost in mid-query
        2055,  # lost in mid-query
        3024,  # the statement took too long
        4031,  # disconnected for being idle
        8002,  # TiDB from here on; 8002, 8005, 8022: a conflict found at the commit, rolled back
        8005,
        8022,
        8027,  # 8027, 8028: tables were changed meanwhile
        8028,
        9001,  # 9001 to 9005: a part of the cluster is late, busy, or away
        9002,
        9003,
        9004,
        9005,
        9007,  # a conflict found at the commit
    }
)
"""Error numbers that may not come again, of MariaDB and MySQL (mysqld_error.h, errmsg.h), and of TiDB."""

FULL_DISK: Final = re.compile(r"no space left on device|(?:errno|errcode|got error):? \"?28\b", re.IGNORECASE)
"""What any error says that came of a full disk, whatever its number (1030, 1005, 3 among others)."""

BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})


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
    return number in PASSING or FULL_DISK.search(str(error.orig)) is not None
