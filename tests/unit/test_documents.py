"""What the documents tell a person to type exists: commands, options, links; each alarm has its section."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.main import get_command

from pipeline.cli.program import build
from tests.documents import ROOT, anchor, blocks, documents, headings, prose

RUNBOOK = ROOT / "docs/runbook.md"
ALERTS = ROOT / "k8s/monitoring/alerts.yaml"
NAMES = {"ID": "7", "UUID": "5c1c3a52-7c8e-4ad6-9a2f-3b1f0c9f2a11", "TIME": "2h", "HASH": "3f9a", "R": "r1"}
"""What stands for a value."""
OURS = re.compile(r"(?:^|(?<!-n)\s)(?:region-sync|-m pipeline) (?=[a-z-])(.*)$")
"""Not the namespace of that name, which kubectl is given by `-n`."""
MAKE = re.compile(r"^make ([a-z-]+)")
UsageError: Any = typer.BadParameter.__bases__[0]
"""Of typer's own click, which has no public name."""


class Wrong(Exception):
    """Why a command can't be typed."""


def understood(words: list[str], whole: bool) -> None:
    """`whole`: all that it needs must be said, as where it stands to be copied."""
    command: Any = get_command(build())
    said = [NAMES.get(word, word) for word in words]
    while hasattr(command, "commands"):
        if not said or said[0].startswith("-"):
            if whole and not command.invoke_without_command and not set(said) & {"--help", "--version"}:
                raise Wrong("it needs a command")
            return
        if said[0] not in command.commands:
            if command.invoke_without_command:
                break
            raise Wrong(f"no command {said[0]}")
        command = command.commands[said.pop(0)]
    if whole:
        try:
            command.make_context("x", said)
        except UsageError as error:
            raise Wrong(error.format_message()) from error
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown = [word for word in said if word.startswith("-") and word.partition("=")[0] not in known]
    if unknown:
        raise Wrong(f"no option {unknown[0]}")


def typed(line: str) -> list[str] | None:
    """The words of a command of ours; None: it is none. What a comment says does not count."""
    try:
        bare = " ".join(shlex.quote(word) for word in shlex.split(line, comments=True))
    except ValueError:  # no command: an apostrophe of a picture, or of a program's own output
        return None
    found = OURS.search(bare)
    words = shlex.split(found[1]) if found else None
    return None if words is None or words[0] in (">", "|") else words


def commands() -> list[Any]:
    """(words, whether it is whole) of all documents."""
    found = []
    for path in documents():
        written = [(line, True) for block in blocks(path) for line in block.lines if not line.startswith("#")]
        written += [(line, False) for line in prose(path)]
        found += [
            pytest.param(words, whole, id=f"{path.relative_to(ROOT)}: {' '.join(words)}")
            for line, whole in written
            if (words := typed(line)) is not None
        ]
    return found


@pytest.mark.parametrize(("words", "whole"), commands())
def test_every_command_that_is_written_exists(words: list[str], whole: bool) -> None:
    understood(words, whole)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("region-sync scna --all", "no command scna"),
        ("region-sync outbox lsit", "no command lsit"),
        ("region-sync scan --al", "No such option"),
        ("region-sync bridge", "Missing option"),
        ("region-sync outbox show x", "a valid integer"),
        ("docker compose exec hub region-sync holds refuse", "Missing argument"),
    ],
)
def test_what_does_not_exist_is_found(line: str, why: str) -> None:
    words = typed(line)
    assert words is not None
    with pytest.raises(Wrong, match=why):
        understood(words, whole=True)


def test_the_documents_are_read() -> None:
    found = [" ".join(one.values[0]) for one in commands()]
    assert len(found) > 100
    assert "replay --region r1 --from beginning --dry-run" in found


def test_every_target_of_make_that_is_written_exists() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in documents():
        lines = [line for block in blocks(path) for line in block.lines] + list(prose(path))
        assert {found[1] for line in lines if (found := MAKE.match(line))} <= known, path


def test_every_link_leads_somewhere() -> None:
    for path in documents():
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if "://" in target:
                continue
            file, _, place = target.partition("#")
            other = (path.parent / file) if file else path
            assert other.exists(), f"{path.name}: {target}"
            if place:
                assert place in {anchor(text) for _, text in headings(other)}, f"{path.name}: {target}"


PATH = re.compile(r"[\w.-]+(?:/[\w.*-]+)+/?")
BELOW = ("", "pipeline", "docs", "k8s", "k8s/overlays/example")
"""Whose folders a path may begin in."""
NOT_OURS = {"acme/sales", "META-INF/cloudstack/event", ".services/go"}
"""A domain, a folder of CloudStack's, and one that the tests make when they first need it."""


