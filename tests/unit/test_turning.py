"""An event loop that does not turn ends its process, with all stacks; a process that was stopped is left
alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.agents.watchdog import EXIT_LOOP
from pipeline.turning import Turning

LIMIT_S = 60.0
TICK_S = 0.05

PROGRAM = """
import asyncio, sys, threading, time
from pipeline import telemetry
from pipeline.turning import watched_loop

def hold_the_loop():
    time.sleep({hold_s})

async def main():
    with watched_loop({limit_s}, {tick_s}):
        print("began", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        hold_the_loop()
        await asyncio.sleep({hold_s} and 3600)
        print("ended well", flush=True)

telemetry.set_up("info")
asyncio.run(main())
"""


def started(hold_s: float, limit_s: float) -> subprocess.Popen[str]:
    """A process whose loop turns until a line comes, and is held for so long then."""
    code = PROGRAM.format(hold_s=hold_s, limit_s=limit_s, tick_s=TICK_S)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    return process


def test_a_loop_that_hangs_ends_the_process_and_tells_where() -> None:
    process = started(hold_s=3_600, limit_s=0.5)
    _, told = process.communicate("go on\n", LIMIT_S)
    assert process.returncode == EXIT_LOOP
    assert "in hold_the_loop" in told, "the stack of the loop's thread"
    assert '"message": "the event loop has not turned for 1 s: ending, for a new start"' in told


def test_a_process_that_was_stopped_for_long_goes_on() -> None:
    """SIGSTOP and SIGCONT, as for a frozen machine or a laptop that slept: longer than the limit."""
    limit_s = 1.0
    process = started(hold_s=0, limit_s=limit_s)
    process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    while time.monotonic() < stopped + 3 * limit_s:
        time.sleep(TICK_S)
    process.send_signal(signal.SIGCONT)
    said, told = process.communicate("go on\n", LIMIT_S)
    assert (process.returncode, said) == (0, "ended well\n"), told


@pytest.mark.parametrize(
    ("ticks", "bites"),
    [
        ([1.0] * 60, False),
        ([1.0] * 61, True),
        ([1.0] * 59 + [3_600.0], True),
        ([1.0] * 50 + [3_600.0], False),
        ([3_600.0] * 30, False),
        ([3_600.0] * 31, True),
    ],
)
def test_time_counts_as_far_as_the_thread_was_awake(ticks: list[float], bites: bool) -> None:
    """Of a tick that came late two are counted at most."""
    turning = Turning(60.0, 1.0)
    assert any(turning.ticked(passed_s) for passed_s in ticks) is bites


def test_each_turn_begins_anew() -> None:
    turning = Turning(60.0, 1.0)
    for _ in range(10):
        assert not any(turning.ticked(1.0) for _ in range(60))
        turning.turned()
        turning.ticked(1.0)
        assert turning.silent_s == 0.0
