"""What MariaDB's own failures become: temporary errors, and a next transaction that works."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, make_url, select, text, update
from sqlalchemy.exc import OperationalError

from pipeline.cli.failures import explain
from pipeline.cli.options import FAILED
from pipeline.core.errors import TemporaryError
from pipeline.outbox import engine as engine_module
from pipeline.outbox.audit import AuditStore
from pipeline.outbox.engine import IDLE_LIMIT_S, migrate, open_database, reading, writing
from pipeline.outbox.schema import watermark

pytestmark = pytest.mark.services


@pytest.fixture
def audit(engine: Engine) -> AuditStore:
    store = AuditStore(engine)
    store.save_watermark("a", 1, 1)
    store.save_watermark("b", 1, 1)
    return store


def test_of_two_in_a_deadlock_one_is_told_to_try_again(engine: Engine, audit: AuditStore) -> None:
    together = threading.Barrier(2)

    def cross(names: str) -> str:
        try:
            with writing(engine) as connection:
                for name in names:
                    connection.execute(update(watermark).where(watermark.c.name == name).values(value=2))
                    if name == names[0]:
                        together.wait(10)
        except TemporaryError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(cross, ["ab", "ba"]))

    assert outcomes[0] == ""
    assert "Deadlock" in outcomes[1]


def test_a_lost_connection_is_temporary_and_replaced(engine: Engine, audit: AuditStore) -> None:
    def lose() -> None:
        with reading(engine) as connection:
            own = connection.execute(text("SELECT CONNECTION_ID()")).scalar_one()
            with writing(engine) as other:
                other.execute(text(f"KILL CONNECTION {own}"))
            connection.execute(select(watermark)).all()

    with pytest.raises(TemporaryError):
        lose()
    assert audit.watermark("a") == 1


def test_an_idle_connection_that_was_cut_is_not_noticed(engine: Engine, audit: AuditStore) -> None:
    with writing(engine) as connection:
        spare = engine.connect()
        victim = spare.execute(text("SELECT CONNECTION_ID()")).scalar_one()
        spare.close()
        connection.execute(text(f"KILL CONNECTION {victim}"))

    assert [audit.watermark(name) for name in "abab"] == [1, 1, 1, 1]


def test_a_lock_that_is_held_too_long_is_temporary(engine: Engine, audit: AuditStore) -> None:
    def wait() -> None:
        with writing(engine) as connection:
            connection.execute(text("SET SESSION innodb_lock_wait_timeout=1"))
            connection.execute(update(watermark).where(watermark.c.name == "a").values(value=3))

    with writing(engine) as holder:
        holder.execute(update(watermark).where(watermark.c.name == "a").values(value=2))
        with pytest.raises(TemporaryError, match="Lock wait timeout"):
            wait()

    assert audit.watermark("a") == 2


def test_a_server_that_is_away_is_temporary(database_url: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else gets the port
        away = make_url(database_url).set(port=held.getsockname()[1], password="not-this-one")
        url = away.render_as_string(hide_password=False)
        engine = open_database(url)
        with pytest.raises(TemporaryError, match="Can't connect") as caught:
            AuditStore(engine).counts()
        with pytest.raises(TemporaryError):
            migrate(url)
    assert "not-this-one" not in str(caught.value)
    engine.dispose()


def test_a_wrong_password_is_not_temporary(database_url: str) -> None:
    url = make_url(database_url).set(password="not-this-one").render_as_string(hide_password=False)
    engine = open_database(url)
    with pytest.raises(Exception, match="Access denied") as caught:
        AuditStore(engine).counts()
    assert not isinstance(caught.value, TemporaryError)
    assert "not-this-one" not in str(caught.value)
    engine.dispose()


def test_who_is_stopped_in_the_middle_of_a_transaction_loses_its_locks(
    engine: Engine, audit: AuditStore
) -> None:
    """Else its successor could not write the record before the stopped process goes on."""
    if not engine.dialect.is_mariadb:  # type: ignore[attr-defined]
        pytest.skip("MySQL knows no idle_transaction_timeout")

    def stopped() -> None:
        with writing(engine) as zombie:
            limit = zombie.execute(text("SELECT @@idle_transaction_timeout")).scalar_one()
            assert limit == IDLE_LIMIT_S
            zombie.execute(text("SET SESSION idle_transaction_timeout=1"))
            zombie.execute(update(watermark).where(watermark.c.name == "a").values(value=66))
            audit.save_watermark("a", 7, 7)  # waits for the lock, which the database takes back
            zombie.execute(update(watermark).where(watermark.c.name == "a").values(value=99))

    with pytest.raises(TemporaryError):
        stopped()
    assert audit.watermark("a") == 7


def test_a_session_variable_that_the_server_does_not_know_is_one_sentence(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another engine in MariaDB's place; nothing was done before it was told."""
    monkeypatch.setattr(engine_module, "_SESSION", f"{engine_module._SESSION}, no_such_variable=1")
    with pytest.raises(OperationalError) as told:
        migrate(database_url)
    assert explain(told.value) == ("database: (1193, \"Unknown system variable 'no_such_variable'\")", FAILED)


def test_a_comment_for_mariadb_is_skipped_by_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB reads `/*M!`, and takes the same for another server (`/*X!`) for a comment, as MySQL does."""
    said = engine_module._SESSION.replace("/*M!", "/*X!")
    assert said != engine_module._SESSION
    limits = []
    for session in (engine_module._SESSION, said):
        monkeypatch.setattr(engine_module, "_SESSION", session)
        engine = open_database(database_url)
        with reading(engine) as connection:
            limits.append(connection.execute(text("SELECT @@idle_transaction_timeout")).scalar_one())
        engine.dispose()
    assert limits == [IDLE_LIMIT_S, 0]
