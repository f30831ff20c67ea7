"""No statement on a change's way reads a whole table: the cost of a change stays flat as the tables grow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from pipeline.core.entities import Kind
from pipeline.core.removal import Asked, Limits, Losses, Policy
from pipeline.outbox.engine import reading
from pipeline.outbox.holds import Pending
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import metadata
from tests.unit.outbox.builders import NOW, Clock, at, desired, keep, record, removed, settled

Statements = list[tuple[str, Any]]


@pytest.fixture
def statements(engine: Engine) -> Iterator[Statements]:
    """What is executed from here on, with one set of its parameters."""
    seen: Statements = []

    def note(
        _c: Connection, _cursor: object, sql: str, parameters: Any, _context: object, many: bool
    ) -> None:
        seen.append((sql, parameters[0] if many else parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def scans(engine: Engine, statements: Statements) -> set[tuple[str, str]]:
    """(statement, step of its plan) of every step that goes through a whole table or a whole index, or
    through all rows of a state, unless it is to find those that are due."""
    found: set[tuple[str, str]] = set()
    tables = {f"SCAN {name}" for name in metadata.tables}
    with reading(engine) as connection:
        for sql, parameters in list(statements):
            if sql.startswith(("SELECT", "UPDATE", "DELETE")):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)
                steps = [step for *_, step in plan]
                found |= {(sql, step) for step in steps if " ".join(step.split()[:2]) in tables}
                if "ORDER BY outbox.due_time" not in sql:
                    found |= {(sql, step) for step in steps if "ix_outbox_due" in step}
    return found


def test_the_hub_reads_by_index(engine: Engine, statements: Statements) -> None:
    hub = HubStore(engine, Clock())
    many = [record(Kind.USER, f"u{number}", f"n{number}", "a1") for number in range(3)]

    ids = keep(hub, *many, regions=("r1",), sent=("r2", "r3"))
    changes = [Change(replace(removed(one), version=2), 2, (desired(one, version=2),)) for one in many]
    hub.commit(changes, NOW)
    hub.published(ids, NOW)
    hub.canonical([("r1", "u1"), ("r1", "u2")])
    hub.locals([("u1", "r1"), ("u2", "r1")])
    hub.twin(Kind.USER, "a1", "n1", "r2")
    hub.children(["a1", "a2"], "r1")

    assert len(statements) > 20
    assert scans(engine, statements) == set()


def test_a_region_reads_by_index(engine: Engine, statements: Statements) -> None:
    hub, region = HubStore(engine, Clock()), RegionStore(engine, "r2", Clock())
    account = record(Kind.ACCOUNT, "a1", "acme", "d1")
    users = [record(Kind.USER, f"u{number}", f"n{number}", "a1") for number in range(3)]
    keep(hub, account, *users, regions=("r2",), sent=("r2",))
    hub.commit([Change(account, 2, mapping=at(account, "r3"))], NOW)
    statements.clear()

    region.contexts([desired(one) for one in (account, *users)])
    region.settle(
        [
            settled(account, applied=account.desired(), present=True, parent="d1"),
            settled(users[0], "pending", waits_for="a1", context_time=NOW),
            settled(users[1], "dead", message="no"),
        ],
        NOW,
    )
    region.settle([settled(account, "held", version=2), settled(users[2], version=2)], NOW)
    for one in (account, users[0]):
        region.blocker(replace(desired(one), fields=None))
        region.stands(one.uuid)
    [removal] = region.contexts([replace(desired(account), fields=None)])
    asked = Asked(Kind.ACCOUNT, "enabled", Losses(vms=1), removal.standing)
    region.decide([Pending(removal.outbox_id or 0, "a1", asked)], Limits(Policy.QUARANTINE))
    taken = region.due(NOW + 100_000, 10)
    region.republished([id_ for id_, *_ in taken], NOW + 100_000, NOW)
    region.canonical(["u0", "u1"])
    region.confirmed(["u0", "u1"])
    region.founder("a1")

    assert len(statements) > 20
    assert scans(engine, statements) == set()


def test_a_scan_would_be_noticed(engine: Engine, statements: Statements) -> None:
    statements.append(("SELECT id FROM outbox WHERE message = ?", ("x",)))
    statements.append(("SELECT id FROM outbox WHERE region = ? AND state = ?", ("r2", "delivered")))

    assert len(scans(engine, statements)) == 2
