"""Finds entities as people know them: by a UUID, a name, a path, an e-mail address.

In: what somebody typed. Out: what may be meant, with paths to tell namesakes apart. Called by the views.
Every query enters by an index; what begins like the text is found, what merely contains it is not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, or_, select

from pipeline.core.entities import ROOT, Kind
from pipeline.outbox.engine import reading
from pipeline.outbox.schema import entity, rmap
from pipeline.outbox.statements import chunks, name_key

HITS: Final = 50
DEEPEST: Final = 64
"""Levels of a path that are followed."""
_LAST: Final = "\U0010ffff"
_ROOT_WORDS: Final = frozenset({"", ROOT.casefold()})


@dataclass(frozen=True, slots=True)
class Hit:
    """An entity that may be meant. `path`: its place as CloudStack writes it, from ROOT."""

    uuid: str
    kind: str
    name: str
    path: str
    present: bool


_COLUMNS: Final = (entity.c.uuid, entity.c.kind, entity.c.name, entity.c.parent, entity.c.present)


def search(engine: Engine, text: str) -> list[Hit]:
    """At most `HITS`; what is present first. Raises `TemporaryError`."""
    wanted = text.strip()
    if not wanted:
        return []
    with reading(engine) as connection:
        found = {row.uuid: row for row in _by_uuid(connection, wanted)}
        found.update((row.uuid, row) for row in _by_path(connection, wanted))
        key = name_key(wanted)
        for column in (entity.c.name_key, entity.c.email_key):
            query = select(*_COLUMNS).where(column >= key, column < key + _LAST).order_by(column).limit(HITS)
            found.update((row.uuid, row) for row in connection.execute(query))
        places = paths(connection, found)
    hits = [Hit(row.uuid, row.kind, row.name, places[row.uuid], row.present) for row in found.values()]
    return sorted(hits, key=lambda hit: (not hit.present, hit.path))[:HITS]


def names(engine: Engine, uuids: Collection[str]) -> dict[str, str]:
    """Canonical UUID → name. Raises `TemporaryError`."""
    found: dict[str, str] = {}
    with reading(engine) as connection:
        for chunk in chunks(uuids):
            rows = connection.execute(select(entity.c.uuid, entity.c.name).where(entity.c.uuid.in_(chunk)))
            found.update((uuid, name) for uuid, name in rows)
    return found


def paths(connection: Connection, uuids: Collection[str]) -> dict[str, str]:
    """Canonical UUID → path. One query a level, for all of them."""
    known: dict[str, tuple[str, str, str]] = {}
    asked = set(uuids)
    for _ in range(DEEPEST):
        asked -= known.keys() | {ROOT}
        if not asked:
            break
        for chunk in chunks(sorted(asked)):
            query = select(entity.c.uuid, entity.c.kind, entity.c.name, entity.c.parent)
            for uuid, kind, name, parent in connection.execute(query.where(entity.c.uuid.in_(chunk))):
                known[uuid] = (kind, name, parent)
        asked = {known[uuid][2] for uuid in asked if uuid in known}
    return {uuid: _path(uuid, known) for uuid in uuids}


def _path(uuid: str, known: dict[str, tuple[str, str, str]]) -> str:
    """`ROOT/sales|acme|alice`: below a domain with a slash, below it with a bar (as the dump has it)."""
    text, here = "", uuid
    for _ in range(DEEPEST):
        if here == ROOT:
            return f"{ROOT}{text}"
        if here not in known:
            break
        kind, name, here = known[here]
        text = f"{'/' if kind == Kind.DOMAIN.value else '|'}{name}{text}"
    return f"…{text}"


def _by_uuid(connection: Connection, text: str) -> list[Any]:
    mapped = select(rmap.c.source).where(rmap.c.uuid == text)
    query = select(*_COLUMNS).where(or_(entity.c.uuid == text, entity.c.uuid.in_(mapped))).limit(HITS)
    return list(connection.execute(query))


def _by_path(connection: Connection, text: str) -> list[Any]:
    """Level by level from ROOT, by the index of natural keys: `/sales/emea`, `ROOT/sales|acme|alice`."""
    steps = [name_key(step) for step in text.replace("|", "/").split("/")]
    if len(steps) == 1 or len(steps) > DEEPEST:
        return []
    while steps and steps[0] in _ROOT_WORDS:
        steps.pop(0)
    here, rows = [ROOT], list[Any]()
    for step in steps:
        query = select(*_COLUMNS).where(
            entity.c.parent.in_(here),
            entity.c.kind.in_([kind.value for kind in Kind]),
            entity.c.name_key == step,
        )
        rows = list(connection.execute(query.limit(HITS)))
        here = [row.uuid for row in rows]
        if not here:
            break
    return rows
