"""What a server must be able to do to execute a statement, in words.

In: one statement, as `recording.shape` leaves it. Out: the names of its features, those of the tables in
`docs/database.md`. What this module has no word for is a feature by the parser's own name of it, so that
nothing new goes unseen. Called by `test_statements`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import sqlglot
from sqlglot import exp

from tests.statements.recording import PING

PLAIN: Final = (
    exp.Column,
    exp.Identifier,
    exp.Table,
    exp.Literal,
    exp.Boolean,
    exp.Null,
    exp.Paren,
    exp.Alias,
    exp.Var,
    exp.TableAlias,
    exp.Schema,
    exp.From,
    exp.Where,
    exp.Star,
    exp.ColumnDef,
    exp.ColumnConstraint,
    exp.DataTypeParam,
    exp.IndexParameters,
    exp.Ordered,
    exp.Properties,
    exp.Constraint,
    exp.Neg,
    exp.Not,
    exp.And,
    exp.Or,
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.Add,
    exp.Sub,
    exp.Div,
    exp.JSONColumnDef,
    exp.JSONSchema,
    exp.Index,
)
"""Parts of every statement: names, values, comparisons, and what only holds others together."""

NAMED: Final[dict[type[exp.Expression], str]] = {
    exp.AutoIncrementColumnConstraint: "AUTO_INCREMENT",
    exp.Between: "BETWEEN",
    exp.Case: "CASE",
    exp.Commit: "COMMIT",
    exp.CurrentSchema: "DATABASE()",
    exp.CurrentVersion: "VERSION()",
    exp.Delete: "DELETE",
    exp.Distinct: "DISTINCT",
    exp.Escape: "LIKE … ESCAPE",
    exp.Exists: "EXISTS (subquery)",
    exp.Group: "GROUP BY",
    exp.Is: "IS NULL, IS true",
    exp.JSONTable: "JSON_TABLE()",
    exp.Like: "LIKE",
    exp.NotNullColumnConstraint: "NOT NULL",
    exp.Offset: "LIMIT … OFFSET",
    exp.OnConflict: "INSERT … ON DUPLICATE KEY UPDATE",
    exp.PrimaryKey: "PRIMARY KEY",
    exp.Returning: "INSERT … RETURNING",
    exp.Rollback: "ROLLBACK",
    exp.StrPosition: "LOCATE()",
    exp.UniqueColumnConstraint: "UNIQUE",
    exp.Update: "UPDATE",
}

_SESSION: Final = re.compile(r"SET (SESSION |GLOBAL )?(.*)", re.IGNORECASE | re.DOTALL)
_ONLY_MARIADB: Final = re.compile(r"/\*M!(.*?)\*/")
_COLUMN_TEXT: Final = re.compile(r" CHARACTER SET \w+ COLLATE \w+(?= PATH)")


def features(statement: str) -> set[str]:
    """The names of what it takes."""
    if statement == PING:
        return {PING}
    found: set[str] = set()
    session = _SESSION.fullmatch(statement)
    if session:
        return {f"SET {name}" for name in _settings(session[1] or "", session[2])}
    if _COLUMN_TEXT.search(statement):
        found.add("JSON_TABLE() … CHARACTER SET … COLLATE")
        statement = _COLUMN_TEXT.sub("", statement)
    tree = sqlglot.parse_one(statement, dialect="mysql")
    if "SELECT STRAIGHT_JOIN" in statement:
        found.add("STRAIGHT_JOIN")
    for node in tree.walk():
        found.update(_names(node))
    return found or {statement}  # a statement that the parser takes for an expression


def assignments(statement: str) -> list[tuple[str, set[str]]]:
    """Of UPDATE, and of ON DUPLICATE KEY UPDATE, in their order: each column, and the row's columns that are
    read for it."""
    if not statement.startswith(("UPDATE", "INSERT")):
        return []
    tree = sqlglot.parse_one(statement, dialect="mysql")
    conflict = tree.args.get("conflict")
    pairs = tree.expressions if isinstance(tree, exp.Update) else conflict.expressions if conflict else []
    return [(pair.this.name, set(_columns(pair.expression))) for pair in pairs]


def _columns(node: exp.Expression) -> Iterator[str]:
    """Without those of `VALUES(column)`, which are the new row's."""
    if isinstance(node, exp.Anonymous) and node.name.upper() == "VALUES":
        return
    if isinstance(node, exp.Column):
        yield node.name
    for child in node.iter_expressions():
        yield from _columns(child)


def _settings(scope: str, said: str) -> Iterator[str]:
    """The names of what a SET statement sets."""
    for part in _ONLY_MARIADB.findall(said):
        for name in re.findall(r"(\w+) ?=", part):
            yield f"{scope}{name} (MariaDB alone)"
    rest = _ONLY_MARIADB.sub("", said).strip()
    if "=" not in rest:
        yield scope + rest
        return
    for name in re.findall(r"(\w+) ?= ?(?:'x'|\w+)", rest):
        yield scope + name


