"""What `scan` says about how it was asked, and about regions that it can't reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.outbox.engine import migrate
from tests.unit.cli.conftest import Call


@pytest.mark.parametrize("arguments", [(), ("--region", "berlin", "--all")])
def test_one_region_or_all(region_sync: Call, config: str, arguments: tuple[str, ...]) -> None:
    ended = region_sync("scan", "-c", config, *arguments)
    assert ended.code == 2
    assert "say --region NAME or --all" in ended.err


def test_a_region_that_is_not_there(region_sync: Call, config: str) -> None:
    ended = region_sync("scan", "-c", config, "--region", "paris")
    assert (ended.code, "the known regions are berlin, tokyo" in ended.err) == (2, True)


def test_nothing_to_compare_with_yet(region_sync: Call, config: str) -> None:
    ended = region_sync("scan", "-c", config, "--all")
    assert (ended.code, "has no tables yet" in ended.err) == (1, True)


def test_each_region_that_fails_is_told(region_sync: Call, config: str, url: str, tmp_path: Path) -> None:
    migrate(url)
    (tmp_path / "audit.db.broker").write_text("127.0.0.1:1\n")
    ended = region_sync("scan", "-c", config, "--all", "--json")
    assert ended.code == 1
    assert (ended.json()["scans"], set(ended.json()["failures"])) == ([], {"berlin", "tokyo"})
    assert "berlin: not scanned to the end" in ended.err
