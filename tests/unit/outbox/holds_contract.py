"""What the ledger of holds promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import Engine, event

from pipeline.core.effect import Futile
from pipeline.core.entities import Kind
from pipeline.core.records import Record, RegionState
from pipeline.core.removal import (
    APPROVED,
    HOUR_MS,
    NOTHING_STANDS,
    REFUSED,
    SHARE_FROM,
    Asked,
    CarryOut,
    Decision,
    Hold,
    Limits,
    Losses,
    Policy,
    Quarantine,
    Standing,
)
from pipeline.outbox import schema
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.audit import AuditStore, RegionRow
from pipeline.outbox.holding import HoldStore, NotHeld
from pipeline.outbox.holds import Pending, Stands
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.region import CallRow, RegionStore
from pipeline.outbox.settle import PLANNED
from tests.unit.outbox.builders import NOW, Clock, at, desired, keep, record, removed, row, rows, settled

ACCOUNT = removed(record(Kind.ACCOUNT, "a1", "acme", "d1"))
ASKED = Asked(Kind.ACCOUNT, "enabled")
MACHINES = Asked(Kind.ACCOUNT, "enabled", Losses(vms=4))
QUARANTINE = Limits(Policy.QUARANTINE, quarantine_ms=HOUR_MS)


TOGETHER_S = 0.5


def ending(number: int) -> Record:
    return removed(record(Kind.USER, f"u{number:04}", f"n{number}", "a1"))


class HoldsContract:
    @pytest.fixture
    def hub(self, engine: Engine) -> HubStore:
        return HubStore(engine, Clock())

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def region(self, engine: Engine, clock: Clock) -> RegionStore:
        AuditStore(engine).save_regions([RegionRow("r2", "h", "/", "", "", is_master=False)])
        return RegionStore(engine, "r2", clock)

    @pytest.fixture
    def holds(self, engine: Engine) -> HoldStore:
        return HoldStore(engine)

    def decide(self, region: RegionStore, id_: int, asked: Asked, limits: Limits) -> Decision:
        [decision] = region.decide([Pending(id_, "a1", asked)], limits)
        return decision

    def held(self, hub: HubStore, region: RegionStore) -> int:
        """An account's removal, held for its machines."""
        [id_] = keep(hub, ACCOUNT, sent=("r2",))
        assert isinstance(self.decide(region, id_, MACHINES, Limits()), Hold)
        region.settle([settled(ACCOUNT, "held", result="held", message="why")], NOW)
        return id_

    # -- counting

    def test_what_is_let_through_counts_for_an_hour_and_once(
        self, hub: HubStore, region: RegionStore, clock: Clock
    ) -> None:
        ids = keep(hub, *map(ending, range(4)), sent=("r2",))
        limits = Limits(per_hour=2)
        asked = [Pending(id_, "u", ASKED) for id_ in ids]
        first, second, third = region.decide(asked[:3], limits)
        assert (first, second) == (CarryOut(), CarryOut())
        assert third == Hold("2 entities were removed within the hour, and the region's limit is 2")
        assert region.decide(asked[:1], limits) == [CarryOut()], "tried once more, it does not count twice"
        approved = Pending(ids[2], "u", replace(ASKED, standing=Standing(APPROVED)))
        assert region.decide([approved], limits) == [CarryOut()]
        clock.now += HOUR_MS
        assert region.decide(asked[3:], limits) == [CarryOut()]

    def test_each_region_counts_for_itself(self, hub: HubStore, region: RegionStore, engine: Engine) -> None:
        one, other = keep(hub, ACCOUNT, sent=("r2", "r3"))
        limits = Limits(per_hour=1)
        assert self.decide(region, one, ASKED, limits) == CarryOut()
        assert self.decide(RegionStore(engine, "r3", Clock()), other, ASKED, limits) == CarryOut()

    def test_the_limit_is_exact_however_many_ask_at_once(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        """Each is stopped between counting and writing until the other has counted too, if it can."""
        ids = keep(hub, *map(ending, range(2)), sent=("r2",))
        both_counted = threading.Barrier(2)

        def wait(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
            if sql.startswith("INSERT INTO removal"):
                with suppress(threading.BrokenBarrierError):
                    both_counted.wait(TOGETHER_S)

        event.listen(engine, "before_cursor_execute", wait)
        with ThreadPoolExecutor(2) as lanes:
            decided = list(lanes.map(lambda id_: self.decide(region, id_, ASKED, Limits(per_hour=1)), ids))
        event.remove(engine, "before_cursor_execute", wait)
        assert decided.count(CarryOut()) == 1

    @pytest.mark.statements
    def test_the_share_is_of_what_the_region_is_known_to_hold(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        present = [record(Kind.USER, f"p{number}", f"p{number}", "a1") for number in range(5)]
        keep(hub, *present, regions=("r2",))
        ids = keep(hub, *map(ending, range(SHARE_FROM + 2)), sent=("r2",))
        asked = [Pending(id_, "u", ASKED) for id_ in ids]
        limits = Limits(per_hour=None, share=(SHARE_FROM + 1) / (SHARE_FROM + 5 + 0.5))
        *through, last = region.decide(asked, limits)
        words = f"{SHARE_FROM} entities were removed within the hour, of {SHARE_FROM + 5}, "
        assert through[:SHARE_FROM] == [CarryOut()] * SHARE_FROM
        assert isinstance(last, Hold)
        assert last.reason.startswith(words)

    # -- held

    def test_what_is_held_is_listed_with_its_reason(
        self, hub: HubStore, region: RegionStore, holds: HoldStore
    ) -> None:
        id_ = self.held(hub, region)
        [one] = holds.holds()
        assert (one.outbox_id, one.region, one.kind, one.name, one.entity) == (
            id_,
            "r2",
            "Account",
            "acme",
            "a1",
        )
        assert (one.reason, one.created_time, one.until) == ("it would take along 4 VMs", NOW, None)
        assert (holds.holds("r2"), holds.holds("r3"), holds.holds(decided=True)) == ([one], [], [])
        [context] = region.contexts([desired(ACCOUNT)])
        assert (context.state, context.standing) == ("held", NOTHING_STANDS)
        assert region.stands("a1") == Stands(waits=True)

    def test_what_is_held_is_not_due_and_no_second_word_of_it_counts(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        id_ = self.held(hub, region)
        region.settle([settled(ACCOUNT, "dead"), settled(ACCOUNT, "pending")], NOW)
        assert row(engine, schema.outbox, id=id_)["state"] == "held"
        assert row(engine, schema.outbox, id=id_)["processed_time"] is None
        region.wake_all(NOW + HOUR_MS)
        assert region.due(NOW + HOUR_MS, 9) == []

    def test_what_is_approved_is_due_and_asks_no_more(
        self, hub: HubStore, region: RegionStore, holds: HoldStore, engine: Engine
    ) -> None:
        id_ = self.held(hub, region)
        [one] = holds.holds()
        ActStore(engine).approve(one.id, By("ann", "they left", NOW + 5))
        assert [due for due, *_ in region.due(NOW + 5, 9)] == [id_]
        [context] = region.contexts([desired(ACCOUNT)])
        assert context.standing == Standing(APPROVED, "they left")
        [decided] = holds.holds(decided=True)
        assert (decided.decision, decided.note, decided.decided_time) == (APPROVED, "they left", NOW + 5)
        with pytest.raises(NotHeld, match="was decided already: approved"):
            ActStore(engine).refuse(one.id, By("ann", "too late", NOW))

    @pytest.mark.statements
    def test_what_is_refused_is_dead_and_wakes_what_waits_for_it(
        self, hub: HubStore, region: RegionStore, holds: HoldStore, engine: Engine
    ) -> None:
        id_ = self.held(hub, region)
        domain = removed(record(Kind.DOMAIN, "d1"))
        [waiting] = keep(hub, domain, sent=("r2",))
        region.settle([settled(domain, "pending", waits_for="a1", due_time=NOW + HOUR_MS)], NOW)
        [one] = holds.holds()
        ActStore(engine).refuse(one.id, By("ann", "in use", NOW + 5))
        dead = row(engine, schema.outbox, id=id_)
        assert (dead["state"], dead["result"], dead["message"]) == (
            "dead",
            "refused",
            "its removal was refused: in use",
        )
        assert row(engine, schema.entity, uuid="a1")["marked"] == "r2: its removal was refused: in use"
        assert [due for due, *_ in region.due(NOW + 5, 9)] == [waiting]
        assert region.stands("a1") == Stands(refused="in use")

    def test_a_refusal_is_asked_about_again_when_its_row_is_tried_again(
        self, hub: HubStore, region: RegionStore, holds: HoldStore, engine: Engine
    ) -> None:
        id_ = self.held(hub, region)
        ActStore(engine).refuse(holds.holds()[0].id, By("ann", "in use", NOW))
        assert ActStore(engine).retry_dead([id_], By("ann", "x", NOW + 1)) == 1
        [context] = region.contexts([desired(ACCOUNT)])
        assert context.standing.decision is None
        assert row(engine, schema.hold)["note"] == "refused before: in use"

    def test_what_there_is_not_cannot_be_decided(
        self, hub: HubStore, region: RegionStore, holds: HoldStore, engine: Engine
    ) -> None:
        with pytest.raises(NotHeld, match="there is no hold 9"):
            ActStore(engine).approve(9, By("ann", "yes", NOW))
        self.held(hub, region)
        [one] = holds.holds()
        region.settle([settled(ACCOUNT)], NOW)  # late word that it was removed after all
        with pytest.raises(NotHeld, match="is over: its desired state is delivered"):
            ActStore(engine).approve(one.id, By("ann", "yes", NOW))

    # -- quarantine

    def test_a_quarantine_is_written_down_before_anything_is_done(
        self, hub: HubStore, region: RegionStore, holds: HoldStore, engine: Engine
    ) -> None:
        [id_] = keep(hub, ACCOUNT, sent=("r2",))
        assert self.decide(region, id_, ASKED, QUARANTINE) == Quarantine(NOW + HOUR_MS, "enabled")
        [context] = region.contexts([desired(ACCOUNT)])
        assert context.standing == Standing(until=NOW + HOUR_MS, before="enabled")
        [one] = holds.holds()
        assert (one.reason, one.until, one.state) == ("in quarantine", NOW + HOUR_MS, "pending")
        assert region.stands("a1") == Stands(waits=True)
        assert len(rows(engine, schema.removal)) == 1

    @pytest.mark.statements
    def test_a_refused_quarantine_is_due_for_the_worker_to_undo(
        self, hub: HubStore, region: RegionStore, holds: HoldStore, engine: Engine
    ) -> None:
        [id_] = keep(hub, ACCOUNT, sent=("r2",))
        self.decide(region, id_, ASKED, QUARANTINE)
        region.settle([settled(ACCOUNT, "pending", due_time=NOW + HOUR_MS)], NOW)
        ActStore(engine).refuse(holds.holds()[0].id, By("ann", "no", NOW + 1))
        assert [due for due, *_ in region.due(NOW + 1, 9)] == [id_]
        [context] = region.contexts([desired(ACCOUNT)])
        assert context.standing == Standing(REFUSED, "no", NOW + HOUR_MS, "enabled")

    @pytest.mark.statements
    def test_what_is_held_after_its_quarantine_keeps_the_state_that_it_had(
        self, hub: HubStore, region: RegionStore, clock: Clock
    ) -> None:
        [id_] = keep(hub, ACCOUNT, sent=("r2",))
        self.decide(region, id_, ASKED, QUARANTINE)
        clock.now += HOUR_MS
        [context] = region.contexts([desired(ACCOUNT)])
        asked = Asked(Kind.ACCOUNT, "disabled", Losses(vms=1), context.standing)
        assert isinstance(self.decide(region, id_, asked, QUARANTINE), Hold)
        [context] = region.contexts([desired(ACCOUNT)])
        assert context.standing.before == "enabled"

    # -- mode plan

    @pytest.mark.statements
    def test_what_was_only_planned_is_released_and_what_is_held_is_not(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        self.held(hub, region)
        domain = record(Kind.DOMAIN, "d9")
        [planned] = keep(hub, domain, sent=("r2",))
        region.settle([settled(domain, "held", result=PLANNED)], NOW)
        assert HoldStore(engine).holds()[0].entity == "a1"
        assert region.release_planned(NOW + 1) == 1
        assert [due for due, *_ in region.due(NOW + 1, 9)] == [planned]

    @pytest.mark.statements
    def test_a_newer_desired_state_replaces_what_is_held(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        old = record(Kind.DOMAIN, "d9")
        new = replace(old, version=2)
        [first] = keep(hub, old, sent=("r2",))
        region.settle([settled(old, "held", result=PLANNED)], NOW)
        hub.commit([Change(new, 1, (desired(new),))], NOW)
        region.settle([settled(new, "held", result=PLANNED)], NOW)
        assert row(engine, schema.outbox, id=first)["state"] == "superseded"
        assert row(engine, schema.outbox, entity="d9", version=2)["state"] == "held"

    # -- no progress

    @pytest.mark.statements
    def test_calls_without_effect_are_counted_over_restarts(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        domain = record(Kind.DOMAIN, "d9", "after")
        [id_] = keep(hub, domain, sent=("r2",))
        found = Futile("name is 'before', not 'after'", {"name": "before"}, 2)
        call = CallRow("updateDomain", 200, None, 3, NOW)
        region.settle([settled(domain, "pending", futile=found, calls=(call,))], NOW)
        [context] = region.contexts([desired(domain)])
        assert context.futile == found
        region.settle([settled(domain, "dead", futile=replace(found, times=3))], NOW)
        ActStore(engine).retry_dead([id_], By("ann", "x", NOW))
        [context] = region.contexts([desired(domain)])
        assert context.futile is None

    @pytest.mark.statements
    @pytest.mark.parametrize(
        ("name", "state"), [("before", "dead"), ("else", "pending"), ("after", "pending")]
    )
    def test_a_dead_row_is_tried_again_when_the_region_holds_something_else(
        self, name: str, state: str, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        domain = record(Kind.DOMAIN, "d9", "after")
        [id_] = keep(hub, domain, sent=("r2",))
        left = {**(domain.desired() or {}), "name": "before"}
        region.settle([settled(domain, "dead", futile=Futile("name", left, 3))], NOW)
        seen = replace(domain, regions={"r2": RegionState({**left, "name": name})})
        hub.commit([Change(seen, 1, mapping=at(domain, "r2"))], NOW)
        assert row(engine, schema.outbox, id=id_)["state"] == state
        assert len(rows(engine, schema.futile)) == (state == "dead")
        region.settle([settled(domain)], NOW)
        assert row(engine, schema.outbox, id=id_)["state"] == "delivered"