def _names(node: Any) -> set[str]:
    read: Callable[[Any], set[str]] | None = _READERS.get(type(node))
    if read is not None:
        return read(node)
    if isinstance(node, PLAIN):
        return set()
    if type(node) in NAMED:
        return {NAMED[type(node)]}
    if isinstance(node, exp.Func):
        return {f"{node.sql_name()}()"}
    return {type(node).__name__}


def _select(node: exp.Select) -> set[str]:
    name = "SELECT" if node.args.get("from_") or node.args.get("from") else "SELECT without a table"
    return {name, *(["HAVING"] if node.args.get("having") else [])}


def _of(node: exp.Expression, name: str) -> set[str]:
    """A part that means more to a server in a statement that writes."""
    owner = node.find_ancestor(exp.Select, exp.Update, exp.Delete)
    writes = isinstance(owner, exp.Update | exp.Delete)
    return {f"{type(owner).__name__.upper()} … {name}" if writes else name}


def _insert(node: exp.Insert) -> set[str]:
    names = {"INSERT IGNORE" if node.args.get("ignore") else "INSERT"}
    return names | ({"INSERT … SELECT"} if isinstance(node.expression, exp.Select) else set())


def _tuple(node: exp.Tuple) -> set[str]:
    return {"row values compared"} if isinstance(node.parent, exp.Predicate) and not _is_in(node) else set()


def _is_in(node: exp.Tuple) -> bool:
    return isinstance(node.parent, exp.In)


def _join(node: exp.Join) -> set[str]:
    return _of(node, " ".join(filter(None, (node.side, node.kind, "JOIN"))))


def _lock(node: exp.Lock) -> set[str]:
    wait = node.args.get("wait")
    suffix = {None: "", True: " NOWAIT", False: " SKIP LOCKED"}.get(wait, " WAIT n")
    return {f"SELECT … FOR {'UPDATE' if node.args.get('update') else 'SHARE'}{suffix}"}


def _in(node: exp.In) -> set[str]:
    rows = "row values " if isinstance(node.this, exp.Tuple) else ""
    return {f"{rows}IN (subquery)" if node.args.get("query") else f"{rows}IN (list)"}


def _subquery(node: exp.Subquery) -> set[str]:
    if isinstance(node.parent, exp.From | exp.Join):
        return {"derived table"}
    return set() if isinstance(node.parent, exp.In | exp.Exists) else {"scalar subquery"}


def _create(node: exp.Create) -> set[str]:
    return {f"CREATE {'UNIQUE ' if node.args.get('unique') else ''}{node.args['kind']}"}


def _alter(node: exp.Alter) -> set[str]:
    actions = node.args["actions"]
    adds = all(isinstance(action, exp.ColumnDef) for action in actions)
    return {"ALTER TABLE … ADD COLUMN"} if adds else {f"ALTER … {type(a).__name__}" for a in actions}


def _anonymous(node: exp.Anonymous) -> set[str]:
    if node.name.upper() == "VALUES":
        return {"VALUES(column) of ON DUPLICATE KEY UPDATE"}
    return {f"{node.name.upper()}()"}


def _rows(node: exp.Values) -> set[str]:
    return {"INSERT of many rows"} if len(node.expressions) > 1 else set()


_READERS: Final[dict[type[exp.Expression], Callable[[Any], set[str]]]] = {
    exp.Alter: _alter,
    exp.Anonymous: _anonymous,
    exp.CharacterSetProperty: lambda node: {f"CHARSET={node.this.name}"},
    exp.CollateProperty: lambda node: {f"COLLATE {node.this.name}"},
    exp.Command: lambda node: {f"{node.name.upper()} …"},
    exp.Create: _create,
    exp.DataType: lambda node: {f"type {node.this.name}"},
    exp.Describe: lambda _: {"DESCRIBE"},
    exp.EngineProperty: lambda node: {f"ENGINE={node.this.name}"},
    exp.If: lambda node: set() if isinstance(node.parent, exp.Case) else {"IF()"},
    exp.In: _in,
    exp.Join: _join,
    exp.Insert: _insert,
    exp.Limit: lambda node: _of(node, "LIMIT"),
    exp.Lock: _lock,
    exp.Order: lambda node: _of(node, "ORDER BY"),
    exp.Select: _select,
    exp.SessionParameter: lambda node: {f"SELECT @@{node.name}"},
    exp.Show: lambda node: {f"SHOW {node.name}"},
    exp.Subquery: _subquery,
    exp.Tuple: _tuple,
    exp.Union: lambda node: {"UNION" if node.args.get("distinct") else "UNION ALL"},
    exp.Values: _rows,
}
