"""What migrations promise to the release before, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, event, insert

from pipeline.outbox.audit import AuditStore
from pipeline.outbox.engine import migrate, open_database, writing
from pipeline.outbox.listing import Cut, Wanted, outbox_rows
from tests.releases import making
from tests.releases.kept import asking, said
from tests.releases.recording import data, rows
from tests.unit.outbox.additions import Added, breach
from tests.unit.outbox.migration_contract import differences

OPEN = ("pending", "published", "held", "dead")
VERSION = "alembic_version"

Row = dict[str, Any]


class UpgradeContract:
    @pytest.fixture
    def url(self) -> str:
        """The URL of an empty database."""
        raise NotImplementedError

    @pytest.fixture
    def of_before(self, url: str, release_before: Path) -> Iterator[Engine]:
        """A database that the release before has made, with the rows that it wrote."""
        with asking(release_before, Path(making.__file__)) as ask:
            ask(url)
        engine = open_database(url)
        fill(engine)
        yield engine
        engine.dispose()

    def test_nothing_of_the_release_before_is_lost(self, url: str, of_before: Engine) -> None:
        assert differences(url) != []
        before = keyed(of_before)
        assert {name: len(of) for name, of in before.items()} == {
            name: len(of) for name, of in said()["rows"].items()
        }

        migrate(url)

        assert differences(url) == []
        after = keyed(of_before)
        for name in before.keys() - {VERSION}:
            assert after[name].keys() == before[name].keys(), name
            for key, row in before[name].items():
                assert {column: after[name][key][column] for column in row} == row, (name, key)

    def test_what_it_left_is_read(self, url: str, of_before: Engine) -> None:
        migrate(url)

        expected = said()["rows"]["outbox"]
        found = outbox_rows(of_before, Wanted(), Cut(limit=10_000)).rows
        assert {(one.entity, one.region, one.version, one.state) for one in found} == {
            (one["entity"], one["region"], one["version"], one["state"]) for one in expected
        }
        counts = AuditStore(of_before).counts()
        assert sum(sum(of.values()) for of in counts.values()) == len(expected)
        judged = {row["revokes"] for row in rows(of_before)["outbox"] if row["state"] in OPEN}
        assert judged <= {True, False}

    def test_migrations_only_add(self, url: str) -> None:
        added, wrong = Added(), []

        def look(statement: str) -> str:
            if (reason := breach(statement, added)) is not None:
                wrong.append((reason, statement))
            return statement

        with statements(look):
            migrate(url)

        assert wrong == []
        assert added.columns >= {("entity", "email_key"), ("outbox", "revokes"), ("conflict", "reason")}


def fill(engine: Engine) -> None:
    """With what was recorded."""
    tables = MetaData()
    tables.reflect(engine)
    with writing(engine) as connection:
        for name, of in said()["rows"].items():
            if of and name != VERSION:
                table = tables.tables[name]
                binary = {one.name for one in table.columns if one.type.python_type is bytes}
                connection.execute(insert(table), [stored(row, binary) for row in of])


def stored(row: Row, binary: set[str]) -> Row:
    """As it was before it was recorded."""
    return {name: data(told) if name in binary and told is not None else told for name, told in row.items()}


def keyed(engine: Engine) -> dict[str, dict[tuple[Any, ...], Row]]:
    """All rows of all tables by their keys."""
    tables = MetaData()
    tables.reflect(engine)
    found = {}
    for name, of in rows(engine).items():
        key = [column.name for column in tables.tables[name].primary_key]
        found[name] = {tuple(row[column] for column in key): row for row in of}
    return found


@contextmanager
def statements(look: Callable[[str], str]) -> Iterator[None]:
    """Each statement that any engine sends meanwhile is what `look` makes of it."""

    def before(*told: Any) -> tuple[str, Any]:
        return look(told[2]), told[3]

    event.listen(Engine, "before_cursor_execute", before, retval=True)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", before)
