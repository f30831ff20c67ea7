"""CloudStack's own table of users in a real database, as far as logging in needs it.

In: users as they change. Out: the table `user` with 4.22's columns, and each user's hash as it is there now:
somebody else may have written it. Called by `world`. Texts and types: CloudStack's schema (cloud.user).
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    create_engine,
    func,
    insert,
    select,
    update,
)

user: Final = Table(
    "user",
    MetaData(),
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("uuid", String(40), unique=True),
    Column("username", String(255), nullable=False),
    Column("password", String(255), nullable=False),
    Column("account_id", BigInteger(), nullable=False),
    Column("firstname", String(255)),
    Column("lastname", String(255)),
    Column("email", String(255)),
    Column("state", String(10), nullable=False, server_default="enabled"),
    Column("api_key", String(255), unique=True),
    Column("secret_key", String(255)),
    Column("created", DateTime(), nullable=False, server_default=func.now()),
    Column("removed", DateTime()),
    Column("timezone", String(30)),
    Column("registration_token", String(255)),
    Column("is_registered", Boolean(), nullable=False, server_default="0"),
    Column("incorrect_login_attempts", Integer(), nullable=False, server_default="0"),
    Column("default", Boolean(), nullable=False, server_default="0"),
    Column("source", String(40), nullable=False, server_default="UNKNOWN"),
    Column("external_entity", Text()),
    Column("is_user_2fa_enabled", Boolean(), nullable=False, server_default="0"),
    Column("key_for_2fa", String(255)),
    Column("user_2fa_provider", String(255)),
)


class Named(Protocol):
    """A user, as much of it as the table is told."""

    id: int
    uuid: str
    username: str
    password: str
    removed: bool


class UserTable:
    """One region's. Its statements are few and short: they run in the region's own loop."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)
        user.metadata.create_all(self._engine)

    def keep(self, one: Named, account: int) -> None:
        """The user's row as the region has it now; the hash only of a new one."""
        values: dict[str, Any] = {
            "uuid": one.uuid,
            "username": one.username,
            "account_id": account,
            "removed": func.now() if one.removed else None,
        }
        with self._engine.begin() as connection:
            known = select(user.c.id).where(user.c.id == one.id)
            if connection.execute(known).one_or_none() is None:
                connection.execute(insert(user).values(id=one.id, password=one.password, **values))
            else:
                connection.execute(update(user).where(user.c.id == one.id).values(**values))

    def set_password(self, id_: int, password: str) -> None:
        """The stored form."""
        with self._engine.begin() as connection:
            connection.execute(update(user).where(user.c.id == id_).values(password=password))

    def row(self, id_: int) -> RowMapping:
        """The row as it is there now."""
        with self._engine.connect() as connection:
            return connection.execute(select(user).where(user.c.id == id_)).mappings().one()

    def close(self) -> None:
        self._engine.dispose()
