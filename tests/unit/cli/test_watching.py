"""`status --watch` as a process of its own, on a terminal and in a pipe: what changes shows, Ctrl-C ends
it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from pipeline.core.entities import Kind
from pipeline.outbox.hub import HubStore
from tests.unit.cli.conftest import Call
from tests.unit.outbox.builders import Clock, keep, record

ROOT = Path(__file__).parents[3]
LIMIT_S = 90.0


def start(config: str, out: int, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "status", "--watch", "-c", config, *more]
    environment = {**os.environ, "COLUMNS": "140", "TERM": "xterm"}
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, env=environment
    )


def read_until(descriptor: int, seen: Callable[[str], bool]) -> str:
    text, limit = "", time.monotonic() + LIMIT_S
    while not seen(text):
        assert time.monotonic() < limit, text
        text += os.read(descriptor, 65_536).decode(errors="replace")
    return text


def ends(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGINT)
    return process.wait(LIMIT_S)


def test_on_a_terminal_it_shows_what_has_changed_and_ends_by_ctrl_c(config: str, engine: Engine) -> None:
    ours, theirs = pty.openpty()
    process = start(config, theirs)
    try:
        assert "Domain" not in read_until(ours, lambda text: "stuck: 0" in text)
        keep(HubStore(engine, Clock()), record(Kind.DOMAIN, "d-1", "emea"), sent=("berlin",))
        read_until(ours, lambda text: "entities: 1 Domain" in text)
        assert ends(process) == 130
    finally:
        process.kill()
        os.close(ours)
        os.close(theirs)


def test_in_a_pipe_each_look_is_a_line_of_json(config: str, engine: Engine) -> None:
    ours, theirs = os.pipe()
    process = start(config, theirs, "--json")
    try:
        said = read_until(ours, lambda text: text.count("\n") == 2)
        assert [len(json.loads(line)["regions"]) for line in said.splitlines()] == [2, 2]
        assert ends(process) == 130
    finally:
        process.kill()
        os.close(ours)
        os.close(theirs)


def test_without_tables_it_does_not_wait_for_them(region_sync: Call, config: str) -> None:
    ended = region_sync("status", "--watch", "-c", config)
    assert ended.code == 1
    assert "no tables yet" in ended.err


def test_a_shell_can_be_taught_to_complete() -> None:
    """What bash asks after `region-sync out<tab>`."""
    environment = {**os.environ, "_REGION_SYNC_COMPLETE": "complete_bash"}
    environment |= {"COMP_WORDS": "region-sync out", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "pipeline"]
    told = subprocess.check_output(command, env=environment, cwd=ROOT, text=True, timeout=LIMIT_S)
    assert told.split() == ["outbox"]
