"""Processes that outlive their starter: started detached, found again by a mark, ended by pid.

In: a folder, a command. Out: running processes, each carrying the folder's path in the variable MARK. A
process is ours for that folder if, and only if, it carries the mark: that survives a lost pid file, covers
daemons that a service forks (Erlang's epmd), and cannot hit a stranger that got a recycled pid. Called by
`service`.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.services.errors import ServiceUnavailable, WaitTimeout

MARK = "REGION_SYNC_SERVICE_FOLDER"
POLL_S = 0.05
PORT_TRIES = 200


def spawn(folder: Path, argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Start `argv` in a session of its own, its output appended to folder/log, its pid written to folder/pid.

    The process is no child of ours afterwards (setsid --fork), so it stays when we end and leaves us nothing
    to reap.
    """
    with (folder / "log").open("ab") as log:
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", 'echo $$ > "$0"; exec "$@"', str(folder / "pid"), *argv],
            env={**env, MARK: str(folder)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )


def marked(folder: Path) -> list[int]:
    """The pids of all live processes that were started for this folder."""
    entries = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return sorted(int(entry.name) for entry in entries if _carries(entry, _mark(folder)))


def leader(folder: Path) -> int | None:
    """The pid of the process that `spawn` started, None once it has ended."""
    try:
        pid = int((folder / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if _carries(Path(f"/proc/{pid}"), _mark(folder)) else None


def end(folder: Path, pids: Sequence[int], number: signal.Signals, limit_s: float) -> bool:
    """Signal those of `pids` that still are processes of this folder; whether all of them ended within the
    limit.

    The check comes after opening the pidfd, so a pid cannot change hands in between; and a pidfd tells the
    end of a process only when its sockets are closed, so its ports are free then.
    """
    with contextlib.ExitStack() as descriptors:
        waiting: set[int] = set()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                descriptors.callback(os.close, descriptor)
                if _carries(Path(f"/proc/{pid}"), _mark(folder)):
                    signal.pidfd_send_signal(descriptor, number)
                    waiting.add(descriptor)
        until = time.monotonic() + limit_s
        while waiting and time.monotonic() < until:
            waiting -= set(select.select(waiting, [], [], until - time.monotonic())[0])
        return not waiting


def kill_all(folder: Path, limit_s: float = 10.0) -> None:
    """kill -9 everything of this folder, and wait until it has ended. Raises WaitTimeout."""

    def none_left() -> bool:
        pids = marked(folder)
        end(folder, pids, signal.SIGKILL, limit_s)
        return not pids

    wait_until(none_left, limit_s, f"the end of the processes of {folder}")


def wait_until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """Return as soon as `condition` holds. Raises WaitTimeout after `limit_s`, naming `what` was awaited."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise WaitTimeout(f"waited {limit_s:.0f} s in vain for {what}")
        time.sleep(POLL_S)


def free_port() -> int:
    """A free TCP port of 127.0.0.1, below the kernel's range for outgoing connections.

    Inside that range a client that keeps trying a stopped service's port can meet itself and hold the port
    for good.
    """
    ceiling = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(10_000, ceiling) if ceiling > 11_000 else range(ceiling, 65_000)
    for _ in range(PORT_TRIES):
        port = random.choice(ports)
        if is_free(port):
            return port
    raise ServiceUnavailable(
        f"no free TCP port was found in {PORT_TRIES} tries between {ports[0]} and {ports[-1]}"
    )


def is_free(port: int) -> bool:
    """Whether this port of 127.0.0.1 can be listened on now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _mark(folder: Path) -> bytes:
    return f"{MARK}={folder}".encode()


def _carries(entry: Path, mark: bytes) -> bool:
    try:
        return mark in (entry / "environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile, or another user's
        return False
