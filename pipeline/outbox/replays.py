"""Replays of one region: which entities they are about, their rows, how far they have come.

In: when a replay begins from. Out: entities, new outbox rows for the region as a merge writes them, how these
stand. Called by `pipeline.reconcile.replaying` in threads and by the command line; every method is one
transaction, or a row of short ones that read. What is done is not kept apart: an entity that has a row for
the region since the replay began was sent in its newest state, by the replay or by a change, and is sent no
more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, select, tuple_, update

from pipeline import wire
from pipeline.core.entities import Kind
from pipeline.core.merge import send_again
from pipeline.core.records import Record
from pipeline.core.removal import REFUSED
from pipeline.core.replay import Newest, Touched, Turn, turn
from pipeline.outbox import futile
from pipeline.outbox.engine import reading, writing
from pipeline.outbox.hub import Change, commit
from pipeline.outbox.mappings import rows_by_canonical
from pipeline.outbox.measures import PARKED_MS
from pipeline.outbox.noting import By, note
from pipeline.outbox.schema import entity, hold, outbox, region, watermark
from pipeline.outbox.statements import chunks, rows_by_key, upsert

RESUMED_MS: Final = 86_400_000
"""A replay that was cut off goes on where it was within a day; after that it begins anew."""
PAGE: Final = 2_000
DIGITS: Final = 16

_PREFIX: Final = "replay/"
_DONE: Final = ("delivered", "superseded")


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay. `since`: from when on an entity was touched (ms); `began`: when it was first said (ms);
    `resumed`: an earlier run was cut off."""

    name: str
    since: int
    began: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """The newest row of an entity. `waits_for`: a canonical UUID; `parked`: it is not due for long, since it
    waits for a person or for the end of a quarantine; `heard`: the hub knows what came of all rows."""

    state: str
    message: str
    waits_for: str | None
    parked: bool
    heard: bool

    @property
    def is_done(self) -> bool:
        """There is nothing more to come."""
        return self.state == "superseded" or (self.state == "delivered" and self.heard)


