"""exposure over a real SQLite database, filled by the stores that fill it in earnest."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from pipeline.core.entities import Kind
from pipeline.outbox.hub import HubStore
from tests.unit.cli.conftest import Call
from tests.unit.outbox.builders import NOW, Clock, keep, record, seen_in
from tests.unit.outbox.exposure_contract import disabled, sent

COLUMNS = ["region", "kind", "path", "should", "be", "is", "since", "row", "why"]


@pytest.fixture
def exposed(engine: Engine) -> None:
    """A user that is disabled, and not yet in tokyo."""
    hub = HubStore(engine, Clock())
    keep(hub, record(Kind.ACCOUNT, "a1", "acme"))
    sent(hub, disabled(seen_in(record(Kind.USER, "u1", "ann", "a1"), "tokyo")), "tokyo")


def test_without_tables_one_sentence(region_sync: Call, config: str) -> None:
    ended = region_sync("exposure", "-c", config)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("region-sync: the database has no tables yet")


@pytest.mark.usefixtures("engine")
def test_nobody(region_sync: Call, config: str) -> None:
    ended = region_sync("exposure", "-c", config)
    assert (ended.code, [line.split() for line in ended.out.splitlines()]) == (0, [COLUMNS])
    assert region_sync("exposure", "--json", "-c", config).json() == []


@pytest.mark.usefixtures("exposed")
def test_who_and_since_when(region_sync: Call, config: str) -> None:
    _, line = region_sync("exposure", "-c", config).out.splitlines()
    assert line.split()[:5] == ["tokyo", "User", "ROOT|acme|ann", "disabled", "enabled"]
    assert line.endswith("it is on its way.")
    (one,) = region_sync("exposure", "--json", "-c", config).json()
    assert (one["uuid"], one["region"], one["since"]) == ("u1", "tokyo", NOW - 9_000)


@pytest.mark.usefixtures("exposed")
def test_of_one_region(region_sync: Call, config: str) -> None:
    assert region_sync("exposure", "--region", "berlin", "--json", "-c", config).json() == []
    assert len(region_sync("exposure", "--region", "tokyo", "--json", "-c", config).json()) == 1
    assert region_sync("exposure", "--region", "oslo", "-c", config).code == 2
