"""The Dockerfile's steps, carried out: what is locked is in it and nothing else; it runs as somebody who owns
nothing and may write nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.markers import Marker

from tests.unit.image.dockerfile import ROOT, carry_out, stages
from tests.unit.test_locks import PIN, RUNTIME, canonical

UID: Final = 10001
LIMIT_S: Final = 180.0
PROJECT: Final = "cloudstack-region-sync"
LISTING: Final = """
import json, sys
from importlib.metadata import distributions
print(json.dumps([list(sys.version_info[:3]), {one.name: one.version for one in distributions()}]))
"""


def interpreter() -> Path:
    """One that the image's user may run too: root's own Python lies where nobody else may look."""
    own = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    for python in (own, Path("/usr/bin/python3"), Path("/usr/local/bin/python3")):
        if not python.exists():
            continue
        code = "import sys; sys.exit(sys.version_info < (3, 11))"
        command = [*as_user(), python, "-c", code]
        if subprocess.run(command, capture_output=True, cwd="/", check=False).returncode == 0:
            return python
    pytest.skip("no Python 3.11 that another user may run")


def as_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs"]


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Where another user may look; pytest's own folders are private."""
    folder = Path(tempfile.mkdtemp(prefix="region-sync-image-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def build(folder: Path) -> Path:
    """The folder that the last stage takes over."""
    _, (stage, _) = stages((ROOT / "Dockerfile").read_text())
    carry_out(stage, folder, interpreter())
    return folder / "opt/region-sync"


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    with open_folder() as folder:
        yield build(folder)


def test_what_is_installed_is_what_is_locked(image: Path) -> None:
    said = subprocess.run([image / "bin/python", "-c", LISTING], capture_output=True, check=True).stdout
    version, found = json.loads(said)
    installed = {canonical(name): number for name, number in found.items()}
    assert installed.pop(PROJECT)
    full = ".".join(map(str, version))
    here = {"python_version": ".".join(map(str, version[:2])), "python_full_version": full}
    pins = [match for line in (ROOT / RUNTIME).read_text().splitlines() if (match := PIN.match(line))]
    wanted = {canonical(pin[1]): pin[2] for pin in pins if not pin[3] or Marker(pin[3]).evaluate(here)}
    assert installed == wanted


def test_there_are_no_tests_no_caches_and_nothing_to_install_with(image: Path) -> None:
    files = [path.relative_to(image) for path in image.rglob("*")]
    assert [path for path in files if path.name in ("tests", "test", ".cache", "pip", "gcc", "cc")] == []
    ours = [path for path in files if path.suffix == ".py" and {"pipeline", "bridges"} & set(path.parts)]
    assert len(ours) > 100
    tag = f".{next(path for path in files if path.suffix == '.pyc').name.split('.')[1]}.pyc"
    assert [path for path in ours if path.parent / "__pycache__" / (path.stem + tag) not in set(files)] == []


def test_compiled_files_are_bound_to_sources_and_not_to_times(image: Path) -> None:
    """PEP 552: the second word of a file says how it is checked; 1: by the source's hash, and never."""
    compiled = list(image.rglob("*.pyc"))
    assert len(compiled) > 1000
    assert {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled} == {1}
    assert {path.lstat().st_mtime for path in image.rglob("*")} == {0.0}


class Place:
    """A folder that its user may not write to, as a read-only root file system has it, and a volume."""

    def __init__(self, folder: Path, image: Path) -> None:
        self._program = image / "bin/region-sync"
        self.home, self.volume = folder / "home", folder / "volume"
        self.home.mkdir(mode=0o555)
        self.volume.mkdir()
        if os.geteuid() == 0:
            os.chown(self.volume, UID, UID)
        self._running: list[subprocess.Popen[bytes]] = []

    def environment(self) -> dict[str, str]:
        home = str(self.home)
        given = {"HOME": home, "TMPDIR": home, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return {"PATH": f"{self._program.parent}:/usr/bin:/bin", **given}

    def said(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*as_user(), self._program, *arguments],
            cwd=self.home,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def start(self, name: str, *arguments: str) -> Path:
        """Its output's file."""
        log = self.volume.parent / f"{name}.log"
        with log.open("wb") as out:
            self._running.append(
                subprocess.Popen(
                    [*as_user(), self._program, *arguments],
                    cwd=self.home,
                    env=self.environment(),
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
            )
        return log

    def line(self, log: Path, holds: str) -> Any:
        """The first that holds these words, as JSON, once it is there."""
        limit = time.monotonic() + LIMIT_S
        while True:
            for line in log.read_text().split("\n")[:-1]:  # whole lines
                if holds in line:
                    return json.loads(line)
            assert time.monotonic() < limit, log.read_text()
            assert all(one.poll() is None for one in self._running), log.read_text()
            time.sleep(0.05)

    def stop(self) -> Sequence[int]:
        for one in reversed(self._running):
            one.terminate()
        return [one.wait(LIMIT_S) for one in self._running]


@pytest.fixture
def place(image: Path) -> Iterator[Place]:
    with open_folder() as folder:
        made = Place(folder, image)
        try:
            yield made
        finally:
            for one in made._running:
                if one.poll() is None:
                    one.kill()
                    one.wait()


def test_it_tells_its_version_and_its_commands(place: Place) -> None:
    assert place.said("--version").stdout == f"region-sync {version()}\n"
    helped = place.said("--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "migrate" in helped.stdout
    assert list(place.home.iterdir()) == []


def test_its_processes_need_to_write_nowhere(place: Place) -> None:
    """A simulated region and all of the pipeline, as that user; only the database has a volume."""
    region = place.line(place.start("sandbox", "sandbox", "--regions", "1"), '"regions"')["regions"][0]
    settings = place.volume.parent / "regions.yaml"
    settings.write_text(
        f"database: sqlite:///{place.volume}/region-sync.db\nweb: {{port: 0}}\nregions:\n"
        f"  - name: {region['name']}\n    host: {region['endpoint'].removesuffix('/client/api')}\n"
        f"    api_key: {region['service']['apikey']}\n    secret_key: {region['service']['secretkey']}\n"
    )
    log = place.start("run", "run", "-c", str(settings))
    address = place.line(log, '"pages: http')["message"].removeprefix("pages: ")
    limit = time.monotonic() + LIMIT_S
    while (asked := place.said("health", "--ready", "--url", address)).returncode != 0:
        assert time.monotonic() < limit, f"{asked.stdout}\n{log.read_text()}"
    assert '"ready": true' in asked.stdout
    assert list(place.home.iterdir()) == []
    assert place.stop()[1] == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def version() -> str:
    text = (ROOT / "pyproject.toml").read_text()
    return text.partition('\nversion = "')[2].partition('"')[0]


@pytest.mark.slow
def test_built_again_it_is_the_same_to_the_byte(image: Path) -> None:
    before = digest(image)
    shutil.rmtree(image.parents[1])
    image.parents[1].mkdir(mode=0o755)
    assert digest(build(image.parents[1])) == before


def digest(folder: Path) -> dict[str, str]:
    """Each file with its mode and what it holds."""
    return {
        str(path.relative_to(folder)): f"{path.lstat().st_mode:o} "
        + (str(path.readlink()) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
