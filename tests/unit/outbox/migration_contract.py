"""What `migrate` promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from pipeline.core.entities import Kind
from pipeline.core.records import Value
from pipeline.outbox.engine import migrate, open_database, reading, writing
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import entity, metadata, outbox
from pipeline.outbox.tables import Tables, standing
from tests.unit.outbox.builders import NOW, Clock, desired, keep, record, rows, seen_in, settled

LIMIT_S = 60


def differences(url: str) -> list[object]:
    """What separates the database from the schema as the program knows it."""
    engine = open_database(url)
    try:
        with reading(engine) as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            return list(compare_metadata(context, metadata))
    finally:
        engine.dispose()


class MigrationContract:
    @pytest.fixture
    def url(self) -> str:
        """The URL of an empty database."""
        raise NotImplementedError

    def test_a_migrated_database_is_the_schema(self, url: str) -> None:
        assert differences(url) != []

        migrate(url)

        assert differences(url) == []

    def test_again_is_no_harm(self, url: str) -> None:
        migrate(url)
        engine = open_database(url)
        with writing(engine) as connection:
            connection.execute(text("INSERT INTO watermark (name, value, time) VALUES ('a', 1, 1)"))

        migrate(url)

        with reading(engine) as connection:
            assert connection.execute(text("SELECT value FROM watermark")).scalar_one() == 1
        engine.dispose()

    def test_what_a_newer_release_has_migrated_stays_as_it_is(self, url: str) -> None:
        migrate(url)
        engine = open_database(url)
        with writing(engine) as connection:
            connection.execute(text("ALTER TABLE outbox ADD COLUMN of_the_next_release INTEGER"))
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

        migrate(url)

        with reading(engine) as connection:
            assert standing(connection) is Tables.NEWER
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
        keep(HubStore(engine, Clock()), record(Kind.DOMAIN, "d1"), sent=("r2",))
        with reading(engine) as connection:
            kept = connection.execute(text("SELECT state, of_the_next_release FROM outbox")).all()
        assert kept == [("pending", None)]
        engine.dispose()

    def test_processes_that_start_together(self, url: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        processes = [spawn.Process(target=migrate, args=(url,)) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(LIMIT_S)

        assert [process.exitcode for process in processes] == [0, 0, 0, 0]
        assert differences(url) == []

    def test_a_start_that_died_half_way_is_completed(self, url: str) -> None:
        migrate(url)
        engine = open_database(url)
        on = " ON outbox" if engine.dialect.name == "mysql" else ""
        with writing(engine) as connection:
            connection.execute(text("DROP TABLE alembic_version"))
            connection.execute(text("DROP TABLE rmap"))
            connection.execute(text(f"DROP INDEX ix_outbox_waits{on}"))

        migrate(url)

        assert differences(url) == []
        assert "rmap" in inspect(engine).get_table_names()
        engine.dispose()

    def test_what_was_on_its_way_before_is_judged_by_its_message(self, url: str) -> None:
        migrate(url)
        engine = open_database(url)
        on = " ON outbox" if engine.dialect.name == "mysql" else ""
        user = seen_in(record(Kind.USER, "u1", "alice", "a1"), "r2")
        off = {**(user.desired() or {}), "state": "disabled"}
        locked = replace(desired(user, version=4), known={**off, "state": "locked"}, fields=off)
        wanted = [
            desired(user, version=1),
            replace(desired(user, version=2), fields=off),
            replace(desired(user, version=3), fields=None),
            locked,
            replace(desired(user, version=5), fields=off, known=None),
            replace(desired(user, version=6), fields=off),
        ]
        HubStore(engine, Clock()).commit([Change(user, None, tuple(wanted))], NOW)
        RegionStore(engine, "r2", Clock()).settle([settled(user, version=6)], NOW)
        with writing(engine) as connection:
            connection.execute(text(f"DROP INDEX ix_outbox_revokes{on}"))
            connection.execute(text("ALTER TABLE outbox DROP COLUMN revokes"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0009'"))

        migrate(url)

        assert {row["version"]: row["revokes"] for row in rows(engine, outbox)} == {
            1: False,
            2: True,
            3: True,
            4: True,
            5: False,
            6: None,
        }
        assert differences(url) == []
        engine.dispose()

    def test_users_of_before_are_found_by_their_addresses(self, url: str) -> None:
        migrate(url)
        engine = open_database(url)
        user = record(Kind.USER, "u1", "alice", "a1")
        mail = Value("Alice@Example.org", user.life.stamp)
        keep(
            HubStore(engine, Clock()),
            replace(user, fields={**user.fields, "email": mail}),
            record(Kind.ACCOUNT, "a1", "acme"),
        )
        with writing(engine) as connection:
            connection.execute(text("UPDATE entity SET email_key = NULL"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0006'"))

        migrate(url)

        assert {row["uuid"]: row["email_key"] for row in rows(engine, entity)} == {
            "a1": None,
            "u1": "alice@example.org",
        }
        engine.dispose()
