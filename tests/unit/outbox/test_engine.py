"""Opening a SQLite database, sharing it, and telling passing failures from the rest."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymysql
import pytest
from sqlalchemy import Engine, create_engine, func, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from pipeline.core.errors import TemporaryError
from pipeline.outbox import schema
from pipeline.outbox.engine import open_database, reading, writing
from pipeline.outbox.errors import is_passing, translated


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://host/db"])
def test_a_database_that_cannot_serve_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"SQLite database in memory|neither sqlite nor"):
        open_database(url)


def test_the_folder_is_made(tmp_path: Path) -> None:
    opened = open_database(f"sqlite:///{tmp_path / 'a' / 'b' / 'file.db'}")
    with writing(opened) as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    opened.dispose()
    assert (tmp_path / "a" / "b" / "file.db").exists()


def test_mysql_addresses_mean_pymysql() -> None:
    for scheme in ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"):
        opened = open_database(f"{scheme}://user:secret@host/db")
        assert (opened.dialect.name, opened.dialect.driver) == ("mysql", "pymysql")
        assert "secret" not in repr(opened)


def test_what_is_committed_survives_a_power_failure(engine: Engine) -> None:
    with reading(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2


def test_a_failed_transaction_leaves_nothing(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(insert(schema.watermark).values(name="a", value=1, time=1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(schema.watermark)).scalar_one() == 0


def test_writers_take_turns(engine: Engine, url: str) -> None:
    """Read, then write, in one transaction, from threads of two engines (as of two processes): no lost update
    and no "database is locked"."""
    other = open_database(url)
    with writing(engine) as connection:
        connection.execute(insert(schema.watermark).values(name="count", value=0, time=0))

    def add(which: int) -> None:
        for _ in range(20):
            with writing((engine, other)[which % 2]) as connection:
                value = connection.execute(select(schema.watermark.c.value)).scalar_one()
                connection.execute(schema.watermark.update().values(value=value + 1))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(6)))

    with reading(other) as connection:
        assert connection.execute(select(schema.watermark.c.value)).scalar_one() == 120
    other.dispose()


def test_a_reader_does_not_wait_for_a_writer(engine: Engine) -> None:
    inside, done = threading.Event(), threading.Event()

    def write() -> None:
        with writing(engine) as connection:
            connection.execute(insert(schema.watermark).values(name="a", value=1, time=1))
            inside.set()
            assert done.wait(10)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(write)
        assert inside.wait(10)
        with reading(engine) as connection:
            assert connection.execute(select(func.count()).select_from(schema.watermark)).scalar_one() == 0
        done.set()
        future.result(10)


def test_a_busy_file_is_a_temporary_error(engine: Engine, tmp_path: Path) -> None:
    impatient = create_engine(f"sqlite:///{tmp_path / 'outbox.db'}", connect_args={"timeout": 0})

    def write() -> None:
        with translated(), impatient.begin() as connection:
            connection.execute(insert(schema.watermark).values(name="b", value=1, time=1))

    with writing(engine), pytest.raises(TemporaryError, match="locked"):
        write()
    write()
    impatient.dispose()


def test_an_empty_pool_is_a_temporary_error(tmp_path: Path) -> None:
    small = create_engine(f"sqlite:///{tmp_path / 'x.db'}", pool_size=1, max_overflow=0, pool_timeout=0.01)
    with small.connect(), pytest.raises(TemporaryError, match="no free connection"), reading(small):
        pass
    small.dispose()


def test_a_defect_of_ours_is_not_translated(engine: Engine) -> None:
    def twice() -> None:
        with writing(engine) as connection:
            connection.execute(insert(schema.watermark), [{"name": "a", "value": 1, "time": 1}] * 2)

    def unknown_table() -> None:
        with reading(engine) as connection:
            connection.execute(text("SELECT * FROM nowhere"))

    with pytest.raises(IntegrityError):
        twice()
    with pytest.raises(OperationalError):
        unknown_table()


def test_errors_show_no_values(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(insert(schema.watermark).values(name="a private value", value=None, time=1))

    with pytest.raises(IntegrityError) as caught:
        fail()
    assert "a private value" not in str(caught.value)


def test_the_low_byte_of_sqlites_code_decides() -> None:
    assert sqlite3.SQLITE_BUSY_SNAPSHOT & 0xFF == sqlite3.SQLITE_BUSY


@pytest.mark.parametrize(
    ("number", "words", "passes"),
    [
        (1030, 'Got error 28 "No space left on device" from storage engine InnoDB', True),
        (3, "Error writing file './x' (Errcode: 28 \"No space left on device\")", True),
        (1114, "The table 'outbox' is full", True),
        (1290, "The MariaDB server is running with the --read-only option", True),
        (1040, "Too many connections", True),
        (4031, "The client was disconnected by the server because of inactivity", True),
        (9007, "Write conflict, txnStartTS=1, conflictStartTS=2", True),
        (8028, "Information schema is changed during the execution of the statement", True),
        (8004, "Transaction is too large", False),
        (1193, "Unknown system variable 'no_such_variable'", False),
        (1030, 'Got error 194 "Tablespace is missing for a table" from storage engine InnoDB', False),
        (1045, "Access denied for user 'x'@'h'", False),
        (1064, "You have an error in your SQL syntax near '28'", False),
        (1406, "Data too long for column 'name' at row 28", False),
    ],
)
def test_what_a_server_says_that_passes(number: int, words: str, passes: bool) -> None:
    error = OperationalError("statement", {}, pymysql.err.OperationalError(number, words))
    assert is_passing(error) is passes
