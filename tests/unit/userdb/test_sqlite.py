"""On SQLite, which the demo and the simulated regions keep their users in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from tests.unit.userdb.logins_contract import LoginsContract


class TestLogins(LoginsContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/cloud.db"

    @pytest.fixture
    def engine(self, url: str) -> Iterator[Engine]:
        engine = create_engine(url)
        yield engine
        engine.dispose()
