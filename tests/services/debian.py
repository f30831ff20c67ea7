"""Debian packages, installed only when missing and when we are root. Nothing that they bring is started.

In: the programs that are wanted and the packages that hold them. Out: the programs' paths. Called by the
services' modules.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.services.errors import ServiceUnavailable
from tests.services.quiet import quietly

POLICY = Path("/usr/sbin/policy-rc.d")
TRIES = 3
INSTALL_LIMIT_S = 600


def find(program: str) -> Path | None:
    """Where a program is, None if it is not installed. Looks in the folders of system daemons too."""
    found = shutil.which(
        program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    )
    return Path(found) if found else None


def require(program: str, packages: Sequence[str], units: Sequence[str] = ()) -> Path:
    """The program's path, after installing `packages` if it is missing; systemd's `units` of them stay off.

    Raises ServiceUnavailable when it is missing and cannot be installed.
    """
    found = find(program)
    if found is None:
        install(packages, units)
        found = find(program)
    if found is None:
        raise ServiceUnavailable(f"{program} is missing although Debian's {' '.join(packages)} was installed")
    return found


def install(packages: Sequence[str], units: Sequence[str]) -> None:
    """apt-get install, up to TRIES times, each after an update. Raises ServiceUnavailable."""
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise ServiceUnavailable(
            f"{names} is missing and this is no Debian: install it, or give the service's address (env)"
        )
    if os.geteuid() != 0:
        raise ServiceUnavailable(f"{names} is missing: install it with `apt-get install {names}` as root")
    print(f"installing {names} ...", file=sys.stderr, flush=True)
    with _one_at_a_time(), _nothing_started():
        for attempt in range(1, TRIES + 1):
            error = _apt(["update"]) or _apt(["install", "-y", "--no-install-recommends", *packages])
            if error is None:
                break
            print(f"apt-get failed ({attempt} of {TRIES}): {error}", file=sys.stderr, flush=True)
        else:
            raise ServiceUnavailable(f"{names} could not be installed: {error}")
    if (
        units and Path("/run/systemd/system").exists()
    ):  # or they would start at the next boot, on their usual ports
        subprocess.run(["systemctl", "disable", *units], capture_output=True, check=False)


def _apt(arguments: Sequence[str]) -> str | None:
    """Run apt-get; None if it went well, else its last words."""
    try:
        done = quietly(
            ["apt-get", "-q", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120", *arguments],
            INSTALL_LIMIT_S,
            variables={"DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.TimeoutExpired:
        return f"apt-get {arguments[0]} took more than {INSTALL_LIMIT_S} s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (Path(tempfile.gettempdir()) / "region-sync-apt.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _nothing_started() -> Iterator[None]:
    """While packages are installed, forbid their scripts to start services, as Debian's invoke-rc.d(8)
    offers.

    A policy that the machine already has is left as it is.
    """
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
