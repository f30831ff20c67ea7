"""The house's sizes, which no linter here checks: a module up to 300 lines, a function up to 40 (parameters
are ruff's).

In: the source folders. Out: one line per offender, exit 1 if there is any. Called by `make check`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES = 300
FUNCTION_LINES = 40
FOLDERS = ("bridges", "pipeline", "tests/services")


def offenders(module: Path) -> Iterator[str]:
    """What is too long in one module, as `path:line: words`."""
    text = module.read_text()
    lines = text.count("\n")
    if lines > MODULE_LINES:
        yield f"{module}:1: the module has {lines} lines, {MODULE_LINES} are allowed"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{module}:{node.lineno}: {node.name} has {lines} lines, {FUNCTION_LINES} are allowed"


def main() -> int:
    """Print every offender below FOLDERS; 1 if there is any."""
    root = Path(__file__).parents[1]
    found = [
        line
        for folder in FOLDERS
        for module in sorted((root / folder).rglob("*.py"))
        for line in offenders(module)
    ]
    print("\n".join(found) if found else "sizes: kept")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
