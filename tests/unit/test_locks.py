"""What is installed is what was locked: by version, by hash; and the bill of materials says the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNTIME, DEV = "requirements.lock", "requirements-dev.lock"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.+?))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def canonical(name: str) -> str:
    """As package indexes compare names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(file: str) -> dict[str, str]:
    """Package → version; each has hashes, and the file holds nothing else."""
    found: dict[str, str] = {}
    hashes: dict[str, int] = {}
    name = ""
    for line in (ROOT / file).read_text().splitlines():
        if line.startswith("#"):
            continue
        if pin := PIN.match(line):
            name = canonical(pin[1])
            found[name], hashes[name] = pin[2], 0
        else:
            assert HASH.match(line), line
            hashes[name] += 1
    assert all(hashes.values())
    return found


def declared(extra: str = "") -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {canonical(re.split(r"[<>=!~ \[;]", one)[0]) for one in wanted}


def test_all_that_is_declared_is_locked_with_hashes() -> None:
    runtime, dev = locked(RUNTIME), locked(DEV)
    assert declared() | {"setuptools"} <= runtime.keys()
    assert declared("dev") <= dev.keys()
    assert runtime.items() <= dev.items(), "the same versions for whoever runs it and whoever tests it"
    assert not declared("dev") & runtime.keys(), "nobody who runs it needs the tests' tools"


@pytest.mark.parametrize("file", [RUNTIME, DEV])
def test_no_index_is_named(file: str) -> None:
    assert "://" not in (ROOT / file).read_text()


def test_installations_compare_hashes() -> None:
    """Every pip that installs something compares hashes, but for the project itself, which brings nothing."""
    for file in ("Makefile", "Dockerfile"):
        text = (ROOT / file).read_text().replace("\\\n", " ")
        installs = [
            line
            for line in text.splitlines()
            if re.search(r"\$\(PIP\) |pip(?: --python \S+)? install ", line)
        ]
        wrong = [
            one
            for line in installs
            for one in re.split(r"&&", line)
            if re.search(r"(\$\(PIP\)|pip(?: --python \S+)? install)", one)
            and not re.search(r"--require-hashes|--no-deps --no-build-isolation|^PIP ", one)
        ]
        assert installs and wrong == [], file


def test_the_bill_of_materials_lists_what_is_locked(tmp_path: Path) -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nsbom: ")[2].partition("\n\n")[0]
    words = recipe.replace("\\\n", " ").partition("cyclonedx-py ")[2].splitlines()[0].split()
    words[words.index("-o") + 1] = str(tmp_path / "sbom.json")
    tool = Path(sys.executable).with_name("cyclonedx-py")
    subprocess.run([tool, *words], cwd=ROOT, check=True, capture_output=True)
    made = json.loads((tmp_path / "sbom.json").read_text())
    assert made["bomFormat"] == "CycloneDX"
    assert made["metadata"]["component"]["name"] == "cloudstack-region-sync"
    listed = {canonical(one["name"]): one["version"] for one in made["components"]}
    assert listed == locked(RUNTIME)
    # the hashes of what may be installed belong to what is listed
    kept = {one["name"] for one in made["components"] if _hashes(one)}
    assert kept == {one["name"] for one in made["components"]}


def _hashes(component: dict[str, object]) -> list[object]:
    references = component.get("externalReferences")
    assert isinstance(references, list)
    return [found for one in references for found in one.get("hashes", [])]
