"""A MariaDB database of the module's own, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, delete

from pipeline.outbox.engine import migrate, open_database, writing
from pipeline.outbox.schema import metadata


@pytest.fixture(scope="module")
def migrated(database_url: str) -> Iterator[Engine]:
    migrate(database_url)
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(migrated: Engine) -> Engine:
    with writing(migrated) as connection:
        for table in metadata.sorted_tables:
            connection.execute(delete(table))
    return migrated
