"""Somebody at a shell, who types what a document says.

In: the folder where he is, and the programs that he has. Out: exit codes and what was said. Called by the
tests that carry documents out.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.e2e.harness import COMMAND_LIMIT_S, environment

DIFFERENT: Final = 2
TRIES: Final = 60


class Shell:
    """What one line exports, the next one finds."""

    def __init__(self, folder: Path, programs: Mapping[str, str], **variables: str) -> None:
        """`programs`: name → the module that it runs."""
        self.folder = folder
        self._exports = folder / "exports.sh"
        self._exports.touch()
        place = folder / "bin"
        place.mkdir()
        for name, module in programs.items():
            (place / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
            (place / name).chmod(0o755)
        self.environment = environment() | {"PATH": f"{place}:{os.environ['PATH']}"} | variables

    async def types(self, text: str) -> tuple[int, str]:
        """The exit code, 0 or 2, and what was said."""
        script = f". {self._exports}\n{text}\ncode=$?\nexport -p > {self._exports}\nexit $code"
        done = await asyncio.to_thread(
            subprocess.run,
            ["/bin/sh", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
        said = f"{text}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in said, said
        assert done.returncode in (0, DIFFERENT), said
        return done.returncode, said

    async def does(self, text: str) -> str:
        """It must succeed."""
        code, said = await self.types(text)
        assert code == 0, said
        return said

    async def until_equal(self, text: str) -> None:
        """Again as long as its last line, `verify` or `plan`, says that something differs."""
        assert re.search(r"^region-sync (verify|plan)\b", text.splitlines()[-1])
        for _ in range(TRIES):
            code, said = await self.types(text)
            if code == 0:
                return
        raise AssertionError(f"not equal after {TRIES} times: {said}")

    def behind(self, command: str, log: Path) -> subprocess.Popen[bytes]:
        """That command in a terminal of its own, with what was exported so far."""
        with log.open("ab") as said:
            return subprocess.Popen(
                ["/bin/sh", "-c", f". {self._exports}; exec {command}"],
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
