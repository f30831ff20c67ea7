"""The database: can it be reached, are the tables there, are they this version's?

In: settings. Out: findings. Nothing is made or changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.check.finding import Finding, Subject, blocking
from pipeline.core.distrust import distrust
from pipeline.outbox.lookup import tables
from pipeline.outbox.tables import Tables
from pipeline.settings import Settings

SUBJECT: Final = Subject("", "database")
_SQLITE: Final = "sqlite:///"
_OTHER: Final = {
    Tables.OLDER: "its tables are of an older version: they are migrated at the next start",
    Tables.NEWER: "its tables are of a newer version: this one goes on with them while it is being replaced",
}


async def examine(settings: Settings) -> list[Finding]:
    """One finding."""
    url = settings.database.get_secret_value()
    try:
        state = await blocking(lambda: tables(url))
    except Exception as error:  # noqa: BLE001 - whatever the driver says is what is to be told
        return [SUBJECT.fail(_words(error))]
    name = _name(url)
    if state is Tables.CURRENT:
        return [SUBJECT.ok(f"{name}: reached, its tables are this version's")]
    if state in _OTHER:
        return [SUBJECT.warn(f"{name}: {_OTHER[state]}")]
    if url.startswith(_SQLITE):
        return [_place(url.removeprefix(_SQLITE), name)]
    return [SUBJECT.ok(f"{name}: reached, the tables are made at the first start")]


def _place(path: str, name: str) -> Finding:
    folder = Path(path).resolve().parent
    if not folder.exists() or folder.is_dir():
        return SUBJECT.ok(f"{name}: made at the first start")
    return SUBJECT.fail(f"{name}: {folder} is no folder")


def _name(url: str) -> str:
    """The address without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _words(error: Exception) -> str:
    return distrust(error) or " ".join(str(getattr(error, "orig", None) or error).split())
