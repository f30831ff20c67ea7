"""Keeps what a process holds in memory out of files: no core dump, and no look into it by others of its user.

In: nothing. Out: nothing. Called at the start of each command that runs for long and holds secrets. Whoever
must debug one starts it as root: root may look all the same.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

PR_SET_DUMPABLE: Final = 4
"""prctl(2)."""


def forbid() -> None:
    """For this process and all that it starts."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if (
        sys.platform == "linux"
    ):  # a core that is piped to a program has no limit of size: this one counts there
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
