"""What the stores promise against writers that come late, on SQLite and on MariaDB."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from pipeline import wire
from pipeline.agents.merge import Merger, Seen
from pipeline.core.entities import ROOT, Kind
from pipeline.core.errors import TemporaryError
from pipeline.core.records import Position, Topology
from pipeline.core.removal import HOUR_MS, Asked, Hold, Limits, Losses, Policy, Quarantine, Stay
from pipeline.outbox import schema
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.audit import AuditStore, RegionRow
from pipeline.outbox.engine import writing
from pipeline.outbox.errors import StaleRecord
from pipeline.outbox.holding import HoldStore
from pipeline.outbox.holds import Pending
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.statements import upsert_newer
from pipeline.outbox.terms import Terms
from tests.unit.agents.regions import LOG, REGIONS, account, domain, gone, user
from tests.unit.outbox.builders import (
    NOW,
    Clock,
    at,
    desired,
    keep,
    record,
    removed,
    row,
    rows,
    settled,
)

DOMAIN = record(Kind.DOMAIN, "d1")
ACCOUNT = removed(record(Kind.ACCOUNT, "a1", "acme", "d1"))
STORY = [
    domain("r1", "dom"),
    account("r1", "acc", parent="dom", founder="usr"),
    user("r1", "usr"),
    user("r2", "usr", "renamed in r2", time=NOW + 5),
    domain("r1", "dom", "renamed"),
    account("r3", "acc", "acc3", "dom", time=NOW + 7),
    user("r1", "usr", "renamed in r1", time=NOW + 9),
    user("r1", "second"),
    gone("r2", Kind.USER, "usr", time=NOW + 20),
    domain("r2", "dom", "late", time=NOW + 30),
]
"""What three regions say of a few entities, conflicts among them."""


def log() -> list[Seen]:
    return [Seen(one, Position(LOG, offset)) for offset, one in enumerate(STORY)]


class Reader:
    """A hub: it merges a log from a place on, and commits. It may be stopped between the two."""

    def __init__(self, engine: Engine) -> None:
        self.store = HubStore(engine, Clock())
        self.merger = Merger(self.store, Topology(REGIONS))

    def decided(self, seen: list[Seen]) -> tuple[int, list[Change], Any]:
        batch = self.merger.batch(seen)
        return batch.taken, batch.changes, batch.decisions

    def merge(self, seen: list[Seen], size: int) -> int:
        """All of them; how often somebody else had been faster."""
        beaten = 0
        while seen:
            try:
                taken, changes, decisions = self.decided(seen[:size])
                self.store.commit(changes, NOW, decisions)
            except TemporaryError:
                beaten += 1
                continue
            seen = seen[taken:]
        return beaten


def world(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """All that hubs write, without the numbers of rows and of writes."""
    free = {"id", "revision", "body"}
    tables = (schema.entity, schema.rmap, schema.outbox, schema.conflict, schema.decision)
    found = {
        table.name: [{name: one[name] for name in one if name not in free} for one in rows(engine, table)]
        for table in tables
    }
    found["records"] = [{"record": wire.record(one["body"])} for one in rows(engine, schema.entity)]
    found["outbox"].sort(key=lambda one: (one["entity"], one["region"], one["version"]))
    found["decision"].sort(key=lambda one: one["offset"])
    found["conflict"].sort(key=lambda one: (one["entity"], one["field"], one["lost_time"]))
    return found


class FencingContract:
    @pytest.fixture
    def hub(self, engine: Engine) -> HubStore:
        return HubStore(engine, Clock())

    @pytest.fixture
    def region(self, engine: Engine) -> RegionStore:
        AuditStore(engine).save_regions([RegionRow("r2", "h", "/", "", "", is_master=False)])
        return RegionStore(engine, "r2", Clock())

    # -- hubs

    @pytest.mark.parametrize("stopped_at", range(len(STORY)))
    def test_a_hub_that_wakes_after_another_one_has_gone_on_writes_nothing(
        self, engine: Engine, stopped_at: int
    ) -> None:
        """Not the record, not a mapping, not a row, not a line of the ledger, not a decision."""
        zombie, other = Reader(engine), Reader(engine)
        other.merge(log()[:stopped_at], 3)
        _, changes, decisions = zombie.decided(log()[stopped_at:])
        other.merge(log()[stopped_at:], 2)
        after = world(engine)

        with pytest.raises(StaleRecord):
            zombie.store.commit(changes, NOW + 99, decisions)
        assert world(engine) == after

        zombie.merge(log()[stopped_at:], 4)
        assert world(engine) == after, "taken once more it is a redelivery"

    def test_two_hubs_and_a_zombie_leave_what_one_hub_leaves(self, engine: Engine) -> None:
        """They take the same log at the same time, in batches of their own."""
        zombie = Reader(engine)
        _, changes, decisions = zombie.decided(log()[:4])
        together = threading.Barrier(2)

        def go(size: int) -> int:
            reader = Reader(engine)
            together.wait(10)
            return reader.merge(log(), size)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(go, (1, 3)))
        with pytest.raises(TemporaryError):
            zombie.store.commit(changes, NOW, decisions)
        found = world(engine)
        with writing(engine) as connection:
            for table in (schema.entity, schema.rmap, schema.outbox, schema.conflict, schema.decision):
                connection.execute(table.delete())
        Reader(engine).merge(log(), 1)
        assert found == world(engine)

    def test_what_became_an_entity_of_its_own_is_not_linked(self, hub: HubStore, engine: Engine) -> None:
        """A hub had found a twin for it, and was stopped before it linked the two."""
        keep(
            hub, record(Kind.DOMAIN, "twin"), record(Kind.DOMAIN, "own"), record(Kind.USER, "u1", "n", "own")
        )
        before = rows(engine, schema.entity)

        with pytest.raises(StaleRecord):
            hub.adopt("own", "twin")

        assert rows(engine, schema.entity) == before

    def test_nothing_is_linked_to_what_was_removed_meanwhile(self, hub: HubStore, engine: Engine) -> None:
        keep(hub, removed(record(Kind.DOMAIN, "twin")), record(Kind.USER, "u1", "n", "there"))
        before = rows(engine, schema.entity)

        with pytest.raises(StaleRecord):
            hub.adopt("there", "twin")

        assert rows(engine, schema.entity) == before

    # -- a region's workers

    def test_a_late_settlement_replaces_nothing_that_is_newer(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        """Version 1 was made, version 2 removed it: that it was there is told last."""
        hub.commit([Change(DOMAIN, None, (desired(DOMAIN), desired(DOMAIN, version=2)))], NOW)
        second = replace(DOMAIN, version=2)
        region.settle([settled(DOMAIN, applied={"name": "n"}, present=True, parent=ROOT)], NOW)
        region.settle([settled(second, applied=None, present=False, context_time=NOW)], NOW + 5)
        tables = (schema.applied, schema.rmap)
        before = [rows(engine, table) for table in tables]

        late = settled(DOMAIN, applied={"name": "n"}, present=True, parent=ROOT, context_time=NOW - 1)
        region.settle([late], NOW + 9)

        assert [rows(engine, table) for table in tables] == before

    def test_what_was_seen_since_its_context_was_read_stays(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        """A person removed it there, its successor has told that, and no version is newer."""
        keep(hub, DOMAIN, regions=("r2",), sent=("r2",))
        stored = hub.load(["d1"])["d1"]
        taken_away = Change(removed(DOMAIN), stored.revision, mapping=at(DOMAIN, "r2", present=False))
        hub.commit([taken_away], NOW + 5)
        before = rows(engine, schema.rmap)

        region.settle([settled(DOMAIN, present=True, parent=ROOT, context_time=NOW + 4)], NOW + 9)

        assert rows(engine, schema.rmap) == before
        assert row(engine, schema.outbox)["state"] == "delivered"

    @pytest.mark.parametrize(("version", "kept"), [(1, "five"), (4, "five"), (5, "late"), (6, "late")])
    def test_the_statement_that_writes_compares_the_version(
        self, engine: Engine, version: int, kept: str
    ) -> None:
        """Whatever was read before it, and by whom."""

        def write(number: int, text: str, name: str = "d1") -> dict[str, Any]:
            held = wire.encode_fields({"name": text}).encode()
            return {"entity": name, "region": "r2", "version": number, "values": held, "time": number}

        for written in (
            [write(5, "five"), write(1, "one", "d2")],
            [write(version, "late"), write(2, "two", "d2")],
        ):
            with writing(engine) as connection:
                upsert_newer(connection, schema.applied, written, ("values", "time"), "version")

        found = {one["entity"]: one for one in rows(engine, schema.applied)}
        assert wire.fields(found["d1"]["values"]) == {"name": kept}
        assert found["d1"]["version"] == found["d1"]["time"] == max(version, 5)
        assert wire.fields(found["d2"]["values"]) == {"name": "two"}

    def test_of_many_that_settle_at_once_the_newest_stays(self, region: RegionStore, engine: Engine) -> None:
        """None of them finds a row that it could lock."""
        together = threading.Barrier(6)

        def settle(version: int) -> None:
            one = settled(replace(DOMAIN, version=version), applied={"name": str(version)})
            together.wait(10)
            while True:
                try:
                    region.settle([one], NOW)
                    return
                except TemporaryError:
                    continue

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(settle, (6, 1, 5, 2, 4, 3)))

        assert wire.fields(row(engine, schema.applied)["values"]) == {"name": "6"}

    def test_a_uuid_that_was_minted_already_is_not_forgotten(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        keep(hub, DOMAIN, sent=("r2",))
        region.mint("d1", Kind.DOMAIN, "fresh", NOW)
        region.settle([settled(DOMAIN, local="fresh", present=True, parent=ROOT)], NOW)
        before = rows(engine, schema.rmap)

        region.mint("d1", Kind.DOMAIN, "fresh", NOW)

        assert rows(engine, schema.rmap) == before

    @pytest.mark.parametrize("mapped", [None, NOW - 1])
    def test_a_uuid_is_not_replaced_by_who_did_not_know_that_it_was_made(
        self, hub: HubStore, region: RegionStore, engine: Engine, mapped: int | None
    ) -> None:
        keep(hub, DOMAIN, sent=("r2",))
        region.settle([settled(DOMAIN, local="d1", present=True, parent=ROOT)], NOW)
        before = rows(engine, schema.rmap)

        region.mint("d1", Kind.DOMAIN, "fresh", mapped)

        assert rows(engine, schema.rmap) == before

    def test_what_is_made_while_a_worker_asks_is_not_taken_for_another_one(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        """Its successor settles between two statements of the question."""
        keep(hub, DOMAIN, sent=("r2",))
        made: list[str] = []

        @event.listens_for(engine, "after_cursor_execute")
        def settle(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if "rmap" in statement and not made:
                made.append(statement)
                with ThreadPoolExecutor(1) as other:
                    maker = RegionStore(engine, "r2", Clock())
                    done = settled(DOMAIN, local="d1", present=True, parent=ROOT)
                    other.submit(maker.settle, [done], NOW).result()

        try:
            [context] = region.contexts([desired(DOMAIN)])
        finally:
            event.remove(engine, "after_cursor_execute", settle)

        assert made
        assert not context.taken

    # -- removals

    def test_a_worker_that_asks_late_hears_what_a_person_decided(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        """By what it knows nothing stands in the way."""
        [id_] = keep(hub, ACCOUNT, sent=("r2",))
        machines = Asked(Kind.ACCOUNT, "enabled", Losses(vms=4))
        assert isinstance(region.decide([Pending(id_, "a1", machines)], Limits())[0], Hold)
        region.settle([settled(ACCOUNT, "held")], NOW)
        [held] = HoldStore(engine).holds()
        ActStore(engine).refuse(held.id, By("jo", "it stays", NOW))

        [decision] = region.decide([Pending(id_, "a1", Asked(Kind.ACCOUNT, "enabled"))], Limits())

        assert decision == Stay("it stays", None)
        assert rows(engine, schema.removal) == []

    def test_a_worker_that_asks_late_hears_of_the_quarantine(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        """Its successor has disabled the account: that is not the state that it gets back."""
        [id_] = keep(hub, ACCOUNT, sent=("r2",))
        limits = Limits(Policy.QUARANTINE, quarantine_ms=HOUR_MS)
        region.decide([Pending(id_, "a1", Asked(Kind.ACCOUNT, "enabled"))], limits)

        [decision] = region.decide([Pending(id_, "a1", Asked(Kind.ACCOUNT, "disabled"))], limits)

        assert decision == Quarantine(NOW + HOUR_MS, "enabled")
        assert row(engine, schema.hold)["state_before"] == "enabled"

    # -- terms

    def test_terms_grow_and_each_region_has_its_own(self, engine: Engine) -> None:
        first, other = Terms(engine, "r1", Clock()), Terms(engine, "r2", Clock())
        assert [first.next(), first.next(), other.next()] == [1, 2, 1]
        assert Terms(engine, "r1", Clock(NOW - HOUR_MS)).next() == 3, "whatever the clock says"

    @pytest.mark.statements
    def test_no_term_is_given_twice(self, engine: Engine) -> None:
        together = threading.Barrier(4)

        def take(_: int) -> int:
            together.wait(10)
            while True:
                try:
                    return Terms(engine, "r1", Clock()).next()
                except TemporaryError:
                    continue

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(take, range(4))) == [1, 2, 3, 4]
