"""history and conflicts over a real SQLite database: the same as the pages show."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.unit.cli.conftest import Call
from tests.unit.views.world import furnish


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """With a little of everything in it."""
    furnish(engine)
    return engine


@pytest.mark.usefixtures("engine")
def test_the_history_of_an_entity(region_sync: Call, config: str) -> None:
    ended = region_sync("history", "u1", "-c", config)
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == "User ROOT|acme|alice (u1): present, version 1"
    assert lines[1] == "stuck: r2: no such user"
    assert any("called" in line and "updateUser: HTTP 431: no such user" in line for line in lines)
    assert any(
        line.startswith("berlin") and line.endswith("nothing was sent to the region yet.") for line in lines
    )
    found = region_sync("history", "u1", "-c", config, "--json").json()
    assert found["timeline"][0]["time"] >= found["timeline"][-1]["time"]
    assert {one["region"] for one in found["regions"]} == {"berlin", "tokyo", "r1", "r2"}


@pytest.mark.usefixtures("engine")
def test_nobody_s_uuid(region_sync: Call, config: str) -> None:
    ended = region_sync("history", "nobody", "-c", config)
    assert (ended.code, ended.out) == (1, "")
    assert "no entity with the UUID nobody is known" in ended.err


@pytest.mark.usefixtures("engine")
def test_conflicts(region_sync: Call, config: str) -> None:
    lines = region_sync("conflicts", "-c", config).out.splitlines()
    assert lines[0].split()[:6] == ["id", "time", "kind", "name", "entity", "field"]
    assert "late" in lines[1] and "early" in lines[1] and lines[1].endswith("it is the later change")
    [found] = region_sync("conflicts", "--entity", "u1", "--json", "-c", config).json()
    assert (found["kept"], found["lost"], found["objection"]) == ("late", "early", None)
    assert region_sync("conflicts", "--before", "1", "--json", "-c", config).json() == []
    assert region_sync("conflicts", "--region", "nowhere", "-c", config).code == 2
