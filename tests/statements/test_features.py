"""The names that statements come to: what another engine may lack has a name of its own."""

from __future__ import annotations

import pytest

from tests.statements.features import assignments, features
from tests.statements.recording import shape


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("SELECT t.a FROM t FOR UPDATE", "SELECT … FOR UPDATE"),
        ("SELECT t.a FROM t FOR UPDATE SKIP LOCKED", "SELECT … FOR UPDATE SKIP LOCKED"),
        ("SELECT t.a FROM t FOR UPDATE NOWAIT", "SELECT … FOR UPDATE NOWAIT"),
        ("SELECT t.a FROM t WHERE (t.a, t.b) IN ((1, 2), (3, 4))", "row values IN (list)"),
        ("SELECT t.a FROM t WHERE (t.a, t.b) > (1, 2)", "row values compared"),
        ("SELECT t.a FROM t WHERE t.a IN (SELECT u.a FROM u)", "IN (subquery)"),
        ("SELECT t.a FROM t ORDER BY t.a LIMIT 5, 10", "LIMIT … OFFSET"),
        ("SELECT sum(t.a) OVER (PARTITION BY t.b) FROM t", "Window"),
        ("WITH c AS (SELECT 1) SELECT * FROM c", "With"),
        ("INSERT IGNORE INTO t (a) VALUES (1)", "INSERT IGNORE"),
        ("INSERT INTO t (a) SELECT u.a FROM u", "INSERT … SELECT"),
        ("INSERT INTO t (a) VALUES (1), (2), (3)", "INSERT of many rows"),
        ("DELETE FROM t WHERE t.a = 1 LIMIT 10", "DELETE … LIMIT"),
        ("UPDATE t INNER JOIN u ON u.a = t.a SET t.b = 1", "UPDATE … INNER JOIN"),
        ("CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES u (a))", "ForeignKey"),
        ("SET SESSION innodb_lock_wait_timeout=10, sql_mode='A,B'", "SET SESSION sql_mode"),
        ("SET SESSION a=1 /*M! , b=2 */", "SET SESSION b (MariaDB alone)"),
        ("SAVEPOINT a", "SAVEPOINT a"),
    ],
)
def test_it_has_a_name(statement: str, name: str) -> None:
    assert name in features(shape(statement))


def test_values_are_taken_out() -> None:
    said = r"INSERT INTO t (a, b) VALUES ('it\'s', _binary'x''y', 1), ('b', NULL, 2), ('c', 'd', 3)"
    assert shape(said) == "INSERT INTO t (a, b) VALUES ('x'), ('x')"


def test_assignments_are_told_in_their_order() -> None:
    assert assignments("UPDATE t SET a=t.a + 1, b=t.c") == [("a", {"a"}), ("b", {"c"})]
    said = "INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = if(VALUES(a) > t.b, VALUES(a), t.a)"
    assert assignments(said) == [("a", {"a", "b"})]
