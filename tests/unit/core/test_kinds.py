"""What every kind must have. A new one fails here until it has it; CONTRIBUTING has the order."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from pipeline.core.entities import FIELDS, Kind
from pipeline.core.events import KNOWN
from pipeline.sandbox.commands import COMMANDS

ROOT = Path(__file__).parents[3]
SOURCES = [*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("bridges/**/*.py")]


def tables() -> list[tuple[str, set[str]]]:
    """Every table by kind in the code: where it stands, and its kinds' names."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                kinds = {
                    key.attr
                    for key in node.keys
                    if isinstance(key, ast.Attribute)
                    and isinstance(key.value, ast.Name)
                    and key.value.id == "Kind"
                }
                if kinds:
                    found.append((f"{path.relative_to(ROOT)}:{node.lineno}", kinds))
    return found


def test_every_table_by_kind_has_every_kind() -> None:
    assert len(tables()) >= 7
    missing = {place: sorted(set(Kind.__members__) - kinds) for place, kinds in tables()}
    assert {place: kinds for place, kinds in missing.items() if kinds} == {}


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_is_known_to_all_who_must_know_it(kind: Kind) -> None:
    assert {"name", "parent"} <= set(FIELDS[kind])
    changes = {name for name, matters in KNOWN.items() if matters and name.startswith(f"{kind.upper()}.")}
    assert {f"{kind.upper()}.{what}" for what in ("CREATE", "UPDATE", "DELETE")} <= changes
    assert {f"{verb}{kind}" for verb in ("create", "update", "delete")} | {f"list{kind}s"} <= set(COMMANDS)
    assert f"\n| {kind} | " in (ROOT / "README.md").read_text()


def test_the_api_s_kinds_are_the_kinds() -> None:
    described = yaml.safe_load((ROOT / "pipeline/views/openapi.yaml").read_text())
    assert described["components"]["schemas"]["Kind"]["enum"] == [kind.value for kind in Kind]
