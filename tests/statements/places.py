"""Where the stores speak to the database: each call of `execute` in `pipeline/outbox`.

In: the package's source. Out: places, those apart that only SQLite reaches. Called by `test_statements`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pipeline.outbox

FOLDER: Final = Path(pipeline.outbox.__file__).parent
SPEAKING: Final = frozenset({"execute", "exec_driver_sql", "scalar", "scalars"})


class Place(NamedTuple):
    """One call, which may take several lines."""

    module: str
    first: int
    last: int

    def has(self, line: str) -> bool:
        """Whether `module.py:line` is in it."""
        module, _, number = line.partition(":")
        return module == self.module and self.first <= int(number) <= self.last

    def __str__(self) -> str:
        return f"pipeline/{self.module}:{self.first}"


def places() -> list[Place]:
    """Without those for SQLite."""
    return [
        place
        for file in sorted(FOLDER.glob("*.py"))
        for place in _within(ast.parse(file.read_text()), f"{FOLDER.name}/{file.name}")
    ]


def _within(node: ast.AST, module: str) -> Iterator[Place]:
    if isinstance(node, ast.FunctionDef) and "sqlite" in node.name:
        return
    if isinstance(node, ast.If) and "'sqlite'" in ast.unparse(node.test):
        for other in node.orelse:
            yield from _within(other, module)
        return
    if isinstance(node, ast.Call) and _speaks(node):
        yield Place(module, node.lineno, node.end_lineno or node.lineno)
    for child in ast.iter_child_nodes(node):
        yield from _within(child, module)


def _speaks(call: ast.Call) -> bool:
    """A result has methods of these names too, but they take nothing."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in SPEAKING and bool(call.args)
