"""Where Kafka is for a command of its own: the configured brokers, or the embedded one of the running `run`.

In: settings. Out: `host:port,…`. `run` announces its embedded broker in a small file beside the database, so
that `sync`, `reread` and `check` can reach it; it withdraws the file when it stops, and one that a crash left
behind leads to a broker that does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipeline.core.errors import TemporaryError
from pipeline.settings import Settings

_SQLITE: Final = "sqlite:///"
_ELSEWHERE: Final = Path("region-sync")
"""For a database that is no file: the working directory of `run`."""


def address_file(database: str) -> Path:
    """`<database>.broker`, for the URL of a database."""
    path = database.removeprefix(_SQLITE).partition("?")[0]
    base = Path(path) if database.startswith(_SQLITE) else _ELSEWHERE
    return base.with_name(f"{base.name}.broker")


@contextmanager
def announced(settings: Settings, address: str) -> Iterator[None]:
    """The embedded broker's address is to be found by others while this lasts."""
    file = address_file(settings.database)
    file.write_text(f"{address}\n", encoding="utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def brokers(settings: Settings) -> str:
    """Where Kafka is. Raises `TemporaryError` when the embedded one is not running."""
    if not settings.embedded:
        return settings.kafka
    try:
        return address_file(settings.database).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise TemporaryError(
            "the embedded broker is not running: start `region-sync run` with the same settings first"
        ) from None
    except OSError as error:
        raise TemporaryError(f"the embedded broker's address cannot be read: {error}") from None
