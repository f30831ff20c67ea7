"""A database of the release before, on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.outbox.upgrade_contract import UpgradeContract


class TestUpgrade(UpgradeContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'of-before.db'}"
