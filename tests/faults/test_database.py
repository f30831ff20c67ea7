"""A database that fails in the middle of a transaction, at each function of the stores that writes: a
temporary error, nothing half-written, and the same end when it is done again."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pymysql
import pytest
from sqlalchemy import Connection, Engine, Table, delete, event, insert, make_url, select, text

from pipeline.core.errors import TemporaryError
from pipeline.outbox import engine as engine_module
from pipeline.outbox.engine import migrate, open_database, writing
from pipeline.outbox.errors import StaleRecord
from pipeline.outbox.schema import applied, entity, metadata, outbox, watermark
from tests.faults.writers import CASES, LATER, World, kept, prepared, writers
from tests.services.mariadb import MariaDB
from tests.services.service import Launch
from tests.unit.outbox.builders import rows

EACH: Final = pytest.mark.parametrize("name", sorted(CASES))
WAIT_S: Final = 30


def test_every_function_that_writes_is_tried() -> None:
    assert CASES.keys() == writers()


# --- SQLite


@EACH
def test_a_file_that_another_process_writes_to_is_waited_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "BUSY_LIMIT_S", 0.01)
    file = tmp_path / "store.db"
    migrate(f"sqlite:///{file}")
    world = prepared(open_database(f"sqlite:///{file}"))
    before = kept(world.engine)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TemporaryError, match="database is locked"):
        CASES[name](world)
    other.execute("ROLLBACK")
    other.close()
    assert kept(world.engine) == before
    CASES[name](world)
    assert kept(world.engine) != before
    world.engine.dispose()


# --- MariaDB, shared


@pytest.fixture(scope="module")
def migrated(database_url: str) -> Iterator[Engine]:
    """Locks are waited for not at all, so that who can't have one is told at once."""
    with pytest.MonkeyPatch.context() as patched:
        session = engine_module._SESSION.replace(f"={engine_module.LOCK_LIMIT_S},", "=0,")
        assert session != engine_module._SESSION
        patched.setattr(engine_module, "_SESSION", session)
        migrate(database_url)
        engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def world(migrated: Engine) -> World:
    emptied(migrated)
    return prepared(migrated)


def emptied(engine: Engine) -> None:
    with writing(engine) as connection:
        for table in metadata.sorted_tables:
            connection.execute(delete(table))


def done(name: str, world: World) -> dict[str, list[dict[str, Any]]]:
    """What is kept after the call, undisturbed; the world is as new afterwards."""
    CASES[name](world)
    return kept(world.engine)


class Killer:
    """Ends the connection of a writer, from another one, after its statement number `after`."""

    def __init__(self, engine: Engine, after: int | None) -> None:
        self._engine = engine
        self._after = after
        self._killing = False
        self.seen = 0

    def __enter__(self) -> Killer:
        event.listen(self._engine, "after_cursor_execute", self._executed)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "after_cursor_execute", self._executed)

    def _executed(self, connection: Connection, *_: object) -> None:
        if self._killing:
            return
        self.seen += 1
        if self.seen == self._after:
            self._killing = True
            own = connection.connection.thread_id()  # type: ignore[attr-defined]
            with self._engine.connect() as other:
                other.execute(text(f"KILL CONNECTION {own}"))


@pytest.mark.services
@EACH
def test_a_connection_that_is_lost_after_any_statement(name: str, migrated: Engine) -> None:
    emptied(migrated)
    world = prepared(migrated)
    before = kept(migrated)
    with Killer(migrated, None) as counting:
        CASES[name](world)
    wanted = kept(migrated)
    assert wanted != before
    transactions = 2 if name == "RegionStore.republished" else 1  # what it marks has to be due first
    for after in range(1, counting.seen + 1):
        emptied(migrated)
        world = prepared(migrated)
        with pytest.raises(TemporaryError), Killer(migrated, after):
            CASES[name](world)
        assert transactions == 2 or kept(migrated) == before, f"after statement {after}"
        if transactions == 1:
            CASES[name](world)
            assert kept(migrated) == wanted, f"done again, after statement {after}"


