"""The release before, as it is kept beside this module.

In: a folder. Out: its code in that folder, its messages and rows, programs that run on its code. Called by
the tests of upgrades. It runs with the libraries that are installed for this release.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
MANIFEST: Final = FOLDER / "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which release is kept: of that commit, in files with these hashes."""

    version: str
    commit: str
    code_sha256: str
    said_sha256: str

    @property
    def code(self) -> Path:
        return FOLDER / f"{self.version}.tar.xz"

    @property
    def said(self) -> Path:
        return FOLDER / f"{self.version}.json.xz"


def manifest() -> Manifest:
    return Manifest(**json.loads(MANIFEST.read_text()))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unpack(folder: Path) -> Path:
    """The folder with its code, for PYTHONPATH."""
    return unpack_from(manifest().code, folder)


def unpack_from(packed: Path, folder: Path) -> Path:
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder


@cache
def said() -> dict[str, Any]:
    """What it said: `messages` (topic, key, headers, value) and `rows` of each table (see `recording`)."""
    found: dict[str, Any] = json.loads(lzma.decompress(manifest().said.read_bytes()))
    return found


@contextmanager
def asking(code: Path, program: Path, *arguments: str) -> Iterator[Callable[[Any], Any]]:
    """What `program` answers, run on the code of the release: a line of JSON in, a line of JSON out."""
    command = [sys.executable, str(program), *arguments]
    env = {**os.environ, "PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, cwd=code, env=env, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(question: Any) -> Any:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, f"{program.name} ended: {process.wait()}"
            return json.loads(answer)

        try:
            yield ask
        finally:
            process.stdin.close()
