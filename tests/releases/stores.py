"""Fixtures for the contracts of the stores of the release before, in place of its own: they run on a database
that this release has migrated. Copied as `conftest.py` to where those are, since nothing of this release can
be imported there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest
from sqlalchemy import Engine, MetaData, delete

from pipeline.outbox.engine import open_database, reading, writing
from pipeline.outbox.tables import Tables, standing

VARIABLE: Final = "REGION_SYNC_NEWER_DATABASE"


@pytest.fixture(scope="module")
def migrated() -> Iterator[tuple[Engine, MetaData]]:
    engine = open_database(os.environ[VARIABLE])
    with reading(engine) as connection:
        assert standing(connection) is Tables.NEWER
    tables = MetaData()
    tables.reflect(engine)
    tables.remove(tables.tables["alembic_version"])
    yield engine, tables
    engine.dispose()


@pytest.fixture
def engine(migrated: tuple[Engine, MetaData]) -> Engine:
    opened, tables = migrated
    with writing(opened) as connection:
        for table in tables.sorted_tables:
            connection.execute(delete(table))
    return opened
