"""What is deleted by age and what never is, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, Table, event, insert, update

from pipeline.agents.pruning import purge_periodically
from pipeline.agents.report import Report
from pipeline.core.drift import Tally
from pipeline.core.entities import Kind
from pipeline.core.errors import TemporaryError
from pipeline.core.records import Desired
from pipeline.outbox import retention as module
from pipeline.outbox import schema
from pipeline.outbox.acts import audit
from pipeline.outbox.engine import writing
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.plans import PlanStore
from pipeline.outbox.region import CallRow, RegionStore
from pipeline.outbox.retention import OVER, TABLES, Ages, Cursor, Purged, Retention
from tests.unit.outbox.builders import NOW, Clock, keep, record, rows, settled
from tests.unit.outbox.replays_contract import explained, scanned

DAY = 86_400_000
AGES = Ages(30 * DAY, 365 * DAY)
OLD = NOW - 30 * DAY - 1
YOUNG = NOW - 30 * DAY
LIMIT_S = 20.0
STATES = ("pending", "published", "held", "dead", "delivered", "superseded")


class RetentionContract:
    @pytest.fixture
    def retention(self, engine: Engine) -> Retention:
        return Retention(engine, AGES)

    def test_only_what_is_over_and_old_and_not_the_newest_goes(
        self, retention: Retention, engine: Engine
    ) -> None:
        """Each state, old and young, replaced by a newer one and not."""
        made = [
            outbox_row(f"{state}-{age}-{newer}", state, time, newer=newer)
            for state in STATES
            for age, time in (("old", OLD), ("young", YOUNG))
            for newer in (True, False)
        ]
        put(engine, schema.outbox, [one for some in made for one in some])
        swept(retention)
        left = Counter(one["entity"] for one in rows(engine, schema.outbox))
        gone = {entity for entity, number in left.items() if number == 1 and entity.endswith("True")}
        assert gone == {f"{state}-old-True" for state in OVER}
        assert {one["entity"] for one in rows(engine, schema.outbox)} == {some[0]["entity"] for some in made}

    def test_the_newest_is_of_each_region(self, retention: Retention, engine: Engine) -> None:
        put(
            engine,
            schema.outbox,
            [*outbox_row("e", "delivered", OLD, newer=True), *outbox_row("e", "delivered", OLD, region="r3")],
        )
        swept(retention)
        assert [(one["region"], one["version"]) for one in rows(engine, schema.outbox)] == [
            ("r2", 2),
            ("r3", 1),
        ]

    def test_calls_go_before_what_they_were_made_for(self, retention: Retention, engine: Engine) -> None:
        put(engine, schema.outbox, outbox_row("e", "delivered", OLD, newer=True))
        first, newest = (one["id"] for one in rows(engine, schema.outbox))
        put(engine, schema.attempt, [call_row(first, OLD), call_row(newest, OLD), call_row(first, YOUNG)])
        assert retention.purge("outbox", NOW).rows == 0, "it still has calls"
        swept(retention)
        assert [(one["outbox_id"], one["time"]) for one in rows(engine, schema.attempt)] == [(first, YOUNG)]
        assert len(rows(engine, schema.outbox)) == 2
        with writing(engine) as connection:
            connection.execute(update(schema.attempt).values(time=OLD))
        swept(retention)
        assert rows(engine, schema.attempt) == []
        assert [one["id"] for one in rows(engine, schema.outbox)] == [newest]

    def test_calls_of_what_is_not_over_stay(self, retention: Retention, engine: Engine) -> None:
        for state in STATES:
            put(engine, schema.outbox, outbox_row(state, state, OLD))
        ids = {one["id"]: one["state"] for one in rows(engine, schema.outbox)}
        put(engine, schema.attempt, [call_row(id_, OLD) for id_ in [*ids, 4711]])
        swept(retention)
        left = {ids[one["outbox_id"]] for one in rows(engine, schema.attempt)}
        assert left == set(STATES) - set(OVER), "also what nobody refers to any more is gone"

    def test_what_is_said_of_a_desired_state_goes_with_it(self, retention: Retention, engine: Engine) -> None:
        put(engine, schema.outbox, outbox_row("e", "superseded", OLD, newer=True))
        put(engine, schema.outbox, outbox_row("held", "held", OLD, newer=True))
        ids = {(one["entity"], one["version"]): one["id"] for one in rows(engine, schema.outbox)}
        for entity in ("e", "held"):
            some = {"entity": entity, "region": "r2", "outbox_id": ids[entity, 1]}
            put(engine, schema.hold, [{**some, "reason": "many", "created_time": OLD}])
            put(engine, schema.futile, [{**some, "difference": "x", "seen": b"null", "times": 1}])
        swept(retention)
        for table in (schema.hold, schema.futile):
            assert [one["entity"] for one in rows(engine, table)] == ["held"]

    @pytest.mark.parametrize("name", ["conflict", "dead_letter", "audit"])
    def test_ledgers_are_kept_for_longer(self, retention: Retention, engine: Engine, name: str) -> None:
        old = NOW - AGES.ledger_ms
        made = [LEDGERS[name](number, time) for number, time in enumerate((old - 1, OLD, old, old - 1))]
        put(engine, schema.metadata.tables[name], made)
        swept(retention)
        assert sorted(one["time"] for one in rows(engine, schema.metadata.tables[name])) == [old, OLD]

    @pytest.mark.statements
    def test_plans_go_after_their_steps(
        self, retention: Retention, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LOOKED", 2)
        for time, steps in ((OLD, 5), (OLD, 0), (YOUNG, 3)):
            plans = PlanStore(engine, "r2", Clock(time))
            number = plans.begin()
            put(engine, schema.plan_step, [step_row(number, one) for one in range(steps)])
            plans.end(number, Tally(), 0)
        assert retention.purge("plan", NOW).rows == 1, "the one without steps"
        swept(retention)
        [left] = rows(engine, schema.plan)
        assert {one["plan"] for one in rows(engine, schema.plan_step)} == {left["id"]}
        assert (left["time"], len(rows(engine, schema.plan_step))) == (YOUNG, 3)

    @pytest.mark.statements
    def test_the_last_scans_and_the_last_proof_stay(
        self, retention: Retention, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "SCANS_KEPT", 2)
        put(engine, schema.scan, [scan_row(region, OLD) for region in ("r1", "r2", "r1", "r1", "r1")])
        put(
            engine,
            schema.proof,
            [proof_row(region, time) for time in (OLD - 9, OLD) for region in ("r1", "r2")],
        )
        first = rows(engine, schema.scan)[0]["id"]
        page = {"scan": first, "kind": "User", "page": 1, "total": 1, "listed": 1, "digests": b""}
        put(engine, schema.scan_page, [page])
        swept(retention)
        assert [one["region"] for one in rows(engine, schema.scan)] == ["r2", "r1", "r1"]
        assert rows(engine, schema.scan_page) == []
        assert [one["time"] for one in rows(engine, schema.proof)] == [OLD, OLD]

    def test_a_batch_looks_at_so_many_rows_and_what_stays_is_passed(
        self, retention: Retention, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Dead rows stay at the head of the index for ever, and hide nothing behind them."""
        monkeypatch.setattr(module, "LOOKED", 4)
        for number in range(10):
            put(engine, schema.outbox, outbox_row(f"dead{number}", "dead", OLD - 20))
        for number in range(7):
            put(engine, schema.outbox, outbox_row(f"e{number}", "delivered", OLD - number, newer=True))
        sizes, after = [], ()
        for _ in range(20):
            batch = retention.purge("outbox", NOW, after)
            sizes.append(batch.rows)
            if batch.after is None:
                break
            after = batch.after
        assert sum(sizes) == 7 and max(sizes) <= 4 and batch.after is None
        assert sizes[:2] == [0, 0]
        assert {one["entity"] for one in rows(engine, schema.outbox) if one["state"] == "dead"} == {
            f"dead{number}" for number in range(10)
        }

    def test_what_was_opened_again_in_the_meantime_stays(self, retention: Retention, engine: Engine) -> None:
        put(engine, schema.outbox, outbox_row("e", "delivered", OLD, newer=True))
        id_ = rows(engine, schema.outbox)[0]["id"]
        with writing(engine) as connection:
            connection.execute(update(schema.outbox).values(state="pending", processed_time=None))
        with writing(engine) as connection:
            assert TABLES["outbox"].delete(connection, [id_]) == 0
        assert len(rows(engine, schema.outbox)) == 2

    def test_killed_in_the_middle_of_a_batch_nothing_of_it_has_happened(
        self, retention: Retention, engine: Engine
    ) -> None:
        for number in range(6):
            put(engine, schema.outbox, outbox_row(f"e{number}", "delivered", OLD, newer=True))
            some = {"entity": f"e{number}", "region": "r2", "reason": "many", "created_time": OLD}
            put(engine, schema.hold, [{**some, "outbox_id": rows(engine, schema.outbox)[-2]["id"]}])

        def dies(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
            if sql.startswith("DELETE FROM outbox"):
                raise KeyboardInterrupt

        event.listen(engine, "before_cursor_execute", dies)
        try:
            with pytest.raises(KeyboardInterrupt):
                retention.purge("outbox", NOW)
        finally:
            event.remove(engine, "before_cursor_execute", dies)
        assert (len(rows(engine, schema.outbox)), len(rows(engine, schema.hold))) == (12, 6)
        swept(retention)
        assert (len(rows(engine, schema.outbox)), len(rows(engine, schema.hold))) == (6, 0)

    def test_two_at_once_are_no_harm(
        self, retention: Retention, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LOOKED", 20)
        many = [one for n in range(100) for one in outbox_row(f"e{n}", "delivered", OLD - n, newer=True)]
        put(engine, schema.outbox, many)

        def patiently(_number: int) -> int:
            while True:
                try:
                    return swept(retention)["outbox"]
                except TemporaryError:
                    continue

        with ThreadPoolExecutor(2) as threads:
            counted = list(threads.map(patiently, range(2)))
        assert sum(counted) == 100
        assert {one["version"] for one in rows(engine, schema.outbox)} == {2}
        assert len(rows(engine, schema.outbox)) == 100

    @pytest.mark.statements
    def test_an_older_message_that_comes_late_is_still_superseded(
        self, retention: Retention, engine: Engine
    ) -> None:
        """Everything of it was deleted but the newest row."""
        hub, region = HubStore(engine, Clock(OLD - 9)), RegionStore(engine, "r2", Clock(OLD - 9))
        user = record(Kind.USER, "u1")
        keep(hub, user, sent=("r2",))
        late = Desired("r2", Kind.USER, "u1", 1, user.desired(), None)
        stored = hub.load(["u1"])["u1"]
        hub.commit(
            [
                Change(
                    stored.record, stored.revision, (Desired("r2", Kind.USER, "u1", 2, user.desired(), None),)
                )
            ],
            OLD - 9,
        )
        calls = (CallRow("updateUser", 200, None, 5, OLD - 9),)
        for version in (1, 2):
            region.settle([settled(user, version=version, calls=calls)], OLD - 9)
        assert swept(retention) == {"attempt": 2, "outbox": 1}
        [context] = region.contexts([late])
        assert (context.outbox_id, context.newest) == (None, 2)

    def test_its_questions_are_answered_by_indexes(self, retention: Retention, engine: Engine) -> None:
        many = [one for n in range(2_000) for one in outbox_row(f"e{n}", "delivered", YOUNG + n * 60_000)]
        put(engine, schema.outbox, many)
        put(engine, schema.attempt, [call_row(n, YOUNG + n) for n in range(2_000)])
        put(engine, audit, [LEDGERS["audit"](n, NOW + n) for n in range(2_000)])
        asked: list[tuple[str, Any]] = []

        def heard(_connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
            asked.append((sql, parameters))

        event.listen(engine, "before_cursor_execute", heard)
        try:
            for name in ("outbox", "attempt", "audit"):
                retention.purge(name, YOUNG + 30 * DAY + 30_000, ())
                retention.purge("outbox", NOW, (YOUNG - 1, "r2", "delivered", 0))
        finally:
            event.remove(engine, "before_cursor_execute", heard)
        selects = [(sql, parameters) for sql, parameters in asked if sql.lstrip().startswith("SELECT ")]
        assert len(selects) >= 4
        for sql, parameters in selects:
            plan = explained(engine, sql, parameters)
            assert not {"outbox", "attempt", "audit"} & scanned(plan), (sql, plan)

    async def test_the_timer_deletes_beside_the_work_and_outlives_a_failure(self, engine: Engine) -> None:
        for number in range(5):
            put(engine, schema.outbox, outbox_row(f"e{number}", "delivered", OLD, newer=True))
        put(engine, schema.conflict, [LEDGERS["conflict"](0, NOW - AGES.ledger_ms - 1)])
        report = Counted()
        task = asyncio.create_task(purge_periodically(Unsteady(engine, AGES), Clock(NOW), report, 0.01))
        try:
            await until(lambda: report.rows == {"outbox": 5, "conflict": 1})
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert (len(rows(engine, schema.outbox)), rows(engine, schema.conflict)) == (5, [])


class Unsteady(Retention):
    """Away the first time."""

    failures = 0

    def purge(self, name: str, now: int, after: Cursor = ()) -> Purged:
        if not self.failures:
            self.failures += 1
            raise TemporaryError("the database is away")
        return super().purge(name, now, after)


class Counted(Report):
    """Counts what was deleted."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()

    def purged(self, table: str, rows: int) -> None:
        self.rows[table] += rows


def swept(retention: Retention, now: int = NOW) -> Counter[str]:
    """Every table to its end, as the hub does; what was deleted."""
    counted: Counter[str] = Counter()
    for _ in range(3):  # what one sweep makes room for
        for name in TABLES:
            after: Cursor | None = ()
            while after is not None:
                batch = retention.purge(name, now, after)
                after = batch.after
                if batch.rows:
                    counted[name] += batch.rows
    return counted


def put(engine: Engine, table: Table, made: list[dict[str, Any]]) -> None:
    if made:
        with writing(engine) as connection:
            connection.execute(insert(table), made)


def outbox_row(
    entity: str, state: str, time: int, *, newer: bool = False, region: str = "r2"
) -> list[dict[str, Any]]:
    """One in this state since then, and perhaps a newer one."""
    is_open = state in ("pending", "published", "held")
    some = {"routing_key": "k", "body": b"{}", "entity": entity, "kind": "User", "region": region}
    some |= {"attempts": 0, "due_time": time, "created_time": time, "version": 1}
    one = {**some, "state": state, "processed_time": None if is_open else time}
    return [one, {**some, "version": 2, "state": "delivered", "processed_time": time}] if newer else [one]


def call_row(outbox_id: int, time: int) -> dict[str, Any]:
    return {"outbox_id": outbox_id, "command": "updateUser", "status": 200, "ms": 5, "time": time}


def step_row(plan: int, number: int) -> dict[str, Any]:
    some = {"plan": plan, "place": number, "region": "r2", "entity": f"e{number}", "kind": "User"}
    return {**some, "fingerprint": "f", "wanted": b"null", "body": b"{}", "state": "planned"}


def scan_row(region: str, time: int) -> dict[str, Any]:
    counts = dict.fromkeys(("equal", "different", "in_flight", "unknown", "missing", "protected"), 0)
    some = {"region": region, "owner": "me", "state": "done", "calls": 1, "ms": 1, **counts}
    return {**some, "started_time": time, "heartbeat_time": time, "ended_time": time}


def proof_row(region: str, time: int) -> dict[str, Any]:
    counts = dict.fromkeys(("domains", "accounts", "users", "differences"), 0)
    return {"time": time, "region": region, "root": "0", "equal": True, **counts}


def _conflict(number: int, time: int) -> dict[str, Any]:
    sides = {
        "kept": "a",
        "kept_time": 1,
        "kept_region": "r1",
        "lost": "b",
        "lost_time": 1,
        "lost_region": "r2",
    }
    return {"entity": f"e{number}", "field": "name", "base": None, **sides, "time": time}


def _letter(number: int, time: int) -> dict[str, Any]:
    place = {"topic": "t", "partition": 0, "offset": number, "region": "r1", "routing_key": "k"}
    return {**place, "reason": "nonsense", "body": b"?", "time": time}


def _act(number: int, time: int) -> dict[str, Any]:
    some = {"who": "ann", "action": "retry", "subject": "outbox", "subject_id": number, "reason": "why"}
    return {**some, "time": time}


LEDGERS: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "conflict": _conflict,
    "dead_letter": _letter,
    "audit": _act,
}


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not true():
            await asyncio.sleep(0.01)
