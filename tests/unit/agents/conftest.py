"""A hub on a SQLite database of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pipeline.outbox.engine import migrate, open_database
from pipeline.outbox.hub import HubStore
from tests.unit.agents.regions import Log, new_log
from tests.unit.outbox.builders import Clock


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    migrate(url)
    opened = open_database(url)
    yield opened
    opened.dispose()


@pytest.fixture
def log(engine: Engine) -> Log:
    return new_log(HubStore(engine, Clock()))
