"""What is measured in the database, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, event, insert

from pipeline.core.compare import Outcome
from pipeline.core.effect import TRIES_WITHOUT_EFFECT, Futile
from pipeline.core.entities import Kind
from pipeline.core.removal import NOTHING_STANDS, Asked, Limits, Losses, Policy
from pipeline.outbox.engine import writing
from pipeline.outbox.gaps import GapRow, GapStore
from pipeline.outbox.holds import Pending
from pipeline.outbox.hub import HubStore
from pipeline.outbox.measures import Looked, Measured, answers, looked, measure
from pipeline.outbox.proofs import Proof, keep_proofs
from pipeline.outbox.region import RegionStore
from pipeline.outbox.scans import ScanStore
from pipeline.outbox.schema import outbox
from tests.unit.outbox.builders import NOW, Clock, keep, record, settled

NONE = {"pending": 0, "parked": 0, "published": 0, "held": 0, "dead": 0}
LATER = NOW + 60_000


def one(engine: Engine, region: str = "r2", now: int = LATER) -> Measured:
    (found,) = measure(engine, [region], now)
    return found


class MeasuresContract:
    @pytest.mark.statements
    def test_nothing_yet(self, engine: Engine) -> None:
        assert measure(engine, ["r1", "r2"], NOW) == [
            Measured(name, NONE, {}, 0, 0, GapRow(name)) for name in ("r1", "r2")
        ]
        assert looked(engine) is None
        answers(engine)

    def test_rows_by_state_and_the_oldest(self, engine: Engine) -> None:
        hub = HubStore(engine, Clock())
        names = ("pending", "published", "delivered", "dead", "superseded", "parked")
        made = {name: record(Kind.DOMAIN, f"d-{name}", name) for name in names}
        ids = dict(zip(made, keep(hub, *made.values(), sent=("r2",)), strict=True))
        keep(hub, record(Kind.DOMAIN, "d-other", "other"), sent=("r1",))
        hub.published([ids["published"]], NOW)
        RegionStore(engine, "r2", Clock()).settle(
            [
                *(settled(made[state], state) for state in ("delivered", "dead", "superseded")),
                settled(made["parked"], "pending", due_time=LATER + 600_000),
            ],
            NOW,
        )
        found = one(engine)
        assert found.rows == {**NONE, "pending": 1, "published": 1, "dead": 1, "parked": 1}
        assert found.oldest == dict.fromkeys(("pending", "published", "dead", "parked"), NOW)
        assert one(engine, "r1").rows == {**NONE, "pending": 1}

    @pytest.mark.statements
    def test_removals_that_wait_for_a_person_and_not_what_mode_plan_holds(self, engine: Engine) -> None:
        hub = HubStore(engine, Clock())
        asked, planned = record(Kind.DOMAIN, "d-1", "a"), record(Kind.DOMAIN, "d-2", "b")
        first, _ = keep(hub, asked, planned, sent=("r2",))
        region = RegionStore(engine, "r2", Clock())
        wanted = Asked(Kind.DOMAIN, "", Losses(), NOTHING_STANDS)
        region.decide([Pending(first, "d-1", wanted)], Limits(Policy.HOLD))
        region.settle([settled(asked, "held"), settled(planned, "held", result="planned")], NOW)
        found = one(engine)
        assert (found.rows["held"], found.holds) == (2, 1)

    def test_rows_without_progress(self, engine: Engine) -> None:
        stuck, trying = record(Kind.DOMAIN, "d-1", "a"), record(Kind.DOMAIN, "d-2", "b")
        keep(HubStore(engine, Clock()), stuck, trying, sent=("r2",))
        RegionStore(engine, "r2", Clock()).settle(
            [
                settled(stuck, "dead", futile=Futile("x", None, TRIES_WITHOUT_EFFECT)),
                settled(trying, "pending", futile=Futile("x", None, TRIES_WITHOUT_EFFECT - 1)),
            ],
            NOW,
        )
        assert (one(engine).no_progress, one(engine, "r1").no_progress) == (1, 0)

    def test_gaps(self, engine: Engine) -> None:
        store = GapStore(engine, "r2", Clock())
        store.count(3, NOW)
        store.silent(NOW - 5)
        store.need_scan(NOW - 9)
        assert one(engine).gap == GapRow("r2", 3, 3, NOW, NOW - 5, NOW - 9)

    def test_scans(self, engine: Engine) -> None:
        clock = Clock()
        store = ScanStore(engine, "r2", clock)
        store.due(1000)
        assert (one(engine).scan, one(engine).scan_done) == (None, NOW), "since when one is due"
        done = store.begin("me")
        clock.now = NOW + 10
        store.end(done, {Outcome.MISSING: 4}, None, 10)
        assert (one(engine).scan, one(engine).scan_done) == ("done", NOW + 10)
        assert one(engine).found[Outcome.MISSING] == 4
        suspended = store.begin("me")
        clock.now = NOW + 20
        store.end(suspended, {}, "too short", 10)
        assert (one(engine).scan, one(engine).scan_done) == ("suspended", NOW + 10)
        store.begin("me")
        assert (one(engine).scan, one(engine).scan_done) == ("running", NOW + 10)

    def test_the_last_verify(self, engine: Engine) -> None:
        for time, differences in ((NOW, 7), (NOW + 5, 2)):
            keep_proofs(
                engine, [Proof(time, name, "f", 1, 1, 1, False, differences) for name in ("r1", "r2")]
            )
        assert looked(engine) == Looked(NOW + 5, 2)

    def test_many_rows_cost_no_more_queries(self, engine: Engine) -> None:
        rows = [
            {
                "routing_key": "k",
                "body": b"{}",
                "created_time": NOW + number,
                "entity": f"e-{number}",
                "kind": "User",
                "version": 1,
                "region": "r2",
                "state": ("delivered", "pending", "dead")[number % 3],
                "attempts": 0,
                "due_time": NOW,
            }
            for number in range(3_000)
        ]
        empty = queries(engine)
        with writing(engine) as connection:
            connection.execute(insert(outbox), rows)
        assert one(engine).rows == {**NONE, "pending": 1_000, "dead": 1_000}
        assert one(engine).oldest["dead"] == NOW + 2
        assert queries(engine) <= empty + 2, "one more for the oldest of each state that has rows"


def queries(engine: Engine) -> int:
    """How many statements one look takes."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        measure(engine, ["r2"], LATER)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(seen)
