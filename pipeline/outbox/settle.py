"""Writes down how applying ended: the outbox rows, the calls made, what is held there now, who may go on.

In: settlements, in batches. Out: rows of `outbox`, `attempt`, `applied`, `rmap`, and the entity's mark.
Called by RegionStore.settle, inside its transaction. Rows that end alike are written by one statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, case, func, insert, select, update

from pipeline import wire
from pipeline.core.effect import Futile
from pipeline.core.entities import Kind
from pipeline.outbox import futile as futile_calls
from pipeline.outbox.mappings import OPEN, Key, Mapping, rows_by_canonical, wake, write_mappings
from pipeline.outbox.schema import MESSAGE_MAX, RESULT_MAX, applied, attempt, entity, outbox
from pipeline.outbox.statements import chunks, cut, rows_by_key, upsert_newer

PARK_MS: Final = 60_000
"""A row that was parked without saying until when is looked at again after this."""
PLANNED: Final = "planned"
"""The result of a row that is held because its region is in mode plan."""


class Untouched(Enum):
    """The type of `UNTOUCHED`: what was last applied stays what it was."""

    UNTOUCHED = "untouched"


UNTOUCHED: Final = Untouched.UNTOUCHED


@dataclass(frozen=True, slots=True)
class CallRow:
    """One API call as made. `status`: the HTTP status, None when there was no answer; `time` in ms."""

    command: str
    status: int | None
    error: str | None
    ms: int
    time: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """How applying one desired state ended.

    `state`: `trying` leaves the row as it is and only keeps the calls; `held`: until a person, or a restart
    in another mode, lets it go on; `pending` means parked: to be looked at again at `due_time`, or when
    `waits_for` (canonical) was applied. `context_time` is the `Context.time` of the decision, so that no wake
    between the two is missed, and nothing written between them is undone. `applied`: the fields now held
    (canonical UUIDs, None = removed), or UNTOUCHED. `present`: whether the region holds the entity now, under
    the UUID `local` and below `parent` (canonical); None: not known. `futile`: what the calls left undone.
    `stuck`: it waits for what only a person can do.
    """

    entity: str
    kind: Kind
    version: int
    state: Literal["delivered", "superseded", "held", "dead", "pending", "trying"]
    result: str
    local: str
    message: str = ""
    applied: dict[str, str] | Untouched | None = UNTOUCHED
    present: bool | None = None
    parent: str | None = None
    waits_for: str | None = None
    due_time: int | None = None
    context_time: int | None = None
    calls: tuple[CallRow, ...] = ()
    futile: Futile | None = None
    stuck: bool = False


class _Row(NamedTuple):
    id: int
    state: str


class _End(NamedTuple):
    """What rows that end alike have in common."""

    state: str
    result: str
    message: str
    waits_for: str | None
    due_time: int | None
    tried: int


def settle(connection: Connection, region: str, settlements: Sequence[Settlement], now: int) -> None:
    """The whole batch. A delivered row stays so whatever comes later."""
    rows = _lock_rows(connection, region, settlements)
    ended = _ended(rows, settlements)
    _write_ends(connection, rows, ended, now)
    _supersede_held(connection, region, ended, now)
    _write_calls(connection, rows, settlements)
    _write_futile(connection, region, rows, ended)
    _write_applied(connection, region, settlements, now)
    changed = _write_presence(connection, region, settlements, now)
    _write_marks(connection, region, ended)
    over = {(one.entity, region) for one in settlements if one.state in ("delivered", "dead")}
    wake(connection, changed | over, now)  # what waits for a removal that was refused stays too
    _wake_missed(connection, region, rows, ended, now)


def _ended(rows: dict[tuple[str, int], _Row], settlements: Iterable[Settlement]) -> list[Settlement]:
    """The settlements that change their row's state, one for each row."""
    states = {key: row.state for key, row in rows.items()}
    ended: dict[tuple[str, int], Settlement] = {}
    for one in settlements:
        key = (one.entity, one.version)
        state = states.get(key)
        late = one.state == "delivered" and state not in (None, "delivered")
        if one.state != "trying" and (state in OPEN or late):
            ended[key] = one
            states[key] = one.state
    return list(ended.values())


def _lock_rows(
    connection: Connection, region: str, settlements: Sequence[Settlement]
) -> dict[tuple[str, int], _Row]:
    key = (outbox.c.entity, outbox.c.region, outbox.c.version)
    keys = sorted({(one.entity, region, one.version) for one in settlements})
    rows = rows_by_key(connection, (*key, outbox.c.id, outbox.c.state), key, keys, lock=True)
    return {(row["entity"], row["version"]): _Row(row["id"], row["state"]) for row in rows}


def _write_ends(
    connection: Connection, rows: dict[tuple[str, int], _Row], ended: Iterable[Settlement], now: int
) -> None:
    alike: dict[_End, list[int]] = {}
    for one in ended:
        parked = one.state == "pending"
        due = (one.due_time or now + PARK_MS) if parked else None
        end = _End(
            one.state, one.result, one.message, one.waits_for if parked else None, due, int(bool(one.calls))
        )
        alike.setdefault(end, []).append(rows[one.entity, one.version].id)
    for end, ids in alike.items():
        values: dict[str, Any] = {
            "state": end.state,
            "result": cut(end.result, RESULT_MAX),
            "message": cut(end.message, MESSAGE_MAX),
            "waits_for": end.waits_for,
            "attempts": outbox.c.attempts + end.tried,
            "processed_time": None if end.state in ("pending", "held") else now,
        }
        if end.due_time is not None:
            values["due_time"] = end.due_time
        for chunk in chunks(ids):
            connection.execute(update(outbox).where(outbox.c.id.in_(chunk)).values(values))


