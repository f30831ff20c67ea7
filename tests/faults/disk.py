"""A small disk of a test's own, which can be filled up and given room again.

In: a folder. Out: a file system of so many MiB mounted there (tmpfs: as root, or not at all), and a ballast
that takes what is left of it. Called by the tests of a full disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

PIECES: Final = (1 << 20, 1 << 12)
MOUNT_LIMIT_S: Final = 20


class SmallDisk:
    """Mounted from its beginning to its end. Skips the test where nothing may be mounted."""

    def __init__(self, folder: Path, mebibytes: int) -> None:
        self.folder = folder
        self._size = mebibytes
        self._ballast = folder / "ballast"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        options = ["-t", "tmpfs", "-o", f"size={self._size}m,mode=0755", "region-sync-test", str(self.folder)]
        program = shutil.which("mount")
        if program is None or os.geteuid() != 0:
            pytest.skip("only root may mount a small disk")
        done = subprocess.run(
            [program, *options], capture_output=True, text=True, timeout=MOUNT_LIMIT_S, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], timeout=MOUNT_LIMIT_S, check=True)

    def fill(self) -> None:
        """Not a byte is left, until `empty`."""
        with self._ballast.open("ab", buffering=0) as file:
            for piece in PIECES:
                try:
                    while file.write(b"\0" * piece) == piece:
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def empty(self) -> None:
        """There is room again."""
        self._ballast.unlink(missing_ok=True)
