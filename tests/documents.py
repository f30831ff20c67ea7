"""Reads the documents: their code blocks, under which heading each stands, and the commands in their prose.

In: a Markdown file. Out: what is written there to be typed. Called by the tests that hold commands to the
program, and by those that carry them out.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_INLINE: Final = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_HEADING: Final = re.compile(r"^#+ (.+)$")
_FENCE: Final = re.compile(r"^\s*```")


@dataclass(frozen=True)
class Block:
    """`lines`: without what all of them are indented by."""

    heading: str
    lines: tuple[str, ...]


def documents() -> list[Path]:
    """All that people read here, but for what is of the past."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("k8s/**/*.md")]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def blocks(path: Path) -> list[Block]:
    """In their order."""
    found: list[Block] = []
    heading, inside = "", None
    for line in path.read_text().splitlines():
        if _FENCE.match(line):
            if inside is not None:
                found.append(Block(heading, tuple(textwrap.dedent("\n".join(inside)).splitlines())))
            inside = [] if inside is None else None
        elif inside is not None:
            inside.append(line.rstrip())
        elif title := _HEADING.match(line):
            heading = title[1]
    assert inside is None, f"{path}: a block has no end"
    return found


def prose(path: Path) -> Iterator[str]:
    """What stands between backticks outside of the blocks; it may go on in the next line."""
    kept, inside = [], False
    for line in path.read_text().splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    for paragraph in re.split(r"\n\s*\n", "\n".join(kept)):
        yield from (" ".join(found.split()) for found in _INLINE.findall(paragraph))


def headings(path: Path) -> list[tuple[int, str]]:
    """(level, text)."""
    found, inside = [], False
    for line in path.read_text().splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside and _HEADING.match(line):
            hashes, _, text = line.partition(" ")
            found.append((len(hashes), text))
    return found


def anchor(heading: str) -> str:
    """What a link to it says, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
