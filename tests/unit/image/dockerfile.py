"""Reads the Dockerfile and .dockerignore, and carries out a stage's steps in a folder.

In: the files of the repository. Out: stages with their instructions; the files that the build is sent; a
folder with what the stage makes at `/opt/region-sync`. Called by the tests beside it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
STEP_LIMIT_S: Final = 600
FOLDERS: Final = ("/opt/region-sync", "/build")
"""What the Dockerfile writes to; here they lie below the folder that is given."""
UNCACHED: Final = "--no-cache-dir "
"""An image keeps no downloads; whoever tests it does."""


@dataclass(frozen=True)
class Stage:
    """`steps`: (instruction, the rest of its line)."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for found, text in self.steps if found == instruction]


def stages(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The arguments above the first stage, and the stages."""
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for instruction, rest in instructions(text):
        if instruction == "FROM":
            words = rest.split()
            found.append(Stage(words[0], words[2] if words[1:2] == ["AS"] else ""))
        elif found:
            found[-1].steps.append((instruction, rest))
        else:
            assert instruction == "ARG", instruction
            name, _, value = rest.partition("=")
            arguments[name] = value
    return arguments, found


def instructions(text: str) -> list[tuple[str, str]]:
    """One each, without comments, lines that go on put together."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    whole = re.sub(r"\\\n\s*", "", bare)
    split = [line.partition(" ") for line in whole.splitlines() if line.strip()]
    assert all(word.isupper() for word, _, _ in split), split
    return [(word, rest.strip()) for word, _, rest in split]


def context() -> list[str]:
    """The files that are sent to the build, as .dockerignore says: the last pattern that fits decides."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    sent = []
    for folder, below, files in os.walk(ROOT):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in files:
            path = str((Path(folder) / name).relative_to(ROOT))
            if not _ignored(path, patterns):
                sent.append(path)
    return sorted(sent)


def _ignored(path: str, patterns: Sequence[str]) -> bool:
    parts = path.split("/")
    places = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    ignored = False
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        anywhere = wanted.removeprefix("**/")
        fits = any(
            fnmatchcase(place.rpartition("/")[2], anywhere)
            if anywhere != wanted
            else place.count("/") == wanted.count("/") and fnmatchcase(place, wanted)
            for place in places
        )
        if fits:
            ignored = not pattern.startswith("!")
    return ignored


def carry_out(stage: Stage, folder: Path, python: Path) -> None:
    """Each step as it stands, below `folder`. `python` is what the base image would bring."""
    shims = _shims(folder, python)
    environment = {"PATH": f"{shims}:{os.environ['PATH']}", "HOME": str(Path.home()), "LANG": "C.UTF-8"}
    place = folder
    for instruction, text in stage.steps:
        match instruction:
            case "ARG":
                name, _, value = text.partition("=")
                environment[name] = value
            case "ENV":
                environment |= dict(word.split("=", 1) for word in text.split())
            case "WORKDIR":
                place = Path(_below(text, folder))
                place.mkdir(parents=True)
            case "COPY":
                _copy(text.split(), place)
            case "RUN":
                _run(_below(text, folder).replace(UNCACHED, ""), place, environment)
            case _:
                raise AssertionError(f"{instruction} is nothing that this can carry out")


def _shims(folder: Path, python: Path) -> Path:
    """`python` of the base image; its pip is ours, which has the machine's cache and its index."""
    shims = folder / "shims"
    shims.mkdir()
    ours = f'[ "$2" = pip ] && exec {sys.executable} "$@"'
    (shims / "python").write_text(f'#!/bin/sh\n{ours}\nexec {python} "$@"\n')
    (shims / "python").chmod(0o755)
    return shims


def _below(text: str, folder: Path) -> str:
    for name in FOLDERS:
        text = re.sub(rf"(?<![\w/]){name}\b", f"{folder}{name}", text)
    return text


def _copy(words: Sequence[str], place: Path) -> None:
    """Only what is sent to the build can be copied."""
    *sources, target = words
    sent = context()
    for source in sources:
        chosen = [path for path in sent if path == source or path.startswith(f"{source}/")]
        assert chosen, f"{source} is not sent to the build"
        for path in chosen:
            goal = place / target / Path(path).relative_to(source if path != source else Path(path).parent)
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, goal)


def _run(text: str, place: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        ["/bin/sh", "-ec", text],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=STEP_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
