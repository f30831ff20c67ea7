"""The front door: help, exit codes, and one sentence for what was to be expected."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from sqlalchemy.exc import OperationalError
from typer.main import get_command

from pipeline.cli.failures import CommandError, explain
from pipeline.cli.program import build, call
from pipeline.core.errors import PermanentError, TemporaryError
from pipeline.settings import SettingsError
from tests.unit.cli.conftest import Call

HEAVY = ("faust", "sqlalchemy", "confluent_kafka", "pika", "pydantic", "aiohttp", "httpx")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


EVERY = list(commands(get_command(build())))
RUNNABLE = [(path, one) for path, one in EVERY if not hasattr(one, "commands")]


def test_all_commands_are_there() -> None:
    assert {" ".join(path) for path, _ in RUNNABLE} == {
        "demo",
        "scan",
        "verify",
        "join",
        "plan",
        "apply",
        "run",
        "bridge",
        "worker hub",
        "worker region",
        "check",
        "health",
        "migrate",
        "grow",
        "status",
        "history",
        "exposure",
        "conflicts",
        "outbox list",
        "outbox show",
        "outbox retry",
        "holds approve",
        "holds refuse",
        "sync",
        "reread",
        "replay",
        "sandbox",
        "sealing-key",
        "size",
    }


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[" ".join(path) or "top" for path, _ in EVERY])
def test_help_explains(region_sync: Call, path: tuple[str, ...], command: Any) -> None:
    ended = region_sync(*path, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert command.help.split(".")[0].split()[0] in ended.out
    for parameter in command.params:
        assert parameter.help, parameter.name
    if not hasattr(command, "commands"):
        assert f"Example: region-sync {' '.join(path)}" in " ".join(ended.out.split())


def test_each_example_is_one_that_the_program_understands() -> None:
    for path, command in RUNNABLE:
        words = command.epilog.removeprefix("Example: region-sync ").split()
        assert tuple(words[: len(path)]) == path
        context = command.make_context("x", words[len(path) :])
        assert context.params


def test_version(region_sync: Call) -> None:
    assert region_sync("--version").out == f"region-sync {version('cloudstack-region-sync')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["run", "--nonsense"],
        ["bridge"],
        ["worker"],
        ["reread", "--region", "berlin"],
        ["reread", "--region", "berlin", "--from", "yesterday"],
        ["replay", "--region", "berlin"],
        ["replay", "--region", "berlin", "--from", "yesterday"],
        ["outbox", "show", "abc"],
        ["outbox", "list", "--state", "lost"],
        ["outbox", "retry"],
        ["outbox", "retry", "--all"],
        ["outbox", "retry", "1", "--all", "--region", "berlin"],
        ["outbox", "retry", "1", "--region", "berlin"],
        ["sandbox", "--latency", "slow"],
        ["sandbox", "--regions", "0"],
        ["demo", "--changes", "0"],
        ["join"],
        ["health", "--url", "6066"],
        ["run", "--log-level", "loud"],
    ],
)
def test_wrong_use_is_2(region_sync: Call, arguments: list[str]) -> None:
    ended = region_sync(*arguments)
    assert ended.code == 2
    assert "Usage:" in ended.out + ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["bridge", "--region", "berlin"],
        ["worker", "hub"],
        ["worker", "region", "--region", "berlin"],
        ["check"],
        ["migrate"],
        ["grow"],
        ["join", "berlin"],
        ["status"],
        ["outbox", "list"],
        ["outbox", "show", "1"],
        ["outbox", "retry", "1"],
        ["sync", "u"],
        ["reread", "--region", "berlin", "--from", "1h"],
        ["replay", "--region", "berlin", "--from", "1h"],
    ],
)
def test_wrong_settings_are_2_and_one_sentence(
    region_sync: Call, tmp_path: Path, arguments: list[str]
) -> None:
    path = tmp_path / "none.yaml"
    ended = region_sync(*arguments, "-c", str(path))
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err == (
        f"region-sync: {path}: there is no such file: copy regions.example.yaml there, or name another "
        "with --config\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["bridge", "--region", "paris"],
        ["worker", "region", "--region", "paris"],
        ["outbox", "list", "--region", "paris"],
        ["outbox", "retry", "--all", "--region", "paris"],
        ["sync", "u", "--region", "paris"],
        ["join", "paris"],
        ["reread", "--region", "paris", "--from", "1h"],
        ["replay", "--region", "paris", "--from", "1h"],
    ],
)
def test_an_unknown_region_is_2_and_names_the_known_ones(
    region_sync: Call, config: str, arguments: list[str]
) -> None:
    ended = region_sync(*arguments, "-c", config)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "region-sync: region 'paris' is not configured: the known regions are berlin, tokyo\n"


def test_the_settings_may_be_named_by_the_environment(
    region_sync: Call, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGION_SYNC_CONFIG", config)
    assert "no tables yet" in region_sync("status").err


@pytest.mark.parametrize("command", [["worker", "hub"], ["bridge", "--region", "berlin"]])
def test_the_embedded_broker_serves_no_process_of_its_own(
    region_sync: Call, config: str, command: list[str]
) -> None:
    ended = region_sync(*command, "-c", config)
    assert ended.code == 1
    assert ended.err.startswith("region-sync: kafka: embedded lives in the process of `region-sync run`")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SettingsError("a\nb"), ("a\nb", 2)),
        (CommandError("no such row"), ("no such row", 1)),
        (TemporaryError("down\nnow"), ("down now", 1)),
        (PermanentError(""), ("PermanentError", 1)),
        (FileNotFoundError(2, "No such file", "x"), ("the system says no: [Errno 2] No such file: 'x'", 1)),
        (
            OperationalError("SELECT secret", {}, Exception("access denied")),
            ("database: access denied", 1),
        ),
        (
            KafkaException(KafkaError(KafkaError._INVALID_ARG, "No such configuration property")),
            ("Kafka: No such configuration property", 1),
        ),
        (ZeroDivisionError("bug"), None),
    ],
)
def test_failures(error: Exception, said: tuple[str, int] | None) -> None:
    assert explain(error) == said


def test_an_error_of_the_program_itself_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pipeline.settings.load", broken)
    with pytest.raises(ZeroDivisionError):
        call(["status"])


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.settings.load", interrupted)
    assert call(["status"]) == 130


def loaded(code: str) -> set[str]:
    """The top-level modules that a new interpreter has loaded after `code`."""
    script = (
        f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ended.stderr.split())


def test_help_loads_nothing_heavy() -> None:
    modules = loaded("from pipeline.cli.program import call\ncall(['--help'])")
    assert modules & set(HEAVY) == set()


def test_a_bridge_loads_neither_faust_nor_sqlalchemy() -> None:
    modules = loaded("import pipeline.cli.program, pipeline.cli.bridge, pipeline.settings")
    assert {"pika", "confluent_kafka"} <= modules
    assert modules & {"faust", "mode", "aiokafka", "sqlalchemy", "alembic", "pymysql"} == set()


def test_a_reader_that_leaves_early_is_no_error(config: str) -> None:
    script = f"{sys.executable} -m pipeline --help | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