def is_there(path: str) -> bool:
    """A file, a folder, a module without its ending, or a name in one."""
    for folder in BELOW:
        whole = ROOT / folder / path
        module, _, name = path.rpartition(".")
        inside = ROOT / folder / f"{module}.py"
        if any((ROOT / folder).glob(path)) or whole.with_name(f"{whole.name}.py").exists():
            return True
        if inside.exists() and re.search(
            rf"^\s*(?:class |(?:async )?def )?{name}\b", inside.read_text(), re.MULTILINE
        ):
            return True
    return False


def test_every_path_that_is_written_exists() -> None:
    written = {
        (path.relative_to(ROOT), word)
        for path in documents()
        for word in prose(path)
        if PATH.fullmatch(word) and word not in NOT_OURS
    }
    assert len(written) > 150
    assert sorted(f"{path}: {word}" for path, word in written if not is_there(word)) == []


@pytest.mark.parametrize(
    "path", ["core/merg", "core/entities.FIELD", "tests/unit/core/test_merges.py", "bridges/"]
)
def test_a_path_that_is_not_there_is_found(path: str) -> None:
    assert is_there(path) is (path == "bridges/")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def part(name: str) -> list[str]:
    """The sections of that part of the runbook."""
    found, inside = [], False
    for level, text in headings(RUNBOOK):
        if level == 1:
            inside = text == name
        elif inside:
            found.append(text)
    return found


def section(name: str) -> str:
    return RUNBOOK.read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_each_alarm_has_its_section_in_the_alarms_order() -> None:
    assert part("Alarms") == [rule["alert"] for rule in alerts()]
    for name in part("Alarms"):
        words = re.findall(r"^\*\*(\w+)\.\*\* \S", section(name), re.MULTILINE)
        assert words == ["Meaning", "Check", "Cure"], name


def index() -> list[tuple[set[str], set[str]]]:
    """The rows of the runbook's first table: the alarms and the tasks that each links to."""
    table = RUNBOOK.read_text().partition("\n# What you see\n")[2].partition("\n# ")[0]
    rows = [re.findall(r"\]\(#([\w-]+)\)", line) for line in table.splitlines()[2:]]
    alarms = {anchor(name) for name in part("Alarms")}
    return [(set(row) & alarms, set(row) - alarms) for row in rows]


def test_every_alarm_is_found_by_what_one_sees() -> None:
    found = [alarm for alarms, _ in index() for alarm in alarms]
    assert sorted(found) == sorted(anchor(name) for name in part("Alarms"))


@pytest.mark.parametrize("task", part("Tasks"))
def test_every_task_is_found_by_an_alarm_s_name(task: str) -> None:
    link = f"(#{anchor(task)})"
    told = [name for name in part("Alarms") if link in section(name)]
    beside = [alarms for alarms, tasks in index() if alarms and anchor(task) in tasks]
    assert told or beside, f"no alarm leads to it, in its section or in the table at the top: {task}"
    assert anchor(task) in {one for _, tasks in index() for one in tasks}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_each_alarm_links_to_its_section_and_its_commands_exist(rule: dict[str, Any]) -> None:
    file, _, place = rule["annotations"]["runbook_url"].partition("#")
    assert (ROOT / file, place) == (RUNBOOK, anchor(rule["alert"]))
    for line in re.findall(r"`([^`]+)`", rule["annotations"]["description"]):
        words = typed(re.sub(r"{{.*?}}", "r1", line))
        if words is not None:
            understood(words, whole=False)


@pytest.mark.parametrize(
    "task",
    [
        "Losing Kafka",
        "Losing the database",
        "Losing a region",
        "Adding a region",
        "Removing a region",
        "Rotating keys and passwords",
        "Upgrading",
        "Restoring from backup",
    ],
)
def test_each_task_is_there(task: str) -> None:
    assert task in part("Tasks")
    assert len(section(task).split()) > 20


def test_the_settings_that_the_runbook_names_exist() -> None:
    example = (ROOT / "regions.example.yaml").read_text()
    for name in (
        "lanes",
        "rate_per_s",
        "stall_limit_s",
        "dead_letters_per_minute",
        "gap_fill_grace_s",
        "mode",
    ):
        assert f"`{name}`" in RUNBOOK.read_text()
        assert re.search(rf"^\s*{name}:", example, re.MULTILINE), name


def test_a_block_without_its_end_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n```\nx\n")
    with pytest.raises(AssertionError, match="has no end"):
        blocks(tmp_path / "a.md")
