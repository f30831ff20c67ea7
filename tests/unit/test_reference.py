"""docs/reference.md names every command, option and setting, and the README every command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from pipeline.cli.program import build

ROOT = Path(__file__).parents[2]


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))
    if not getattr(command, "commands", None):
        yield " ".join(path), command


def test_every_command_and_option_is_in_the_reference() -> None:
    text = (ROOT / "docs/reference.md").read_text()
    missing = []
    for name, command in commands(get_command(build()), ("region-sync",)):
        section = text.partition(f"### `{name}`\n")[2].partition("\n### ")[0]
        options = [option for one in command.params for option in one.opts if option.startswith("--")]
        missing += [f"{name} {option}" for option in options if f"`{option}`" not in section]
        missing += [] if section else [name]
    assert [one for one in missing if not one.endswith("--help")] == []


def test_the_reference_holds_the_example_as_it_is() -> None:
    example = (ROOT / "regions.example.yaml").read_text().rstrip()
    assert example in (ROOT / "docs/reference.md").read_text()


def test_the_readme_s_commands_exist() -> None:
    text = (ROOT / "README.md").read_text()
    known = {name for name, _ in commands(get_command(build()), ("region-sync",))}
    for name in known:
        words = name.removeprefix("region-sync ").split()
        assert words[-1] in text, name
