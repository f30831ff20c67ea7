"""How `verify` shows a verdict."""

from __future__ import annotations

import pytest

from pipeline.cli.verifying import _proofs, _tell
from pipeline.core.entities import Kind
from pipeline.outbox.engine import migrate
from pipeline.reconcile.reading import Holding
from pipeline.reconcile.verify import Difference, Verdict
from tests.unit.cli.conftest import Call

NOW = 1_790_000_000_000
ANN = {"name": "ann", "email": "a@b.c", "parent": "uuid-1"}


def holding(root: int) -> Holding:
    made = Holding(subtrees={0: root})
    made.counts.update({Kind.DOMAIN: 2_000, Kind.USER: 55_012})
    return made


def told(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> str:
    _tell(verdict, _proofs(verdict, NOW))
    return capsys.readouterr().out


def test_equal(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(Verdict({"r1": holding(7), "r2": holding(7)}, 0), capsys)
    assert said.startswith("Equal at 2026-09-21 14:13:20 UTC over 57,012 entities in r1, r2: 000")
    left_out = "passwords; API keys, and limits, where they are not carried to all;"
    assert f"Not compared: UUIDs; creation times; {left_out}" in said


def test_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    changed = Difference(
        Kind.USER, "/shop|acme|ann", {"r1": ANN, "r2": ANN | {"email": "x@y.z", "parent": "u2"}}
    )
    missing = Difference(Kind.DOMAIN, "/lost", {"r1": None, "r2": {"name": "lost", "parent": "ROOT"}})
    verdict = Verdict({"r1": holding(7), "r2": holding(8)}, 9, (changed, missing), ("/shop",))
    lines = [line.split() for line in told(verdict, capsys).splitlines()]
    assert lines[:3] == [
        ["kind", "path", "field", "r1", "r2"],
        ["User", "/shop|acme|ann", "email", "a@b.c", "x@y.z"],
        ["Domain", "/lost", "(absent)", "present"],
    ]
    assert " ".join(lines[3]) == "9 entities differ, 7 of them not shown."
    assert " ".join(lines[4]) == "Below these domains: /shop"


def test_a_region_that_cannot_be_read_proves_nothing(region_sync: Call, config: str, url: str) -> None:
    migrate(url)
    ended = region_sync("verify", "-c", config)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("region-sync: ")
