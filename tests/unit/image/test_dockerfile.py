"""What the Dockerfile says: one image, pinned, of nobody special, and it is sent no more than it needs."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from typing import Any

import pytest
from typer.main import get_command

from pipeline.cli.program import build
from tests.unit.image.dockerfile import ROOT, Stage, _ignored, context, instructions, stages

ARGUMENTS, (BUILD, FINAL) = stages((ROOT / "Dockerfile").read_text())


def test_the_base_is_pinned_to_a_version_and_the_same_for_both_stages() -> None:
    assert {BUILD.base, FINAL.base} == {"${BASE}"}
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", ARGUMENTS["BASE"])
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert ARGUMENTS["BASE"].startswith(f"python:{least.removeprefix('>=')}.")


def test_it_runs_as_a_user_with_fixed_numbers_and_no_home_to_write_to() -> None:
    (user,) = FINAL.all("USER")
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", user)
    uid, gid = user.split(":")
    made = " ".join(FINAL.all("RUN"))
    assert f"--uid {uid} --gid {gid}" in made and f"groupadd --system --gid {gid}" in made
    kinds = [kind for kind, _ in FINAL.steps]
    assert "RUN" not in kinds[kinds.index("USER") :], "nothing is made as that user"


def test_nothing_of_the_build_is_left_in_it() -> None:
    assert FINAL.all("COPY") == ["--from=build /opt/region-sync /opt/region-sync"]
    assert "pip uninstall" in " ".join(FINAL.all("RUN"))
    for stage in (BUILD, FINAL):
        assert not stage.all("ADD"), "it would fetch what nobody compares"
        for text in stage.all("RUN"):
            assert not re.search(r"apt-get|curl|wget|apk ", text)


def test_every_download_is_compared_and_none_is_kept() -> None:
    installs = [text for text in BUILD.all("RUN") if " install " in text]
    assert len(installs) == 2
    assert all("--no-cache-dir" in text for text in installs)
    assert "--require-hashes" in installs[0] and "--only-binary :all:" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]


def test_its_labels_tell_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', " ".join(FINAL.all("LABEL"))))
    assert labels["version"] == project["version"]
    assert labels["licenses"] == project["license"]


def test_the_health_check_is_a_command_of_ours() -> None:
    (text,) = FINAL.all("HEALTHCHECK")
    words = json.loads(text.partition("CMD ")[2])
    command: Any = get_command(build())
    assert words[0] == "region-sync"
    assert command.commands[words[1]].make_context("x", words[2:])
    assert json.loads(FINAL.all("ENTRYPOINT")[0]) == ["region-sync"]


def test_what_is_sent_is_what_is_copied_and_what_is_kept_in_the_repository() -> None:
    sent = context()
    copied = [word for text in BUILD.all("COPY") for word in text.split()[:-1]]
    needless = [path for path in sent if path.split("/")[0] not in copied]
    assert needless == []
    known = subprocess.run(["git", "ls-files", *copied], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = set(known.stdout.splitlines())
    assert {path for path in tracked if path not in sent} == set(), "what is tracked is sent"
    assert not [path for path in sent if path.endswith((".pyc", ".db", ".log", ".pem", ".key"))]


@pytest.mark.parametrize(
    ("path", "is_sent"),
    [
        ("pipeline/run.py", True),
        ("bridges/data/a.json", True),
        ("README.md", True),
        ("docs/README.md", False),
        ("tests/pipeline/a.py", False),
        ("regions.yaml", False),
        ("pipeline/__pycache__/run.cpython-311.pyc", False),
        ("pipeline/core/merge.pyc", False),
        ("pipeline/regions.yaml", False),
        ("bridges/secret.env", False),
        ("pipeline/region-sync.db", False),
    ],
)
def test_dockerignore(path: str, is_sent: bool) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert _ignored(path, patterns) != is_sent


def test_lines_that_go_on_are_one_and_comments_between_them_none() -> None:
    text = "# a\nFROM x AS y\nRUN one && \\\n    # why\n    two\n"
    assert instructions(text) == [("FROM", "x AS y"), ("RUN", "one && two")]
    assert stages(text) == ({}, [Stage("x", "y", [("RUN", "one && two")])])