def _supersede_held(connection: Connection, region: str, ended: Iterable[Settlement], now: int) -> None:
    """What a newer desired state has replaced waits for nobody any more."""
    newest: dict[str, int] = {}
    for one in ended:
        if one.state in ("delivered", "held") and one.version > 1:
            newest[one.entity] = max(one.version, newest.get(one.entity, 0))
    old: list[int] = []
    for chunk in chunks(sorted(newest)):
        # Not by the state's own index: SQLite would go through all that is held in the region.
        held = case((outbox.c.state == "held", 1), else_=0) == 1
        query = select(outbox.c.id, outbox.c.entity, outbox.c.version).where(
            outbox.c.region == region, outbox.c.entity.in_(chunk), held
        )
        old += [id_ for id_, uuid, version in connection.execute(query) if version < newest[uuid]]
    for ids in chunks(old):
        values = {"state": "superseded", "result": "superseded", "processed_time": now}
        connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(values))


def _write_futile(
    connection: Connection, region: str, rows: dict[tuple[str, int], _Row], ended: Iterable[Settlement]
) -> None:
    left = [(rows[one.entity, one.version].id, one.entity, one.futile) for one in ended if one.futile]
    if left:
        futile_calls.write(connection, region, left)
    # Only what was tried more than once can have a line there.
    done = [rows[one.entity, one.version].id for one in ended if one.state == "delivered" and one.calls]
    futile_calls.forget(connection, done)


def _write_calls(
    connection: Connection, rows: dict[tuple[str, int], _Row], settlements: Iterable[Settlement]
) -> None:
    calls = [
        {
            "outbox_id": row.id,
            "command": cut(call.command, RESULT_MAX),
            "status": call.status,
            "error": None if call.error is None else cut(call.error, MESSAGE_MAX),
            "ms": call.ms,
            "time": call.time,
        }
        for one in settlements
        if (row := rows.get((one.entity, one.version))) is not None
        for call in one.calls
    ]
    if calls:
        connection.execute(insert(attempt), calls)


def _write_applied(connection: Connection, region: str, settlements: Iterable[Settlement], now: int) -> None:
    """An older version never replaces a newer one."""
    newest: dict[str, Settlement] = {}
    for one in settlements:
        if one.applied is not UNTOUCHED and one.version >= newest.get(one.entity, one).version:
            newest[one.entity] = one
    rows = [
        {
            "entity": uuid,
            "region": region,
            "version": one.version,
            "values": wire.encode_fields(one.applied).encode(),
            "time": now,
        }
        for uuid, one in sorted(newest.items())
        if not isinstance(one.applied, Untouched)
    ]
    upsert_newer(connection, applied, rows, ("values", "time"), "version")


def _write_presence(
    connection: Connection, region: str, settlements: Iterable[Settlement], now: int
) -> set[Key]:
    """Left as it is where it was written since the context was read: that is newer."""
    seen = [
        Mapping(one.entity, region, one.local, one.kind, one.parent, one.present, now, one.context_time)
        for one in settlements
        if one.present is not None
    ]
    return write_mappings(connection, seen, now, skip_taken=True)


def _write_marks(connection: Connection, region: str, ended: Iterable[Settlement]) -> None:
    """A mark names its region, so that a success elsewhere does not wipe it away."""
    stuck: dict[str, list[str]] = {}
    delivered: list[str] = []
    for one in ended:
        if one.state == "dead" or one.stuck:
            stuck.setdefault(cut(f"{region}: {one.message}", MESSAGE_MAX), []).append(one.entity)
        elif one.state == "delivered":
            delivered.append(one.entity)
    for chunk in chunks(sorted(delivered)):
        connection.execute(
            update(entity)
            .where(entity.c.uuid.in_(chunk), entity.c.marked.startswith(f"{region}: ", autoescape=True))
            .values(marked=None)
        )
    for mark, uuids in stuck.items():
        for chunk in chunks(sorted(uuids)):
            connection.execute(update(entity).where(entity.c.uuid.in_(chunk)).values(marked=mark))


def _wake_missed(
    connection: Connection,
    region: str,
    rows: dict[tuple[str, int], _Row],
    ended: Iterable[Settlement],
    now: int,
) -> None:
    """What a row waits for may have come between the reading of its context and its parking."""
    parked = [
        (one.waits_for, one.context_time, rows[one.entity, one.version].id)
        for one in ended
        if one.state == "pending" and one.waits_for is not None and one.context_time is not None
    ]
    if not parked:
        return
    awaited = sorted({waits_for for waits_for, _, _ in parked})
    came: dict[str, int] = {}
    for (source, _), row in rows_by_canonical(connection, [(uuid, region) for uuid in awaited]).items():
        came[source] = row["modified"]
    for chunk in chunks(awaited):
        # The state is no condition: SQLite would go through all that was ever delivered, by that index.
        delivered = case((outbox.c.state == "delivered", outbox.c.processed_time), else_=0)
        query = select(outbox.c.entity, func.max(delivered)).where(
            outbox.c.region == region, outbox.c.entity.in_(chunk)
        )
        for uuid, time in connection.execute(query.group_by(outbox.c.entity)):
            came[uuid] = max(time, came.get(uuid, 0))
    missed = [id_ for waits_for, since, id_ in parked if came.get(waits_for, -1) >= since]
    for ids in chunks(missed):
        connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(due_time=now))
