"""Runs a program to its end without a word: installers, builders, fetchers.

In: its command. Out: its exit code and all that it said. Called by the modules that provide programs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def quietly(
    command: Sequence[str],
    limit_s: float,
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`variables`: beside those of this process. Raises OSError, subprocess.TimeoutExpired."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit_s,
        check=False,
    )
