"""The command `migrate`: what it found, what it made, and that nothing is made twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.outbox.engine import open_database, writing
from pipeline.outbox.lookup import tables
from pipeline.outbox.tables import Tables
from tests.unit.cli.conftest import Call


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/new.db"


@pytest.fixture
def settings(tmp_path: Path, url: str) -> str:
    """Without any secret of a region: it needs none."""
    path = tmp_path / "new.yaml"
    path.write_text(
        f"database: {url}\nregions: [{{name: berlin, host: 'http://h', api_key: '${{NO_SUCH_KEY}}'}}]\n"
    )
    return str(path)


def stands_at(url: str, revision: str) -> None:
    engine = open_database(url)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    engine.dispose()


def test_it_makes_the_tables_once(region_sync: Call, settings: str, url: str) -> None:
    first = region_sync("migrate", "-c", settings)
    again = region_sync("migrate", "-c", settings)
    assert (first.code, first.out, first.err) == (0, "the tables are made\n", "")
    assert (again.code, again.out) == (0, "the tables are this version's already\n")
    assert tables(url) is Tables.CURRENT


@pytest.mark.parametrize(
    ("revision", "found", "now"), [("0006", "older", "current"), ("9999", "newer", "newer")]
)
def test_tables_of_other_versions(
    region_sync: Call, settings: str, url: str, revision: str, found: str, now: str
) -> None:
    assert region_sync("migrate", "-c", settings).code == 0
    stands_at(url, revision)
    ended = region_sync("migrate", "--json", "-c", settings)
    assert (ended.code, json.loads(ended.out)) == (0, {"found": found, "now": now})


def test_commands_of_the_version_before_go_on_with_newer_tables(
    region_sync: Call, settings: str, url: str
) -> None:
    assert region_sync("migrate", "-c", settings).code == 0
    stands_at(url, "9999")
    assert region_sync("outbox", "list", "-c", settings).code == 0
