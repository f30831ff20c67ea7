"""A process with secrets leaves no core dump."""

from __future__ import annotations

import json
import subprocess
import sys

CHILD = """
import ctypes, json, resource
from pipeline import dumps
dumps.forbid()
PR_GET_DUMPABLE = 3
print(json.dumps([resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(PR_GET_DUMPABLE)]))
"""


def test_neither_a_file_nor_a_program_gets_one() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, check=True)
    limits, dumpable = json.loads(done.stdout)
    assert limits == [0, 0]
    assert sys.platform != "linux" or dumpable == 0
