"""Opens the database: one engine a process, handed to the stores.

In: a SQLAlchemy URL (`sqlite:////path/file.db`, `mysql+pymysql://…`). Out: an engine, and the only two ways
into a transaction, `reading` and `writing`. Called by the composition root and, for transactions, by every
store. SQLite takes its write lock when a writer begins (BEGIN IMMEDIATE), so that a transaction never fails
half-way because another one wrote first; threads of one process queue for it in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text

from pipeline.core.errors import TemporaryError
from pipeline.outbox.errors import translated
from pipeline.outbox.tables import upgrade

__all__ = ["Engine", "migrate", "open_database", "reading", "writing"]

BUSY_LIMIT_S: Final = 30
LOCK_LIMIT_S: Final = 10
IDLE_LIMIT_S: Final = 15
"""A process that is stopped in the middle of a transaction keeps its locks from its successor for so long."""
NETWORK_LIMIT_S: Final = 60
CONNECT_LIMIT_S: Final = 10
CONNECTIONS: Final = 8
CONNECTIONS_MORE: Final = 8
RECYCLE_S: Final = 1800
MIGRATE_LIMIT_S: Final = 120

_SESSION: Final = (
    f"SET SESSION innodb_lock_wait_timeout={LOCK_LIMIT_S}, "
    "sql_mode='STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
    f" /*M! , idle_transaction_timeout={IDLE_LIMIT_S} */"  # MySQL has none, and reads no such comment
)
_WRITE: Final = "region_sync_write"
_TURN: Final = "region_sync_turn"


def open_database(url: str) -> Engine:
    """An engine for `url`; nothing is connected yet. Raises `ValueError` for a database that can't serve."""
    target = make_url(url)
    backend = target.get_backend_name()
    if backend == "sqlite":
        return _open_sqlite(target)
    if backend in ("mysql", "mariadb"):
        return _open_mysql(target)
    raise ValueError(f"database URL scheme {target.drivername!r} is neither sqlite nor mysql+pymysql")


def migrate(url: str) -> None:
    """Bring the tables up to this release; again is no harm, and a newer one's stay as they are. Of several
    processes that start together one does it while the others wait. Raises `TemporaryError` when the
    database can't be reached, or when the others take longer than `MIGRATE_LIMIT_S`."""
    engine = open_database(url)
    try:
        if engine.dialect.name == "sqlite":
            with writing(engine) as connection:  # its lock is the file's
                upgrade(connection)
            return
        with translated(), engine.connect() as connection, _migrating(connection):
            upgrade(connection)
            connection.commit()
    finally:
        engine.dispose()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads. Raises `TemporaryError` for what passes."""
    with translated(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: committed at the end, or rolled back and nothing of it happened. Raises
    `TemporaryError` for what passes."""
    turn = engine.get_execution_options().get(_TURN, nullcontext())
    with translated(), turn, engine.connect() as connection:
        writer = connection.execution_options(**{_WRITE: True})
        with writer.begin():
            yield writer


@contextmanager
def _migrating(connection: Connection) -> Iterator[None]:
    """MariaDB's and MySQL's lock by name, held by this connection, through the commits in between."""
    name = f"region-sync.{connection.engine.url.database}"[:64]
    taken = connection.execute(text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": MIGRATE_LIMIT_S})
    if taken.scalar_one() != 1:
        raise TemporaryError("database: another process has been migrating it for too long")
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})


def _open_mysql(url: URL) -> Engine:
    """MariaDB or MySQL; `mariadb://` and `mysql://` mean PyMySQL, the one driver here."""
    return create_engine(
        url.set(drivername="mysql+pymysql").update_query_dict({"charset": "utf8mb4"}),
        isolation_level="READ COMMITTED",  # no gap locks: batches for different entities don't meet
        pool_pre_ping=True,
        pool_size=CONNECTIONS,
        max_overflow=CONNECTIONS_MORE,
        pool_timeout=BUSY_LIMIT_S,
        pool_recycle=RECYCLE_S,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_LIMIT_S,
            "read_timeout": NETWORK_LIMIT_S,
            "write_timeout": NETWORK_LIMIT_S,
            "init_command": _SESSION,
        },
    )


def _open_sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ValueError("a SQLite database in memory would forget everything: name a file")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        pool_size=CONNECTIONS,
        max_overflow=CONNECTIONS_MORE,
        pool_timeout=BUSY_LIMIT_S,
        hide_parameters=True,
        connect_args={"timeout": BUSY_LIMIT_S},
        execution_options={_TURN: threading.Lock()},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver opens no transaction by itself: `_begin_sqlite` does
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # what was acknowledged survives a power failure


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
