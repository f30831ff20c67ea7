"""Records as rows of `entity`, and back. Called inside the stores' transactions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, and_, select

from pipeline import wire
from pipeline.core.entities import Kind
from pipeline.core.records import Founder, Record, Stamp
from pipeline.outbox.schema import NAME_MAX, entity
from pipeline.outbox.statements import chunks, cut, name_key


def entity_row(record: Record, revision: int, now: int) -> dict[str, Any]:
    """The row for `record`. `created` is taken only by a row that is new: when the first region had it."""
    name = record.fields["name"].text
    return {
        "uuid": record.uuid,
        "kind": record.kind.value,
        "name": cut(name, NAME_MAX),
        "name_key": name_key(name),
        "email_key": email_key(record),
        "parent": record.parent,
        "present": record.life.present,
        "version": record.version,
        "revision": revision,
        "body": wire.encode(record),
        "created": record.life.stamp.time,
        "modified": now,
    }


def email_key(record: Record) -> str | None:
    """By what a user is found who is known by an e-mail address alone."""
    value = record.fields.get("email")
    return name_key(value.text) if value is not None and value.text else None


def read_founder(connection: Connection, account: str) -> Founder | None:
    """The oldest present user of the account, by its canonical UUID."""
    query = (
        select(entity.c.body)
        .where(entity.c.parent == account, entity.c.kind == Kind.USER.value, entity.c.present.is_(True))
        .order_by(entity.c.created, entity.c.uuid)
        .limit(1)
    )
    body = connection.execute(query).scalar_one_or_none()
    if body is None:
        return None
    record = wire.record(body)
    return Founder(record.uuid, record.desired() or {})


def read_graves(connection: Connection, uuids: Collection[str]) -> dict[str, Stamp]:
    """When and where those of these entities that are removed were."""
    found: dict[str, Stamp] = {}
    for chunk in chunks(uuids):
        removed = and_(entity.c.uuid.in_(chunk), entity.c.present.is_(False))
        for uuid, body in connection.execute(select(entity.c.uuid, entity.c.body).where(removed)):
            found[uuid] = wire.record(body).life.stamp
    return found
