"""One list of commands: what the code calls, what `check` asks for, what the documented role allows."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.cloudstack.commands import ALL, CHANGES, READS
from pipeline.core.entities import Kind

ROOT = Path(__file__).parents[2]
CALLERS = ("agents", "check", "cloudstack", "core", "reconcile")
VERBS = "list|get|query|create|delete|disable|enable|lock|move|update|register|import"
COMMAND = re.compile(rf'"((?:{VERBS})[A-Z]\w+)"')
BY_KIND = re.compile(rf'f"({VERBS}){{(?:\w+\.)?kind}}"')
"""`f"update{target.kind}"` calls one command for each kind."""


def called() -> set[str]:
    """What the code names, wherever it does; the list itself does not count."""
    sources = [path for part in CALLERS for path in (ROOT / "pipeline" / part).rglob("*.py")]
    texts = [path.read_text("utf-8") for path in sources if path.name != "commands.py"]
    named = {name for text in texts for name in COMMAND.findall(text)}
    return named | {f"{verb}{kind}" for text in texts for verb in BY_KIND.findall(text) for kind in Kind}


def test_the_list_is_what_the_code_calls() -> None:
    # `enable{kind}` is said of accounts and users alone: there is no enableDomain, and the plan has none
    assert called() - {"enableDomain", "enableRole"} == set(ALL)
    assert len(ALL) == len(set(ALL))
    assert list(READS) == sorted(READS) and list(CHANGES) == sorted(CHANGES)


def test_the_documented_role_allows_just_that() -> None:
    text = (ROOT / "docs/least-privilege.md").read_text()
    rules = re.findall(r"^create rolepermission roleid=ROLE permission=(\w+) rule=(\S+)$", text, re.MULTILINE)
    assert rules == [*(("allow", name) for name in ALL), ("deny", "*")]


def test_the_readme_counts_them() -> None:
    for file in ("README.md", "SECURITY.md"):
        text = " ".join((ROOT / file).read_text().split())
        assert f"{len(ALL)} commands" in text, file
