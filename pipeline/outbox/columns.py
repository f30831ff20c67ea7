"""The types of columns, declared once for all tables, and how tables are made on MariaDB and MySQL.

Used by `schema`, `reconcile_schema` and `acts`.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Integer, LargeBinary, MetaData, String
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

UUID_MAX: Final = 64
NAME_MAX: Final = 255
MESSAGE_MAX: Final = 4000
"""Characters kept of a message; a TEXT column takes 16,383 of the widest."""
RESULT_MAX: Final = 64

metadata: Final = MetaData()
"""All tables."""

OPTIONS: Final[dict[str, Any]] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def number() -> TypeEngine[int]:
    """An automatic key: SQLite counts up only what it calls INTEGER."""
    return BigInteger().with_variant(Integer(), "sqlite")


def body() -> TypeEngine[bytes]:
    """Up to 16 MiB of bytes."""
    return LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")


def uuid() -> String:
    """A UUID, or a region's name."""
    return String(UUID_MAX)


def word() -> String:
    """One of a few words."""
    return String(16)
