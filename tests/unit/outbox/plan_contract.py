"""What a store of plans promises, on whatever database."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from pipeline.core.drift import Drift, Step, Tally
from pipeline.core.entities import ROOT, Kind
from pipeline.core.errors import PermanentError
from pipeline.core.plan import Call
from pipeline.outbox import schema
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.hub import HubStore
from pipeline.outbox.plans import KEPT, RELEASED_MS, PlanRow, PlanStore, StepState, find_plan
from pipeline.outbox.region import RegionStore
from tests.unit.outbox.builders import Clock, desired, fields, keep, record, rows

REGION = "r2"


def step(kind: Kind, uuid: str, *, removal: bool = False, depth: int = 0) -> Step:
    held = fields(kind, uuid, ROOT)
    here, wanted = (held, None) if removal else (None, held)
    drift = Drift.EXTRA if removal else Drift.MISSING
    call = Call(f"{'delete' if removal else 'create'}{kind}", {"id": uuid})
    return Step(kind, uuid, uuid, f"/{uuid}", drift, here, wanted, (call,), depth=depth)


def planned(store: PlanStore, *steps: Step) -> PlanRow:
    number = store.begin()
    tally = Tally()
    tally.add(steps)
    tally.drifts[Drift.MATCHED] += 7
    store.add(number, steps)
    return store.end(number, tally, 90)


class PlanContract:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, engine: Engine, clock: Clock) -> PlanStore:
        return PlanStore(engine, REGION, clock)

    def test_it_is_kept_in_the_order_of_its_calls(self, store: PlanStore) -> None:
        row = planned(
            store,
            step(Kind.DOMAIN, "old", removal=True),
            step(Kind.USER, "usr"),
            step(Kind.ACCOUNT, "acc"),
            step(Kind.DOMAIN, "sub", depth=1),
            step(Kind.USER, "gone", removal=True),
            step(Kind.DOMAIN, "dom"),
        )
        steps = store.steps(row.id)
        assert [one.entity for one in steps] == ["dom", "sub", "acc", "usr", "gone", "old"]
        assert [one.entity for one in store.steps(row.id, 2, 2)] == ["acc", "usr"]
        assert [one.entity for one in store.to_release(row.id, (0, 0), 3)] == ["dom", "sub", "acc"]
        last = steps[2]
        rest = store.to_release(row.id, (last.place, last.id), 10)
        assert [one.entity for one in rest] == ["usr", "gone", "old"]
        assert (steps[0].wanted, steps[4].wanted) == (fields(Kind.DOMAIN, "dom", ROOT), None)
        assert (row.counts[Drift.MATCHED], row.counts[Drift.MISSING], row.counts[Drift.EXTRA]) == (7, 4, 2)
        assert (row.calls, row.seconds, row.equal, row.released_time) == (6, 90, False, None)

    def test_it_is_found_by_the_first_digits_of_its_hash(self, store: PlanStore, engine: Engine) -> None:
        one = planned(store, step(Kind.USER, "a"))
        again = planned(store, step(Kind.USER, "a"))
        other = planned(store, step(Kind.USER, "b"))
        assert one.hash == again.hash != other.hash
        assert find_plan(engine, one.hash[:7].upper()).id == again.id, "the newest"
        for digits, words in (("12345", "at least 6"), ("%%%%%%", "there is no plan"), ("zzzzzz", "no plan")):
            with pytest.raises(PermanentError, match=words):
                find_plan(engine, digits)

    @pytest.mark.statements
    def test_one_that_is_not_whole_is_not_found(self, store: PlanStore, engine: Engine) -> None:
        store.add(store.begin(), [step(Kind.USER, "a")])
        with pytest.raises(PermanentError):
            find_plan(engine, "000000")

    @pytest.mark.statements
    def test_old_ones_are_forgotten(self, store: PlanStore, engine: Engine) -> None:
        for number in range(KEPT + 3):
            planned(store, step(Kind.USER, f"u{number}"))
        assert len(rows(engine, schema.plan)) == len(rows(engine, schema.plan_step)) == KEPT

    @pytest.mark.statements
    def test_what_is_released_may_be_carried_out_for_a_day(
        self, store: PlanStore, engine: Engine, clock: Clock
    ) -> None:
        wanted = record(Kind.USER, "u1", "u1")
        keep(HubStore(engine, clock), wanted, sent=(REGION,))
        region = RegionStore(engine, REGION, clock)
        row = planned(store, step(Kind.USER, "u1"), step(Kind.USER, "u2"))
        assert not region.released(desired(wanted))
        (first, _) = store.steps(row.id)
        store.release(row.id, [first])
        assert region.released(desired(wanted))
        assert not RegionStore(engine, "r3", clock).released(desired(wanted))
        assert not region.released(desired(record(Kind.USER, "u1", "another"))), "just what was planned"
        assert not region.released(desired(record(Kind.USER, "u2", "u2"))), "just those that were released"
        clock.now += RELEASED_MS
        assert not region.released(desired(wanted))

    def test_who_released_a_plan_is_written_down_with_it(
        self, store: PlanStore, engine: Engine, clock: Clock
    ) -> None:
        row = planned(store, step(Kind.USER, "u1"))
        store.release(row.id, store.steps(row.id), By("ann", row.hash, clock()))
        store.release(row.id, [])
        [act] = ActStore(engine).acts("plan", [row.id])[row.id]
        assert (act.who, act.action, act.reason) == ("ann", "apply", row.hash)
        assert (act.region, act.entity, act.time) == (REGION, None, clock())

    @pytest.mark.statements
    def test_how_far_it_has_come(self, store: PlanStore) -> None:
        row = planned(store, step(Kind.USER, "a"), step(Kind.USER, "b"), step(Kind.USER, "c"))
        first, second, _ = store.steps(row.id)
        store.release(row.id, [first, second])
        store.settle({first.id: ""}, StepState.DONE)
        store.settle({second.id: "no"}, StepState.FAILED)
        assert [(one.state, one.message) for one in store.steps(row.id)] == [
            (StepState.DONE, None),
            (StepState.FAILED, "no"),
            (StepState.PLANNED, None),
        ]
        assert [one.entity for one in store.in_state(row.id, StepState.PLANNED, 0, 9)] == ["c"]
        assert [one.entity for one in store.to_release(row.id, (0, 0), 9)] == ["c"]
        assert set(store.fingerprints(row.id, ["a", "x"])) == {"a"}
