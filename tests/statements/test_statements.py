"""What is said to MariaDB is the closed list of `docs/database.md`: nothing more, and nothing less.

The contract tests that are marked `statements` run once more, in a process of their own, on a database of
their own; a plugin hears all that reaches the driver. They must pass every call of `execute` in the stores.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from tests.services.fixtures import Address
from tests.services.stack import DATABASE
from tests.statements.features import assignments, features
from tests.statements.places import places
from tests.statements.recording import TARGET

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = ROOT / "docs" / "database.md"
CONTRACTS: Final = "tests/component/outbox/test_mariadb.py"
EVERYWHERE: Final = "everywhere"
WIDE: Final = 7
"""Modules from which on a feature is used everywhere."""
LIMIT_S: Final = 300

_ROW: Final = re.compile(r"^\| `([^`]+)` \| (?:`` (.+) ``|`([^`]+)`) \| ([^|]+) \|$", re.MULTILINE)
_NAME: Final = re.compile(r"`([^`]+)`")

Heard = set[tuple[str, str]]


@pytest.fixture(scope="module")
def heard(service_address: Address, tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """(statement, line of ours) of all that our code had said."""
    target = tmp_path_factory.mktemp("statements") / "heard.json"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "statements", "-p", "tests.statements.recording"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:randomly", CONTRACTS],
        cwd=ROOT,
        env={**os.environ, DATABASE: service_address(DATABASE), TARGET: str(target)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return {(statement, line) for statement, line in json.loads(target.read_text()) if line}


def found(heard: Heard) -> dict[str, dict[str, set[str]]]:
    """Feature → statement → the modules that say it."""
    used: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for statement, line in sorted(heard):
        for feature in features(statement):
            used[feature][statement].add(module(line))
    return used


def module(line: str) -> str:
    """Below `pipeline/outbox`; all migrations are one."""
    name = line.partition(":")[0].removesuffix(".py").removeprefix("outbox/")
    return "migrations" if name.startswith("migrations/") else name


def rendered(feature: str, uses: dict[str, set[str]]) -> str:
    """The line for the document, with the shortest example."""
    modules = sorted(set().union(*uses.values()))
    where = EVERYWHERE if len(modules) >= WIDE else ", ".join(f"`{name}`" for name in modules)
    example = min(sorted(uses), key=len)
    code = f"`` {example} ``" if "`" in example else f"`{example}`"
    return f"| `{feature}` | {code} | {where} |"


def listed() -> dict[str, tuple[str, set[str]]]:
    """Feature → its example, and the modules that are named."""
    rows = _ROW.findall(DOCUMENT.read_text())
    found = {name: (ticked or plain, set(_NAME.findall(where))) for name, ticked, plain, where in rows}
    assert len(found) == len(rows), "a feature is listed twice"
    return found


@pytest.mark.services
def test_every_statement_of_the_stores_is_heard(heard: Heard) -> None:
    lines = {line for _, line in heard}
    silent = [str(place) for place in places() if not any(place.has(line) for line in lines)]
    assert silent == [], "mark a contract test that passes there with @pytest.mark.statements"


@pytest.mark.services
def test_what_is_used_is_listed_and_what_is_listed_is_used(heard: Heard) -> None:
    used, known = found(heard), listed()
    missing = [rendered(feature, used[feature]) for feature in sorted(used.keys() - known.keys())]
    assert missing == [], f"new to {DOCUMENT.name}; does every engine of its table know it?"
    assert known.keys() - used.keys() == set(), f"{DOCUMENT.name} lists what nobody uses"
    for feature, (_, modules) in known.items():
        users = set().union(*used[feature].values())
        assert modules <= users, f"{feature} is used by {sorted(users)}"


@pytest.mark.services
def test_no_assignment_reads_what_one_before_it_has_written(heard: Heard) -> None:
    """MariaDB would see the new value, TiDB the old one."""
    for statement in sorted({statement for statement, _ in heard}):
        written: set[str] = set()
        for column, read in assignments(statement):
            assert not written & read, statement
            written.add(column)


def test_every_example_shows_its_feature() -> None:
    for feature, (example, _) in listed().items():
        assert feature in features(example)
