"""The command line, called in this process, and settings to call it with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.program import call

REGION = "{{name: {0}, host: 'http://127.0.0.1:1', api_key: k, secret_key: s, timeout_s: 2}}"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Ended]


@pytest.fixture
def region_sync(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: str) -> Ended:
        code = call(arguments)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'audit.db'}"


@pytest.fixture
def config(tmp_path: Path, url: str) -> str:
    """Two regions that nobody serves, and a database that does not exist yet."""
    path = tmp_path / "regions.yaml"
    regions = ", ".join(REGION.format(name) for name in ("berlin", "tokyo"))
    path.write_text(f"database: {url}\nregions: [{regions}]\n")
    return str(path)
