"""A hub on a SQLite database of the test's own."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from pipeline.outbox.hub import HubStore
from tests.unit.agents.regions import Log, new_log
from tests.unit.outbox.builders import Clock


@pytest.fixture
def log(engine: Engine) -> Log:
    return new_log(HubStore(engine, Clock()))
