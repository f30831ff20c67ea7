"""A pytest plugin that writes down all that PyMySQL says to a server, and which line of ours had it said.

In: the path of a file, in the environment. Out: that file, a JSON list of `[statement, place]`: values are
taken out of the statements, `place` is `module.py:line` of the innermost line in `pipeline`. Loaded by
`test_statements` into a run of the stores' contracts, as `-p tests.statements.recording`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

import pymysql
import pytest

import pipeline

TARGET: Final = "REGION_SYNC_STATEMENTS"
PING: Final = "COM_PING"
OURS: Final = str(Path(pipeline.__file__).parent) + os.sep

_TEXT: Final = re.compile(r"(?:_binary|X)?'(?:[^'\\]|\\.|'')*'")
_DATABASE: Final = re.compile(r"\bregion_sync_[0-9a-f]{16}\b")
_NUMBER: Final = re.compile(r"\b\d+\b")
_VALUE: Final = r"(?:'x'|0|NULL)"
_LIST: Final = re.compile(rf"(\bIN \(\(?|VALUES \(|\), ?\()({_VALUE})(?:, ?{_VALUE})+(?=\))")
_ROWS: Final = re.compile(rf"(\({_VALUE}\))(?:, ?\({_VALUE}\))+")

_seen: set[tuple[str, str]] = set()
_real: Final = pymysql.connections.Connection._execute_command  # type: ignore[attr-defined]


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is said to a server before this."""
    del config
    pymysql.connections.Connection._execute_command = _execute  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    del config
    pymysql.connections.Connection._execute_command = _real  # type: ignore[attr-defined]
    Path(os.environ[TARGET]).write_text(json.dumps(sorted(_seen)))


def _execute(self: Any, command: int, said: str | bytes) -> Any:
    if command == pymysql.constants.COMMAND.COM_QUERY:
        text = said.decode(errors="replace") if isinstance(said, bytes | bytearray) else said
        _seen.add((shape(text), _place()))
    elif command == pymysql.constants.COMMAND.COM_PING:
        _seen.add((PING, _place()))
    return _real(self, command, said)


def shape(statement: str) -> str:
    """Without its values, and with one item, and two rows, where there are many."""
    bare = _NUMBER.sub("0", _TEXT.sub("'x'", _DATABASE.sub("region_sync", statement)))
    return " ".join(_ROWS.sub(r"\1, \1", _LIST.sub(r"\1\2", bare)).split())


def _place() -> str:
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(OURS):
            return f"{name.removeprefix(OURS)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