class ReplayStore:
    """One region's. Raises `TemporaryError` for what passes by itself."""

    def __init__(self, engine: Engine, name: str, clock: Callable[[], int]) -> None:
        self._engine = engine
        self.region = name
        self._clock = clock

    def find(self, said: str, since: int) -> Replay:
        """The replay that was begun by these words and cut off, else a new one that nobody has begun yet."""
        with reading(self._engine) as connection:
            return self._find(connection, said, since)

    def begin(self, said: str, since: int, by: By) -> Replay:
        """Likewise, and it is begun: from now on the same words go on with it. Another one of the region that
        was cut off is forgotten."""
        with writing(self._engine) as connection:
            found = self._find(connection, said, since)
            if found.resumed:
                return found
            others = watermark.c.name.startswith(f"{_PREFIX}{self.region}/", autoescape=True)
            connection.execute(delete(watermark).where(others))
            row = {"name": found.name, "value": since, "time": found.began}
            upsert(connection, watermark, [row], ("value", "time"))
            number = connection.execute(select(region.c.id).where(region.c.name == self.region))
            subject = ("region", number.scalar_one_or_none() or 0)
            note(connection, by, "replay", subject, {"region": self.region})
            return found

    def end(self, replay: Replay) -> None:
        """It is over: the same words begin a new one."""
        with writing(self._engine) as connection:
            mine = (watermark.c.name == replay.name, watermark.c.time == replay.began)
            connection.execute(delete(watermark).where(*mine))

    def touched(self, since: int | None, named: Collection[str] = ()) -> tuple[list[Touched], dict[str, str]]:
        """Entities whose record was written since then (None: at no time), or that had a row for this region,
        or that are `named` by their canonical UUIDs; and all domains, each with the one that it is in."""
        wanted = {*named, *(self._rows_since(since) if since else ())}
        found: list[Touched] = []
        above: dict[str, str] = {}
        for row in self._entities():
            if row.kind == Kind.DOMAIN:
                above[row.uuid] = row.parent
            if row.uuid in wanted or (since is not None and row.modified >= since):
                found.append(Touched(row.uuid, Kind(row.kind), row.parent, row.present))
        return found, above

    def done(self, replay: Replay) -> set[str]:
        """The entities that were sent since it began and have come to a good end, as the hub knows."""
        if not replay.resumed:
            return set()
        ended = [uuid for uuid, state in self._rows_since(replay.began).items() if state in _DONE]
        return {
            uuid
            for start in range(0, len(ended), PAGE)
            for uuid, one in self.look(ended[start : start + PAGE]).items()
            if one.is_done
        }

    def send(self, replay: Replay, uuids: Sequence[str]) -> dict[str, Turn]:
        """Those whose turn it is get a row with a new version, due at once; what became of each. A row that
        had failed is replaced by it."""
        now = self._clock()
        turns: dict[str, Turn] = {}
        changes: list[Change] = []
        with writing(self._engine) as connection:
            stored = _locked(connection, uuids)
            newest = _newest(connection, self.region, uuids)
            here = rows_by_canonical(connection, [(uuid, self.region) for uuid in uuids])
            refused = _refused(connection, [row["id"] for row in newest.values()])
            for uuid, (record, revision) in stored.items():
                row, there = newest.get(uuid), here.get((uuid, self.region))
                never = not record.life.present and (there is None or there["confirmed"] is None)
                last = row and Newest(row["state"], row["created_time"], row["id"] in refused)
                turns[uuid] = turn(last, replay.began, never_there=never)
                if turns[uuid] is Turn.SEND:
                    again = send_again(record, self.region)
                    assert again.record is not None  # noqa: S101 - there was one
                    changes.append(Change(again.record, revision, again.desired))
            self._write(connection, changes, now)
        return turns | {uuid: Turn.SKIP for uuid in uuids if uuid not in turns}

    def look(self, uuids: Collection[str]) -> dict[str, Standing]:
        """How these stand; without those that never had a row."""
        found: dict[str, Standing] = {}
        parked = self._clock() + PARKED_MS
        with reading(self._engine) as connection:
            newest = _newest(connection, self.region, uuids)
            for chunk in chunks(list(newest)):
                query = select(entity.c.uuid, entity.c.body).where(entity.c.uuid.in_(chunk))
                for uuid, body in connection.execute(query):
                    row = newest[uuid]
                    found[uuid] = Standing(
                        state=row["state"],
                        message=row["message"] or "",
                        waits_for=row["waits_for"],
                        parked=row["state"] == "pending" and row["due_time"] > parked,
                        heard=not wire.region_state(body, self.region).sent,
                    )
        return found

    def others_wait(self, but: Collection[str]) -> bool:
        """Whether a desired state of any other entity than these waits for the region, and could go on."""
        now = self._clock()
        which = (outbox.c.region == self.region, outbox.c.entity.not_in(sorted(but)))
        with reading(self._engine) as connection:
            for state, due in (("published", ()), ("pending", (outbox.c.due_time <= now,))):
                query = select(outbox.c.id).where(*which, outbox.c.state == state, *due).limit(1)
                if connection.execute(query).first() is not None:
                    return True
        return False

    def _find(self, connection: Connection, said: str, since: int) -> Replay:
        digits = hashlib.sha256(said.encode()).hexdigest()[:DIGITS]
        name, now = f"{_PREFIX}{self.region}/{digits}", self._clock()
        query = select(watermark.c.value, watermark.c.time).where(watermark.c.name == name)
        row = connection.execute(query).one_or_none()
        if row is not None and row.time > now - RESUMED_MS:
            return Replay(name, row.value, row.time, True)
        return Replay(name, since, now, False)

    def _write(self, connection: Connection, changes: Sequence[Change], now: int) -> None:
        rows = commit(connection, changes, now) if changes else []
        for ids in chunks([row for row, _, _ in rows]):  # nobody publishes them here: the timer does
            connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(due_time=now))
        failed: list[int] = []
        for chunk in chunks([change.record.uuid for change in changes]):
            mine = (outbox.c.region == self.region, outbox.c.entity.in_(chunk), outbox.c.state == "dead")
            failed += connection.execute(select(outbox.c.id).where(*mine)).scalars()
        over = {"state": "superseded", "result": "superseded", "message": "replayed", "processed_time": now}
        for ids in chunks(failed):
            connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(over))
        futile.forget(connection, failed)

    def _rows_since(self, since: int) -> dict[str, str]:
        """Entity → the state of its newest row for this region since then, in short reads."""
        found: dict[str, str] = {}
        after = (since, 0)
        place = (outbox.c.created_time, outbox.c.id)
        while True:
            query = (
                select(*place, outbox.c.entity, outbox.c.state)
                .where(outbox.c.created_time >= after[0], tuple_(*place) > after)
                .where(outbox.c.region == self.region)
                .order_by(*place)
                .limit(PAGE)
            )
            with reading(self._engine) as connection:
                rows = connection.execute(query).all()
            found.update((row.entity, row.state) for row in rows)
            if len(rows) < PAGE:
                return found
            after = (rows[-1].created_time, rows[-1].id)

    def _entities(self) -> Iterator[Any]:
        """Every record's place, in short reads."""
        columns = (entity.c.uuid, entity.c.kind, entity.c.parent, entity.c.present, entity.c.modified)
        after = ""
        while True:
            query = select(*columns).where(entity.c.uuid > after).order_by(entity.c.uuid).limit(PAGE)
            with reading(self._engine) as connection:
                rows = connection.execute(query).all()
            yield from rows
            if len(rows) < PAGE:
                return
            after = rows[-1].uuid


def _locked(connection: Connection, uuids: Collection[str]) -> dict[str, tuple[Record, int]]:
    """The records with their revisions, which nobody writes until the transaction ends."""
    found: dict[str, tuple[Record, int]] = {}
    for chunk in chunks(sorted(uuids)):
        query = select(entity.c.uuid, entity.c.body, entity.c.revision).where(entity.c.uuid.in_(chunk))
        for row in connection.execute(query.with_for_update()):
            found[row.uuid] = (wire.record(row.body), row.revision)
    return found


def _newest(connection: Connection, name: str, uuids: Collection[str]) -> dict[str, Any]:
    """Entity → its newest row for the region."""
    last: set[tuple[str, str, int]] = set()
    for chunk in chunks(uuids):
        query = select(outbox.c.entity, func.max(outbox.c.version)).where(
            outbox.c.region == name, outbox.c.entity.in_(chunk)
        )
        rows = connection.execute(query.group_by(outbox.c.entity))
        last.update((uuid, name, version) for uuid, version in rows)
    key = (outbox.c.entity, outbox.c.region, outbox.c.version)
    columns = [outbox.c[one] for one in ("id", "state", "created_time", "due_time", "message", "waits_for")]
    return {row["entity"]: row for row in rows_by_key(connection, (*key, *columns), key, last)}


def _refused(connection: Connection, ids: Collection[int]) -> set[int]:
    """Which of these rows a person refused to have carried out."""
    found: set[int] = set()
    for chunk in chunks(ids):
        query = select(hold.c.outbox_id).where(hold.c.outbox_id.in_(chunk), hold.c.decision == REFUSED)
        found.update(connection.execute(query).scalars())
    return found
