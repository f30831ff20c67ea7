"""Both regions change one field while nothing runs: the later change wins, or the master's; the ledger has
the loser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.app import now_ms
from pipeline.outbox.engine import open_database
from pipeline.outbox.schema import conflict
from pipeline.run import pipeline
from pipeline.sandbox.launch import simulated_regions
from pipeline.settings import Settings
from tests.e2e.harness import people, settled, tree, until


@pytest.mark.parametrize(
    ("topology", "kept", "lost"),
    [
        pytest.param("multi-master", "late", "early", id="the later change wins"),
        pytest.param("master", "early", "late", id="the master wins"),
    ],
)
async def test_a_conflict(topology: str, kept: str, lost: str, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/conflict.db"
    async with simulated_regions(2) as regions, people(regions) as (first, second):
        configured: dict[str, Any] = tree(regions, database, topology=topology)
        configured["regions"][0]["is_master"] = topology == "master"
        settings = Settings.parse(configured, {})
        async with pipeline(settings) as running:
            domain = await first.domain("north")
            account = await first.account("acme", domain)
            alice = await first.user("alice", "acme", domain)
            await settled(regions, running.wiring.engine)
        await first.call("updateUser", id=alice, email="early@example.org")
        await first.call("updateAccount", id=account, networkdomain="only.example.org")
        second_of = now_ms() // 1000  # an event's time has whole seconds
        await until(lambda: now_ms() // 1000 > second_of, "the next second", 5)
        await second.call("updateUser", id=alice, email="late@example.org")
        await second.call("updateUser", id=alice, timezone="UTC")
        async with pipeline(settings) as running:
            await settled(regions, running.wiring.engine)
    for region in regions:
        user = region.dump()["users"]["ROOT/north|acme|alice"]
        assert (user["email"], user["timezone"]) == (f"{kept}@example.org", "UTC"), region.name
        assert region.dump()["accounts"]["ROOT/north|acme"]["networkdomain"] == "only.example.org"
    engine = open_database(database)
    with engine.connect() as connection:
        lines = connection.execute(select(conflict)).mappings().all()
    engine.dispose()
    assert [(one["entity"], one["field"], one["kept"], one["lost"]) for one in lines] == [
        (alice, "email", f"{kept}@example.org", f"{lost}@example.org")
    ]
    assert lines[0]["base"] == "alice@example.org"