@pytest.mark.services
@EACH
def test_a_commit_whose_answer_is_lost(name: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was done, and nobody knows. Done again it changes nothing, or it is told that somebody was first."""
    dialect = world.engine.dialect
    real = dialect.do_commit
    lost = []

    def do_commit(connection: Any) -> None:
        real(connection)
        if not lost:
            lost.append(connection)
            raise pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")

    monkeypatch.setattr(dialect, "do_commit", do_commit)
    with pytest.raises(TemporaryError):
        CASES[name](world)
    after = kept(world.engine)
    try:
        CASES[name](world)
    except StaleRecord:
        assert name == "HubStore.commit"
    again = kept(world.engine)
    if name == "RegionStore.settle":  # its calls are on record once more, and nothing else
        assert len(again.pop("attempt")) == 2 * len(after.pop("attempt"))
    if name != "RegionStore.republished":  # what it marks has to be due first
        assert again == after


@pytest.mark.services
@EACH
def test_a_lock_that_somebody_else_holds(name: str, world: World) -> None:
    before = kept(world.engine)
    with world.engine.connect() as connection:
        # Gaps too: nothing can be inserted.
        holder = connection.execution_options(isolation_level="SERIALIZABLE")
        with holder.begin():
            for table in metadata.sorted_tables:
                holder.execute(select(table).with_for_update()).all()
            with pytest.raises(TemporaryError, match="Lock wait timeout"):
                CASES[name](world)
    assert kept(world.engine) == before
    CASES[name](world)
    assert kept(world.engine) != before


@pytest.fixture(scope="module")
def patient(database_url: str, migrated: Engine) -> Iterator[Engine]:
    """Waits for locks longer than in production: else nobody would get as far as a deadlock."""
    with pytest.MonkeyPatch.context() as patched:
        session = engine_module._SESSION.replace(f"={engine_module.LOCK_LIMIT_S},", "=50,")
        patched.setattr(engine_module, "_SESSION", session)
        engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.mark.services
@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("HubStore.commit", entity, outbox),
        ("RegionStore.settle", outbox, applied),
        ("RegionStore.reopen", applied, outbox),
        ("RegionStore.overtaken", applied, outbox),
    ],
)
def test_of_two_transactions_that_wait_for_each_other_the_store_gives_way(
    name: str, first: Table, second: Table, migrated: Engine, patient: Engine
) -> None:
    """The other one has written more, so InnoDB ends the store's; done again it comes to the same."""
    emptied(migrated)
    wanted = done(name, prepared(migrated))
    emptied(migrated)
    world = prepared(patient)
    before = kept(patient)
    asked = threading.Event()

    def other() -> None:
        with patient.connect() as plain_one:
            connection = plain_one.execution_options(isolation_level="SERIALIZABLE")
            with connection.begin() as transaction:
                weight = [{"name": f"w{n}", "value": n, "time": n} for n in range(300)]
                connection.execute(insert(watermark), weight)
                connection.execute(select(second).with_for_update()).all()
                held.set()
                assert asked.wait(WAIT_S)
                connection.execute(select(first).with_for_update()).all()
                transaction.rollback()

    held = threading.Event()
    touched: list[str] = []

    def executed(_connection: Connection, _cursor: Any, statement: str, *_: object) -> None:
        locks = "FOR UPDATE" in statement or statement.startswith(("UPDATE", "INSERT"))
        if locks and f" {first.name}" in statement and threading.current_thread() is threading.main_thread():
            touched.append(statement)
            asked.set()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(other)
        assert held.wait(WAIT_S)
        event.listen(patient, "after_cursor_execute", executed)
        try:
            with pytest.raises(TemporaryError, match="Deadlock"):
                CASES[name](world)
        finally:
            event.remove(patient, "after_cursor_execute", executed)
            asked.set()
        running.result(WAIT_S)
    assert touched
    assert kept(patient) == before
    CASES[name](world)
    assert kept(patient) == wanted


# --- a MariaDB of our own


class Limited(MariaDB):
    """With one more user, as it should be: of one database, and of nothing else. Limits concern it."""

    def launch(self, data: Path) -> Launch:
        launch = super().launch(data)
        with (self.folder / "access.sql").open("a") as access:
            access.write("CREATE USER IF NOT EXISTS 'plain'@'127.0.0.1' IDENTIFIED BY 'plain';\n")
            access.write("GRANT ALL ON region_sync.* TO 'plain'@'127.0.0.1';\n")
        return launch


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with Limited(tmp_path_factory.mktemp("mariadb")) as server:
        migrate(plain(server))
        yield server


def root(server: MariaDB) -> pymysql.Connection[Any]:
    """Whom no limit of the server concerns."""
    url = make_url(server.address)
    port, user = url.port or 0, url.username or ""
    return pymysql.connect(
        host="127.0.0.1", port=port, user=user, password=str(url.password), autocommit=True
    )


def plain(server: MariaDB) -> str:
    url = make_url(server.address).set(username="plain", password="plain")
    return url.render_as_string(hide_password=False)


@pytest.fixture
def ours(own: MariaDB) -> Iterator[World]:
    engine = open_database(plain(own))
    emptied(engine)
    yield prepared(engine)
    engine.dispose()


@pytest.mark.services
def test_a_server_that_is_read_only_for_a_while(own: MariaDB, ours: World) -> None:
    """As a replica is, until it is made the primary."""
    admin = root(own).cursor()
    before = kept(ours.engine)
    admin.execute("SET GLOBAL read_only=1")
    try:
        for name in sorted(CASES):
            with pytest.raises(TemporaryError, match="read-only"):
                CASES[name](ours)
    finally:
        admin.execute("SET GLOBAL read_only=0")
    assert kept(ours.engine) == before
    for name in sorted(CASES):
        CASES[name](ours)


@pytest.mark.services
def test_a_server_that_lets_nobody_in_any_more(own: MariaDB, ours: World) -> None:
    admin = root(own).cursor()
    ours.engine.dispose()
    admin.execute("SET GLOBAL max_connections=10")
    url = make_url(plain(own))
    crowd = []
    try:
        with pytest.raises(pymysql.err.OperationalError, match="Too many connections"):
            for _ in range(20):
                crowd.append(
                    pymysql.connect(host="127.0.0.1", port=url.port or 0, user="plain", password="plain")
                )
        for name in sorted(CASES):
            with pytest.raises(TemporaryError, match="Too many connections"):
                CASES[name](ours)
    finally:
        for one in crowd:
            one.close()
        admin.execute("SET GLOBAL max_connections=300")
    for name in sorted(CASES):
        CASES[name](ours)


@pytest.mark.services
def test_a_server_that_hung_up_on_the_idle(own: MariaDB, ours: World) -> None:
    """Nobody notices: a connection is asked for a sign of life before it is used."""
    admin = root(own).cursor()
    admin.execute("SELECT id FROM information_schema.processlist WHERE user='plain'")
    idle = [number for (number,) in admin.fetchall()]
    assert idle
    for number in idle:
        admin.execute(f"KILL CONNECTION {number}")
    for name in sorted(CASES):
        CASES[name](ours)


@pytest.mark.services
def test_a_server_that_is_killed_in_mid_transaction(own: MariaDB, ours: World) -> None:
    """kill -9, and up again: what was not committed never happened, and the next try goes through."""
    before = kept(ours.engine)
    statements = []

    def executed(*_: object) -> None:
        statements.append(1)
        if len(statements) == 2:
            own.kill()

    event.listen(ours.engine, "after_cursor_execute", executed)
    with pytest.raises(TemporaryError):
        CASES["RegionStore.settle"](ours)
    event.remove(ours.engine, "after_cursor_execute", executed)
    with pytest.raises(TemporaryError):
        CASES["RegionStore.settle"](ours)
    own.start()
    assert kept(ours.engine) == before
    for name in sorted(CASES):
        CASES[name](ours)
    assert any(one["due_time"] > LATER for one in rows(ours.engine, outbox))
