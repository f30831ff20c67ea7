"""Small pieces of SQL that the stores share: chunks, rows by key, multi-row upserts, text that fits."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import (
    Column,
    Connection,
    Dialect,
    RowMapping,
    Select,
    Table,
    and_,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects import mysql, sqlite

from pipeline.outbox.schema import NAME_MAX

IN_MAX: Final = 300
"""Items of one IN list: MariaDB turns lists of 1,000 and more into a subquery; SQLite has a limit too."""

_KEY_NUMBER: Final = "BIGINT"
_KEY_TEXT: Final = f"VARCHAR({NAME_MAX}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

T = TypeVar("T")
Row = Mapping[str, Any]


def chunks(items: Collection[T], size: int = IN_MAX) -> Iterator[list[T]]:
    """`items` in lists of at most `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def rows_by_key(
    connection: Connection,
    columns: Sequence[Column[Any]],
    key: Sequence[Column[Any]],
    keys: Collection[tuple[Any, ...]],
    *,
    lock: bool = False,
) -> list[RowMapping]:
    """`columns` of the rows whose `key` columns hold one of `keys`. `lock`: until the transaction ends."""
    found: list[RowMapping] = []
    for chunk in chunks(keys):
        query = _by_key(connection, select(*columns), key, chunk)
        found += connection.execute(query.with_for_update() if lock else query).mappings()
    return found


def _by_key(
    connection: Connection, query: Select[Any], key: Sequence[Column[Any]], keys: list[tuple[Any, ...]]
) -> Select[Any]:
    """The keys as a table of their own, joined: each is looked up by index. For a list of tuples SQLite reads
    the whole table, and MariaDB compares every row with one tuple after the other. Others look each of these
    up by index."""
    if connection.dialect.name != "sqlite" and not has_json_table(connection.dialect):
        return query.where(tuple_(*key).in_(keys))
    listed = json.dumps(keys, ensure_ascii=False)
    if connection.dialect.name == "sqlite":
        each = func.json_each(listed).table_valued("value")
        parts = [func.json_extract(each.c.value, f"$[{number}]") for number in range(len(key))]
        return query.join_from(each, key[0].table, and_(*map(Column.__eq__, key, parts)))
    names = [f"k{number}" for number in range(len(key))]
    types = ", ".join(
        f"{name} {_KEY_NUMBER if column.type.python_type is int else _KEY_TEXT} PATH '$[{number}]'"
        for number, (name, column) in enumerate(zip(names, key, strict=True))
    )
    wanted = func.json_table(listed, literal_column(f"'$[*]' COLUMNS ({types})")).table_valued(*names)
    joined = query.join_from(wanted, key[0].table, and_(*map(Column.__eq__, key, wanted.c)))
    return joined.prefix_with("STRAIGHT_JOIN")


def has_json_table(dialect: Dialect) -> bool:
    """MariaDB has it. What answers as MySQL does may be one that has not: TiDB is (docs/database.md)."""
    return bool(getattr(dialect, "is_mariadb", False))


def cut(text: str, limit: int) -> str:
    """`text` as a column of `limit` characters takes it: shortened, and with nothing that UTF-8 can't say."""
    return text[:limit].encode("utf-8", "replace").decode()


def name_key(name: str) -> str:
    """A name without case: what CloudStack holds unique below one parent."""
    return cut(name.casefold(), NAME_MAX)


def upsert(connection: Connection, table: Table, rows: Sequence[Row], changed: Sequence[str]) -> None:
    """Insert `rows`; where the primary key is there already, take over the columns in `changed`.

    Only for tables with one unique key that can collide: MariaDB names none. One statement for many rows
    (PyMySQL folds them, SQLite's driver loops in C).
    """
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        one = sqlite.insert(table)
        keys = [column.name for column in table.primary_key]
        connection.execute(
            one.on_conflict_do_update(index_elements=keys, set_={c: one.excluded[c] for c in changed}), rows
        )
        return
    many = mysql.insert(table)
    connection.execute(many.on_duplicate_key_update({c: many.inserted[c] for c in changed}), rows)


def upsert_newer(
    connection: Connection, table: Table, rows: Sequence[Row], changed: Sequence[str], by: str
) -> None:
    """The same, where what is there is not newer: `by` is compared in the statement that writes, so whoever
    comes late changes nothing, whatever it had read."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        one = sqlite.insert(table)
        keys = [column.name for column in table.primary_key]
        new = {name: one.excluded[name] for name in (*changed, by)}
        newer = one.excluded[by] >= table.c[by]
        connection.execute(one.on_conflict_do_update(index_elements=keys, set_=new, where=newer), rows)
        return
    many = mysql.insert(table)
    newer = many.inserted[by] >= table.c[by]
    # MariaDB assigns them one after the other, as they stand here: so what is compared comes last.
    each = [(name, func.if_(newer, many.inserted[name], table.c[name])) for name in (*changed, by)]
    connection.execute(many.on_duplicate_key_update(each), rows)


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert `rows`; those that are there already, by any unique key, stay as they are."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
        return
    key = table.primary_key.columns[0]
    # Not INSERT IGNORE, which would hide every other error too.
    connection.execute(mysql.insert(table).on_duplicate_key_update({key.name: key}), rows)
