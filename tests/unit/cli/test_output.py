"""Tables: complete where no terminal is; logs: lines or JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from pipeline import telemetry
from pipeline.cli.output import lasted, moment, print_json, print_table


def test_a_table_without_a_terminal_is_plain_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "message"), [{"id": 1, "message": "x" * 300}, {"id": None, "message": "two\nlines"}])
    assert capsys.readouterr().out == f"id  message\n1   {'x' * 300}\n    two lines\n"


def test_a_table_on_a_terminal_folds_and_keeps_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_table(("id", "message"), [{"id": 1, "message": "[red]" + "x" * 100}])
    out = capsys.readouterr().out
    assert out.count("x") == 100
    assert "[red]" in out


def test_json_is_one_line_and_keeps_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": None, "b": "ü"})
    assert capsys.readouterr().out == '{"a": null, "b": "ü"}\n'


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (None, None),
        (0, "0 s"),
        (59_999, "59 s"),
        (61_000, "1 min 1 s"),
        (7_380_000, "2 h 3 min"),
        (90_000_000, "1 d 1 h"),
        (-5, "0 s"),
    ],
)
def test_spans(ms: int | None, words: str | None) -> None:
    assert lasted(ms) == words


def test_moments() -> None:
    assert moment(1_763_885_890_123) == "2025-11-23 08:18:10"
    assert moment(None) is None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def loggers() -> Iterator[None]:
    root = logging.getLogger()
    names = ("", "pipeline", "bridges", telemetry.STATEMENTS, *telemetry.TALKATIVE)
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("loggers")
def test_logs_are_lines_on_a_terminal() -> None:
    stream = Terminal()
    telemetry.set_up("info", stream)
    logging.getLogger("pipeline.x").info("hello %d", 1)
    assert stream.getvalue().endswith("INFO    pipeline.x: hello 1\n")


@pytest.mark.usefixtures("loggers")
def test_logs_are_json_elsewhere() -> None:
    stream = io.StringIO()
    telemetry.set_up("warning", stream)
    log = logging.getLogger("bridges.x")
    log.info("not heard")
    try:
        raise ValueError("oh")
    except ValueError:
        log.exception("two\nlines")
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("error", "bridges.x", "two\nlines")
    assert told["time"].endswith("+00:00")
    assert "ValueError: oh" in told["error"]


@pytest.mark.usefixtures("loggers")
def test_libraries_are_quieter_than_we_are() -> None:
    telemetry.set_up("info", io.StringIO())
    assert logging.getLogger("pipeline.x").isEnabledFor(logging.INFO)
    assert not logging.getLogger("faust.worker").isEnabledFor(logging.INFO)
    assert not logging.getLogger("pipeline.agents.fetch").isEnabledFor(logging.INFO)
    telemetry.set_up("debug", io.StringIO())
    assert logging.getLogger("aiokafka.consumer").getEffectiveLevel() == logging.INFO
