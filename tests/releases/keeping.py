"""Keeps a commit as the release before the next one: `make keep-release`, at a release.

In: a commit of this repository. Out: the three files beside this module; those of the release kept until then
go. Called by hand.
"""

from __future__ import annotations

import json
import lzma
import subprocess
import tarfile
import tomllib
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from tests.releases.kept import FOLDER, MANIFEST, Manifest, digest

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = (
    "pipeline",
    "bridges",
    "pyproject.toml",
    *(f"tests/{package}__init__.py" for package in ("", "unit/", "component/")),
    "tests/unit/agents",
    "tests/unit/outbox",
    "tests/component/outbox",
)
"""The code, and the contracts of its stores with what they need, which are to hold on newer tables too."""


def keep_code(commit: str) -> Manifest:
    """Its code alone; what it said is still to be recorded."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", commit, *KEPT], cwd=ROOT, check=True, capture_output=True
    ).stdout
    for old in (*FOLDER.glob("*.xz"), *FOLDER.glob("*.json")):
        old.unlink()
    version, full = told_by(packed)
    kept = Manifest(version, full, "", "")
    kept.code.write_bytes(lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME))
    return kept


def told_by(packed: bytes) -> tuple[str, str]:
    """The version, and the commit, which `git archive` writes into the archive's head."""
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        project = archive.extractfile("pyproject.toml")
        assert project is not None
        return tomllib.load(project)["project"]["version"], archive.pax_headers["comment"]


def write_said(kept: Manifest, said: dict[str, Any]) -> None:
    kept.said.write_bytes(lzma.compress(json.dumps(said).encode(), preset=9 | lzma.PRESET_EXTREME))


def write_manifest(kept: Manifest) -> None:
    told = Manifest(kept.version, kept.commit, digest(kept.code), digest(kept.said))
    MANIFEST.write_text(json.dumps(asdict(told), indent=2) + "\n")
