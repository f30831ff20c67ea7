"""The heartbeats of the regions' workers: who lives, whether its region answers, how much it has to do.

In: one pulse every few seconds from each worker. Out: those of all regions in one query. Written by
`agents/pulse`; read for the page of regions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Final

from sqlalchemy import Connection, Engine, delete, select

from pipeline.outbox.engine import writing
from pipeline.outbox.journal_schema import pulse
from pipeline.outbox.schema import MESSAGE_MAX
from pipeline.outbox.statements import cut, upsert

KEPT_MS: Final = 3_600_000
"""A worker of that region that was not heard of for so long is forgotten, when another one beats."""
STOPPED: Final = "nothing is taken from"
"""How the reason begins of a worker that stopped to take messages."""
SHOWN: Final = 500
"""Workers of all regions; the last heard of."""

_CHANGED: Final = ("time", "lanes", "busy", "reachable", "since", "reason")


@dataclass(frozen=True, slots=True)
class Pulse:
    """One worker, as it stood at `time`. `lanes`: how many entities may be at work; `busy`: how many are.
    `reachable`: whether its region answers, None before the first call ended; `since`: since when. `reason`:
    why it does not answer, or what is being tried again."""

    region: str
    worker: str
    time: int
    lanes: int
    busy: int
    reachable: bool | None
    since: int | None
    reason: str | None


class PulseStore:
    """Raises `TemporaryError`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, one: Pulse) -> None:
        """In place of that worker's last one; who fell silent long ago is forgotten."""
        row = asdict(one)
        row["reason"] = None if one.reason is None else cut(one.reason, MESSAGE_MAX)
        old = (pulse.c.region == one.region, pulse.c.time < one.time - KEPT_MS)
        with writing(self._engine) as connection:
            upsert(connection, pulse, [row], _CHANGED)
            connection.execute(delete(pulse).where(*old))


def read_pulses(connection: Connection) -> list[Pulse]:
    """Of all regions, the newest first."""
    query = select(*(pulse.c[field.name] for field in fields(Pulse)))
    query = query.order_by(pulse.c.time.desc(), pulse.c.worker).limit(SHOWN)
    return [Pulse(**row) for row in connection.execute(query).mappings()]
