"""Turns whatever ends a command into one sentence and an exit code.

In: an exception. Out: what to say and the code, or None for what nobody expected: that keeps its traceback.
Called by `program`.
"""

from __future__ import annotations

from typing import Final

from pipeline.cli.options import FAILED, WRONG_USE
from pipeline.config.source import SettingsError
from pipeline.core.errors import PermanentError, TemporaryError

_KAFKA: Final = frozenset({"confluent_kafka", "cimpl"})
"""confluent-kafka's exceptions call their module `cimpl`."""
_DATABASE: Final = frozenset({"sqlalchemy", "pymysql", "alembic"})
_AWAY: Final = _KAFKA | _DATABASE | {"pika", "aiokafka"}
"""Libraries whose own exceptions tell of a service that is away or refuses us."""


class CommandError(Exception):
    """The command cannot do what was asked; the text is one sentence for a person."""


def explain(error: BaseException) -> tuple[str, int] | None:
    """What to say and the exit code; None for an error of the program itself."""
    if isinstance(error, SettingsError):
        return str(error), WRONG_USE
    if isinstance(error, CommandError | TemporaryError | PermanentError):
        return _line(error), FAILED
    if isinstance(error, OSError):
        return f"the system says no: {error}", FAILED
    if type(error).__module__.partition(".")[0] in _AWAY:
        return _of_library(error), FAILED
    return None


def _of_library(error: BaseException) -> str:
    """SQLAlchemy's exceptions carry the driver's as `orig`, Kafka's an error with words of its own."""
    library = type(error).__module__.partition(".")[0]
    if library in _KAFKA:
        inner = error.args[0] if error.args else error
        return f"Kafka: {inner.str() if hasattr(inner, 'str') else inner}"
    name = "database" if library in _DATABASE else library
    return f"{name}: {_line(getattr(error, 'orig', None) or error)}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
