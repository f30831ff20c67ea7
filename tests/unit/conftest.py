"""A SQLite database of the test's own, with tables and nothing in them. A folder may say where, by `url`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pipeline.outbox.engine import migrate, open_database


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'outbox.db'}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    migrate(url)
    opened = open_database(url)
    yield opened
    opened.dispose()
