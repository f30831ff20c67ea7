"""The README's promise names, for each thing that it says, a test; the tests are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
TOLD_ABOVE = "(see above)"
"""Ends what another sentence's tests hold."""


def promise() -> str:
    text = (ROOT / "README.md").read_text()
    return text.partition("\n## The promise\n")[2].partition("\n## ")[0]


def functions(file: Path) -> set[str]:
    found = ast.walk(ast.parse(file.read_text()))
    return {one.name for one in found if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_point_of_the_promise_names_a_test() -> None:
    points = [" ".join(one.split()) for one in promise().split("\n- ")[1:]]
    assert len(points) > 8
    nameless = [one for one in points if not NAMED.search(one) and TOLD_ABOVE not in one]
    assert nameless == []


def test_the_tests_that_the_promise_names_exist() -> None:
    named = NAMED.findall(promise())
    assert len(named) > 12
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or name not in functions(ROOT / file)
    ]
    assert missing == []
