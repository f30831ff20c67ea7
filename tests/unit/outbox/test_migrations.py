"""Migrations on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.outbox.migration_contract import MigrationContract


class TestMigrations(MigrationContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'fresh.db'}"
