"""Reads and replaces how users of one region log in, in CloudStack's own database.

In: users' UUIDs there, a login that came from elsewhere. Out: logins. Called by the region's worker, in
threads; every method is one transaction. Rights: SELECT on five columns of `user`, UPDATE of three
(docs/least-privilege.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Engine, select, update

from pipeline.core.errors import TemporaryError
from pipeline.core.passwords import NO_HASH, UNKNOWN, Login, stands_for
from pipeline.outbox.engine import open_database, reading, writing
from pipeline.userdb.errors import patiently
from pipeline.userdb.table import user

AT_ONCE: Final = 500
"""UUIDs in one statement: a page of users."""


class Changed(TemporaryError):
    """Somebody has changed it since it was read: that is to be told first."""


class LoginStore:
    """One region's logins. Every method raises `TemporaryError`, for all that the database may answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def at(cls, url: str) -> LoginStore:
        """Nothing is connected yet."""
        return cls(open_database(url))

    def read(self, uuids: Sequence[str]) -> dict[str, Login]:
        """Of those that are there."""
        found: dict[str, Login] = {}
        with patiently(), reading(self._engine) as connection:
            for some in _chunks(uuids):
                rows = connection.execute(
                    select(user.c.uuid, user.c.password, user.c.source, user.c.external_entity).where(
                        user.c.uuid.in_(some), user.c.removed.is_(None)
                    )
                )
                found |= {row.uuid: _login(row) for row in rows}
        return found

    def rehearse(self) -> None:
        """All that is done here, to nobody."""
        self.read([""])
        with patiently(), writing(self._engine) as connection:
            columns = (user.c.uuid, user.c.password, user.c.source, user.c.external_entity)
            nobody = (user.c.uuid == "", user.c.removed.is_(None))
            connection.execute(select(*columns).where(*nobody).with_for_update()).all()
            values = {"password": user.c.password, "source": user.c.source, "external_entity": None}
            connection.execute(update(user).where(*nobody).values(**values))

    def replace(self, uuid: str, known: str, login: Login) -> None:
        """The user logs in like this from now on, where it still logs in as `known` says (`stands_for`);
        again is no harm. Without a hash to write the column `password` stays as it is: CloudStack does not
        look at an identity provider's user's, and nobody knows the one that we made up. Raises `Changed`."""
        with patiently(), writing(self._engine) as connection:
            row = connection.execute(
                select(user.c.uuid, user.c.password, user.c.source, user.c.external_entity)
                .where(user.c.uuid == uuid, user.c.removed.is_(None))
                .with_for_update()
            ).one_or_none()
            if row is not None and _is(_login(row), stands_for(login)):
                return
            if row is None or not _is(_login(row), known):
                raise Changed(f"user {uuid}: its password was changed, or it was removed, since it was read")
            values = {"source": login.source.upper() or UNKNOWN, "external_entity": login.external or None}
            if login.is_native and login.password:
                values["password"] = login.password
            connection.execute(
                update(user).where(user.c.uuid == uuid, user.c.removed.is_(None)).values(**values)
            )


def _is(held: Login, value: str | None) -> bool:
    """Whether that value stands for this login."""
    return held.is_native if value == NO_HASH else stands_for(held) == value


def _login(row: Any) -> Login:
    return Login(row.password or "", row.source or "", row.external_entity or "")


def _chunks(uuids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(uuids), AT_ONCE):
        yield uuids[start : start + AT_ONCE]
