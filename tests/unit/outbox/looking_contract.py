"""What the pages are read from, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, insert

from pipeline.core.entities import ROOT, Kind
from pipeline.core.records import Conflict, Stamp, Value
from pipeline.core.removal import Asked, Limits, Policy
from pipeline.outbox import schema
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.audit import AuditStore, RegionRow
from pipeline.outbox.engine import writing
from pipeline.outbox.gaps import GapStore
from pipeline.outbox.holds import Pending
from pipeline.outbox.hub import Change, DeadLetter, HubStore
from pipeline.outbox.listing import Cut, Wanted, conflicts, letters, outbox_rows
from pipeline.outbox.overview import DAY_MS, HOUR_MS, STEP_MS, overview
from pipeline.outbox.proofs import Proof, keep_proofs
from pipeline.outbox.region import CallRow, RegionStore
from pipeline.outbox.searching import names, search
from pipeline.outbox.timeline import history
from tests.unit.outbox.acting_contract import TOPOLOGY, fought
from tests.unit.outbox.builders import NOW, Clock, at, keep, record, removed, row, settled


class LookingContract:
    @pytest.fixture
    def hub(self, engine: Engine) -> HubStore:
        return HubStore(engine, Clock())

    def test_what_a_region_may_not_say_is_counted_for_a_day_and_has_its_reason(
        self, engine: Engine, hub: HubStore
    ) -> None:
        line = Conflict("u1", "email", "e", "e", Stamp(1, "r1"), "evil", Stamp(2, "r2"), "r2 is not a source")
        keep(hub, record(Kind.USER, "u1", "ann", "a1"))
        for now, lost in ((NOW - DAY_MS, "old"), (NOW - 1, "evil"), (NOW, "worse")):
            said = Change(record(Kind.USER, "u1"), None, conflicts=(replace(line, lost=lost),))
            hub.commit([], now, (), [said])
        found = {one.region: one.violations for one in overview(engine, NOW, {"r1": "", "r2": ""}).regions}
        assert found == {"r1": 0, "r2": 2}
        assert {one.reason for one in conflicts(engine, Cut()).rows} == {"r2 is not a source"}
        shown = history(engine, "u1")
        assert shown is not None
        told = [one.text for one in shown.moments if one.what == "violation"]
        assert "email stays 'e', not 'evil': r2 is not a source" in told

    @pytest.mark.statements
    def test_a_list_is_walked_by_key_both_ways(self, engine: Engine, hub: HubStore) -> None:
        users = [record(Kind.USER, f"u{number}", f"n{number}", "a1") for number in range(7)]
        ids = sorted(keep(hub, *users, sent=("r2",)), reverse=True)
        first = outbox_rows(engine, Wanted(), Cut(limit=3))
        assert [one.id for one in first.rows] == ids[:3]
        assert (first.newer, first.older) == (None, ids[2])
        second = outbox_rows(engine, Wanted(), Cut(before=first.older, limit=3))
        assert [one.id for one in second.rows] == ids[3:6]
        last = outbox_rows(engine, Wanted(), Cut(before=second.older, limit=3))
        assert ([one.id for one in last.rows], last.older) == (ids[6:], None)
        back = outbox_rows(engine, Wanted(), Cut(after=last.newer, limit=3))
        assert back.rows == second.rows
        top = outbox_rows(engine, Wanted(), Cut(after=back.newer, limit=3))
        assert (top.rows, top.newer, top.older) == (first.rows, None, ids[2])
        for end in (Cut(before=ids[-1]), Cut(after=ids[0])):
            assert outbox_rows(engine, Wanted(), end).rows == ()

    def test_rows_are_chosen(self, engine: Engine, hub: HubStore) -> None:
        user, account = record(Kind.USER, "u1", "alice", "a1"), record(Kind.ACCOUNT, "a1", "acme", "d1")
        keep(hub, user, account, sent=("r1", "r2"))
        RegionStore(engine, "r2", Clock()).settle([settled(user, "dead")], NOW)

        def found(**wanted: object) -> set[tuple[str, str]]:
            piece = outbox_rows(engine, Wanted(**wanted), Cut())  # type: ignore[arg-type]
            return {(one.entity, one.region) for one in piece.rows}

        assert found(region="r1") == {("u1", "r1"), ("a1", "r1")}
        assert found(state="dead") == {("u1", "r2")}
        assert found(kind="Account", region="r2") == {("a1", "r2")}
        assert found(entity="u1") == {("u1", "r1"), ("u1", "r2")}
        assert len(found(since=NOW)) == 4
        assert found(until=NOW) == found(since=NOW + 1) == set()

    def test_ledgers(self, engine: Engine, hub: HubStore) -> None:
        fought(hub)
        [line] = conflicts(engine, Cut()).rows
        assert (line.name, line.kind, line.kept, line.lost) == ("alice", "User", "late", "early")
        assert conflicts(engine, Cut(), region="r2").rows == ()
        assert conflicts(engine, Cut(), uuid="u1", region="r1").rows == (line,)
        hub.keep_dead_letters([DeadLetter("t", 0, 7, "r1", "k", "not JSON", b"\xff{", NOW)])
        [letter] = letters(engine, Cut(), "r1").rows
        assert (letter.body, letter.reason) == (b"\xff{", "not JSON")
        assert letters(engine, Cut(), "r2").rows == ()

    @pytest.mark.statements
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("al", {"ROOT/sales|acme|Alice", "ROOT/sales|acme|al_b%"}),
            ("ALICE", {"ROOT/sales|acme|Alice"}),
            ("al_b%", {"ROOT/sales|acme|al_b%"}),
            ("a%", set()),
            ("Zoe@Example", {"ROOT/sales|acme|al_b%"}),
            ("ROOT/sales|acme|alice", {"ROOT/sales|acme|Alice"}),
            ("/sales/acme", {"ROOT/sales|acme"}),
            ("/sales/none", set()),
            ("/", set()),
            ("  ", set()),
            ("u1", {"ROOT/sales|acme|Alice"}),
            ("local-of-u1", {"ROOT/sales|acme|Alice"}),
            ("gone", {"ROOT|gone"}),
            ("x" * 1000, set()),
            ("' OR 1=1 --", set()),
        ],
    )
    def test_a_search_finds_what_begins_so(
        self, text: str, found: set[str], engine: Engine, hub: HubStore
    ) -> None:
        mail = Value("zoe@example.org", record(Kind.USER, "x").life.stamp)
        second = record(Kind.USER, "u2", "al_b%", "a1")
        first = record(Kind.USER, "u1", "Alice", "a1")
        keep(
            hub,
            record(Kind.DOMAIN, "d1", "sales"),
            record(Kind.ACCOUNT, "a1", "acme", "d1"),
            first,
            replace(second, fields={**second.fields, "email": mail}),
            removed(record(Kind.ACCOUNT, "a2", "gone", ROOT)),
        )
        stored = hub.load(["u1"])["u1"]
        place = at(stored.record, "r1", "local-of-u1")
        hub.commit([Change(stored.record, stored.revision, mapping=place)], NOW)

        assert {hit.path for hit in search(engine, text)} == found

    @pytest.mark.statements
    def test_a_path_ends_where_nothing_is_known(self, engine: Engine, hub: HubStore) -> None:
        keep(hub, record(Kind.USER, "u1", "alice", "lost"), record(Kind.DOMAIN, "d1", "loop", "d1"))
        assert {hit.path for hit in search(engine, "alice")} == {"…|alice"}
        assert len(search(engine, "loop")) == 1
        assert names(engine, {"u1", "none"}) == {"u1": "alice"}

    @pytest.mark.statements
    def test_the_history_of_an_entity(self, engine: Engine, hub: HubStore) -> None:
        assert history(engine, "u1") is None
        fought(hub)
        by = By("ann", "asked", NOW + 1)
        ActStore(engine).overrule(row(engine, schema.conflict)["id"], by, TOPOLOGY)
        user = hub.load(["u1"])["u1"].record
        region = RegionStore(engine, "r2", Clock())
        call = CallRow("updateUser", 431, "no such user", 12, NOW + 2)
        region.settle([settled(user, "dead", message="no such user", calls=(call,))], NOW + 3)

        found = history(engine, "u1")

        assert found is not None
        told = [(one.time, one.what, one.region) for one in found.moments if one.time > NOW]
        assert told[:2] == [(NOW + 3, "dead", "r2"), (NOW + 2, "called", "r2")]
        assert set(told[2:]) == {
            (NOW + 1, "acted", "r1"),
            (NOW + 1, "changed", "r1"),
            (NOW + 1, "sent", "r1"),
            (NOW + 1, "sent", "r2"),
        }
        assert [one.what for one in found.moments if one.time == NOW] == ["conflict"]
        assert [one.ms for one in found.moments if one.what == "called"] == [12]
        assert found.newest["r2"].message == "no such user"
        assert found.marked == "r2: no such user"

    def test_how_every_region_stands(self, engine: Engine, hub: HubStore) -> None:
        AuditStore(engine).save_regions(
            [RegionRow(name, "h", "/", "", "", name == "r1") for name in ("r1", "r2", "r3")]
        )
        users = [record(Kind.USER, f"u{number}", f"n{number}", "a1") for number in range(4)]
        *_, last = keep(hub, *users, sent=("r2",))
        keep(hub, record(Kind.USER, "u9", "n9", "a1"), sent=("r3",))
        region = RegionStore(engine, "r2", Clock(NOW - 1))
        region.decide([Pending(last, "u3", Asked(Kind.USER, "enabled"))], Limits(Policy.HOLD))
        region.settle([settled(users[3], "held")], NOW)
        region.settle([settled(users[0])], NOW - HOUR_MS - 1)
        region.settle([settled(users[1])], NOW - 1)
        region.settle([settled(users[2], "dead")], NOW - 2 * STEP_MS - 1)
        GapStore(engine, "r2", Clock()).count(5, NOW)
        looked = Proof(NOW, "r2", "f", 1, 1, 1, equal=True, differences=0)
        for step, equal in enumerate((True, False, False, True, True)):
            keep_proofs(engine, [replace(looked, time=step, equal=equal, differences=0 if equal else 2)])
        keep_proofs(engine, [replace(looked, region="r3", time=7, equal=False, differences=4)])
        keep_proofs(engine, [replace(looked, region="r3", time=9, equal=False, differences=3)])
        with writing(engine) as connection:
            for state in ("done", "running"):
                connection.execute(insert(schema.scan).values(**scan_row(state)))

        found = {
            one.region: one
            for one in overview(engine, NOW, dict.fromkeys(("r1", "r2", "r3"), "apply")).regions
        }

        assert list(found) == ["r1", "r2", "r3"]
        here = found["r2"]
        assert here.states == {"delivered": 2, "dead": 1, "held": 1}
        assert found["r3"].states == {"pending": 1}
        assert (here.oldest_open, found["r3"].oldest_open) == (None, NOW)
        assert here.hour["delivered"] == [0] * 11 + [1]
        assert here.hour["dead"] == [0] * 9 + [1, 0, 0]
        assert here.hour["held"] == [0] * 11 + [1]
        assert here.holds == 1
        assert here.last_delivered == NOW - 1
        assert here.gap is not None and here.gap.lost == 5
        assert here.scan is not None and (here.scan.state, here.scan.different) == ("running", 2)
        assert here.proof is not None
        assert (here.proof.equal, here.proof.since, here.proof.time) == (True, 3, 4)
        proof = found["r3"].proof
        assert proof is not None
        assert (proof.equal, proof.since, proof.time, proof.differences) == (False, 7, 9, 3)
        assert (found["r1"].is_master, found["r1"].states, found["r1"].proof) == (True, {}, None)


def scan_row(state: str) -> dict[str, object]:
    counts = dict.fromkeys(("equal", "in_flight", "unknown", "missing", "protected", "calls", "ms"), 0)
    times = {"started_time": 1, "heartbeat_time": 2}
    return {"region": "r2", "owner": "o", "state": state, "different": 2, **counts, **times}
