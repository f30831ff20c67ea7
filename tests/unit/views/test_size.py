"""Pages over 10 regions and 100,000 outbox rows: a bounded number of queries, none reads all rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert

from pipeline.core.records import Topology
from pipeline.outbox.audit import AuditStore, RegionRow
from pipeline.outbox.engine import migrate, open_database, reading, writing
from pipeline.outbox.schema import attempt, outbox
from pipeline.views import regions, rows
from pipeline.views.sources import Sources
from tests.unit.outbox.builders import NOW, Clock

REGIONS = tuple(f"region{number}" for number in range(10))
ROWS = 100_000
STEPS_MAX = 120_000
"""Of SQLite's machine, for one page: a row costs ten and more."""
RARE = {7: "dead", 11: "held", 13: "pending"}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path_factory.mktemp('large') / 'views.db'}"
    migrate(url)
    engine = open_database(url)
    AuditStore(engine).save_regions([RegionRow(name, "h", "/", "", "", False) for name in REGIONS])
    with writing(engine) as connection:
        connection.execute(insert(outbox), [outbox_row(number) for number in range(ROWS)])
        calls = [
            {"outbox_id": 1, "command": "updateUser", "status": 200, "ms": 3, "time": NOW} for _ in range(300)
        ]
        connection.execute(insert(attempt), calls)
    yield engine
    engine.dispose()


def outbox_row(number: int) -> dict[str, Any]:
    """One in a second; a handful of each rare state."""
    time = NOW - (ROWS - number) * 1000
    return {
        "routing_key": "k",
        "body": b'{"v":1}',
        "created_time": time,
        "published_time": time,
        "processed_time": time,
        "result": "applied",
        "entity": f"entity{number}",
        "kind": "User",
        "version": 1,
        "region": REGIONS[number % len(REGIONS)],
        "state": RARE.get(number % 10_000, "delivered"),
        "attempts": 1,
        "due_time": time,
    }


@pytest.fixture
def sources(large: Engine) -> Sources:
    return Sources(large, Clock(), Topology(REGIONS), dict.fromkeys(REGIONS, "apply"))


@contextmanager
def noted(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """The queries made meanwhile."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Connection, _cursor: object, sql: str, parameters: Any, *_rest: object) -> None:
        if sql.startswith("SELECT"):
            seen.append((sql, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@contextmanager
def worked(engine: Engine) -> Iterator[list[int]]:
    """The steps of SQLite's machine meanwhile, a thousand at a time."""
    steps: list[int] = []
    with engine.connect() as connection:  # the pool's only one, so that the next one out is this one
        raw: Any = connection.connection.driver_connection
        raw.set_progress_handler(lambda: steps.append(1_000), 1_000)
    try:
        yield steps
    finally:
        raw.set_progress_handler(None, 0)


def plans(engine: Engine, queries: list[tuple[str, Any]]) -> list[str]:
    """The steps of their plans."""
    with reading(engine) as connection:
        return [
            str(step)
            for sql, parameters in queries
            for *_, step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)
        ]


def test_the_regions_page_asks_a_bounded_number_of_questions(large: Engine, sources: Sources) -> None:
    with noted(large) as queries:
        found = regions.regions(sources, {})
    assert len(found["regions"]) == 10
    assert sum(sum(one["states"].values()) for one in found["regions"]) == ROWS
    assert sum(sum(one["hour"]["delivered"]) for one in found["regions"]) == pytest.approx(3_600, abs=5)
    assert len(queries) <= 13
    steps = plans(large, queries)
    assert [step for step in steps if step.startswith("SCAN outbox") and "COVERING INDEX" not in step] == []
    assert any("ix_outbox_processed" in step for step in steps)


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, id="the newest"),
        pytest.param({"before": "50000"}, id="deep"),
        pytest.param({"region": "region3", "state": "delivered"}, id="common"),
        pytest.param({"state": "dead"}, id="rare"),
        pytest.param({"state": "dead", "region": "region7"}, id="rare in a region"),
        pytest.param({"since": "2h", "state": "delivered"}, id="of late"),
        pytest.param({"since": str(NOW - 90_000_000), "until": str(NOW - 86_400_000)}, id="of yesterday"),
        pytest.param({"entity": "entity77"}, id="one entity's"),
    ],
)
def test_the_outbox_page_reads_what_it_shows(params: dict[str, str], large: Engine, sources: Sources) -> None:
    with noted(large) as queries, worked(large) as steps:
        found = rows.outbox(sources, params)
    assert 0 < len(found["rows"]) <= 50
    assert len(queries) <= 2
    assert sum(steps) < STEPS_MAX


def test_going_through_the_table_would_be_noticed(large: Engine) -> None:
    with worked(large) as steps, reading(large) as connection:
        connection.exec_driver_sql("SELECT count(*) FROM outbox WHERE message = 'x'").all()
    assert sum(steps) > STEPS_MAX


def test_a_row_s_page(large: Engine, sources: Sources) -> None:
    with noted(large) as queries:
        found = rows.row(sources, {"id": "1"})
    assert len(found["calls"]) == 200
    assert len(queries) <= 3
