"""`region-sync check` asks for the permission to every command that the code names."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.check.region import CHANGES, READS

CALLERS = ("agents", "cloudstack", "core", "reconcile")
COMMAND = re.compile(r'"((?:list|get|query|create|delete|disable|enable|lock|move|update|register)[A-Z]\w+)"')


def test_every_command_that_is_called_is_checked() -> None:
    root = Path(__file__).parents[2] / "pipeline"
    sources = [path for part in CALLERS for path in (root / part).rglob("*.py")]
    called = {name for path in sources for name in COMMAND.findall(path.read_text("utf-8"))}
    assert "listVirtualMachines" in called
    assert called - set(READS + CHANGES) == set()
