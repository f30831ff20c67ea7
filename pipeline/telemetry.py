"""How a process tells what it does: lines for a person on a terminal, one JSON object a line anywhere else.

In: a level's name and a stream (standard error, so that what a command prints stays clean). Out: configured
loggers of the standard library. Called once, by each command that runs for long.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

HUMAN: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

TALKATIVE: Final = (
    "faust",
    "aiokafka",
    "mode",
    "kafka",
    "pika",
    "asyncio",
    "alembic",
    "pipeline.agents.fetch",  # Faust's own services, told of under the name of the module that extends them
)
"""Libraries that are heard from WARNING on. At DEBUG Faust alone would cost a sixth of the CPU
(engine.md)."""

STATEMENTS: Final = "sqlalchemy"
"""It tells every statement from INFO on: at debug too that would bury what was decided."""
MARKS: Final = ("entity", "region", "outbox")
"""What a line may be about, handed over as `extra`: all that was done with one entity is found by it. The
UUID is canonical, but in what is told of a region's events."""

_OWN: Final = ("pipeline", "bridges")


class JsonLines(logging.Formatter):
    """One JSON object a record: time (UTC), level, logger, message, what it is about where it says so
    (`MARKS`), and the traceback as `error`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {mark: record.__dict__[mark] for mark in MARKS if mark in record.__dict__}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(level: str, stream: TextIO | None = None) -> None:
    """Send all logs to `stream`, standard error by default: ours from `level` (debug, info, warning, error)
    on, a library's from warning on (info, when ours are at debug)."""
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    handler.setFormatter(logging.Formatter(HUMAN) if target.isatty() else JsonLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    chosen = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(chosen, logging.WARNING))
    for name in _OWN:
        logging.getLogger(name).setLevel(chosen)
    logging.getLogger(STATEMENTS).setLevel(max(chosen, logging.WARNING))
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(
            logging.INFO if chosen == logging.DEBUG else max(chosen, logging.WARNING)
        )
