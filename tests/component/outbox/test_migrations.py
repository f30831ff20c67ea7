"""Migrations on MariaDB."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, inspect, text

from tests.unit.outbox.migration_contract import MigrationContract

pytestmark = pytest.mark.services


class TestMigrations(MigrationContract):
    @pytest.fixture
    def url(self, database_url: str) -> str:
        engine = create_engine(database_url)
        with engine.begin() as connection:
            for table in inspect(connection).get_table_names():
                connection.execute(text(f"DROP TABLE `{table}`"))
        engine.dispose()
        return database_url
