"""What HubStore promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline import wire
from pipeline.core.entities import ROOT, Kind
from pipeline.core.errors import TemporaryError
from pipeline.core.records import Conflict, RegionState, Sent, Stamp
from pipeline.outbox import schema
from pipeline.outbox.hub import (
    PUBLISH_LEASE_MS,
    REPUBLISH_AFTER_MS,
    Change,
    DeadLetter,
    HubStore,
    StaleRecord,
)
from pipeline.outbox.ledger import HOUR_MS, LINES_PER_ENTITY, LINES_PER_HOUR
from pipeline.outbox.region import RegionStore
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
    seen_in,
    settled,
)


def fought(entity: str) -> Conflict:
    return Conflict(entity, "name", "base", "kept", Stamp(1, "r1"), "lost", Stamp(2, "r2"))


def violation(entity: str, lost: str, region: str = "r2") -> Conflict:
    return Conflict(entity, "name", "base", "kept", Stamp(1, "r1"), lost, Stamp(2, region), "why")


class HubContract:
    @pytest.fixture
    def hub(self, engine: Engine) -> HubStore:
        return HubStore(engine, Clock())

    @pytest.mark.statements
    def test_a_record_comes_back_as_it_was_kept(self, hub: HubStore, engine: Engine) -> None:
        one = seen_in(record(Kind.DOMAIN, "d1", "Räuber \U0001f43b", born=77), "r1")

        hub.commit([Change(one, None)], NOW)

        stored = hub.load(["d1", "unknown"])
        assert list(stored) == ["d1"]
        assert stored["d1"].record == one
        assert stored["d1"].revision == 1
        kept = row(engine, schema.entity, uuid="d1")
        assert (kept["name"], kept["name_key"]) == ("Räuber \U0001f43b", "räuber \U0001f43b")
        assert (kept["kind"], kept["parent"], kept["present"]) == ("Domain", ROOT, True)
        assert (kept["created"], kept["modified"], kept["marked"]) == (77, NOW, None)

    def test_each_write_counts_the_revision_up(self, hub: HubStore, engine: Engine) -> None:
        one = record(Kind.DOMAIN, "d1", "old")
        hub.commit([Change(one, None)], NOW)

        hub.commit([Change(record(Kind.DOMAIN, "d1", "new"), 1)], NOW + 5)

        assert hub.load(["d1"])["d1"].revision == 2
        kept = row(engine, schema.entity, uuid="d1")
        assert (kept["name"], kept["created"], kept["modified"]) == ("new", 1_000, NOW + 5)

    def test_a_record_that_was_written_since_is_refused_whole(self, hub: HubStore, engine: Engine) -> None:
        one, other = record(Kind.DOMAIN, "d1"), record(Kind.DOMAIN, "d2")
        hub.commit([Change(one, None)], NOW)
        hub.commit([Change(one, 1)], NOW)
        before = rows(engine, schema.entity)
        lost = Conflict("d1", "name", None, "a", Stamp(1, "r1"), "b", Stamp(2, "r2"))

        with pytest.raises(StaleRecord):
            hub.commit(
                [Change(other, None, (desired(other),), (lost,), at(other, "r1")), Change(one, 1)], NOW
            )

        assert rows(engine, schema.entity) == before
        for table in (schema.outbox, schema.conflict, schema.rmap):
            assert rows(engine, table) == []

    def test_a_new_record_that_is_there_already_is_refused(self, hub: HubStore) -> None:
        hub.commit([Change(record(Kind.DOMAIN, "d1", "first"), None)], NOW)

        with pytest.raises(StaleRecord):
            hub.commit([Change(record(Kind.DOMAIN, "d1", "second"), None)], NOW)

        assert hub.load(["d1"])["d1"].record.fields["name"].text == "first"

    def test_stale_is_a_temporary_error(self) -> None:
        assert issubclass(StaleRecord, TemporaryError)

    def test_several_changes_of_one_record_are_one_write(self, hub: HubStore) -> None:
        first = record(Kind.DOMAIN, "d1", "first")
        last = replace(record(Kind.DOMAIN, "d1", "last"), version=2)

        sent = hub.commit([Change(first, None, (desired(first),)), Change(last, None, (desired(last),))], NOW)

        stored = hub.load(["d1"])["d1"]
        assert (stored.record, stored.revision) == (last, 1)
        assert [one.version for _, one, _ in sent] == [1, 2]

    def test_of_two_writers_of_one_record_one_wins(self, hub: HubStore) -> None:
        hub.commit([Change(record(Kind.DOMAIN, "d1", "start"), None)], NOW)
        together = threading.Barrier(4)

        def write(name: str) -> str:
            together.wait(10)
            try:
                hub.commit([Change(record(Kind.DOMAIN, "d1", name), 1)], NOW)
            except StaleRecord:
                return ""
            return name

        with ThreadPoolExecutor(4) as pool:
            winners = [name for name in pool.map(write, "abcd") if name]

        stored = hub.load(["d1"])["d1"]
        assert winners == [stored.record.fields["name"].text]
        assert stored.revision == 2

    def test_of_two_makers_of_one_record_one_wins(self, hub: HubStore) -> None:
        together = threading.Barrier(4)

        def write(name: str) -> str:
            together.wait(10)
            try:
                hub.commit([Change(record(Kind.DOMAIN, "d1", name), None)], NOW)
            except TemporaryError:
                return ""
            return name

        with ThreadPoolExecutor(4) as pool:
            winners = [name for name in pool.map(write, "abcd") if name]

        assert winners == [hub.load(["d1"])["d1"].record.fields["name"].text]

    def test_a_desired_state_becomes_one_row_with_its_message(self, hub: HubStore, engine: Engine) -> None:
        one = record(Kind.DOMAIN, "d1")

        sent = hub.commit([Change(one, None, (desired(one, "r3"), desired(one, "r2")))], NOW)

        assert [(wanted.region, wire.desired(body)) for _, wanted, body in sent] == [
            ("r3", desired(one, "r3")),
            ("r2", desired(one, "r2")),
        ]
        id_, _, body = sent[1]
        assert row(engine, schema.outbox, id=id_) == {
            "id": id_,
            "routing_key": "region-sync.desired.r2/d1",
            "body": body,
            "created_time": NOW,
            "published_time": None,
            "processed_time": None,
            "result": None,
            "message": None,
            "entity": "d1",
            "kind": "Domain",
            "version": 1,
            "region": "r2",
            "state": "pending",
            "attempts": 0,
            "due_time": NOW + PUBLISH_LEASE_MS,
            "waits_for": None,
            "revokes": False,
        }

    def test_a_desired_state_that_is_there_keeps_its_row(self, hub: HubStore, engine: Engine) -> None:
        one = record(Kind.DOMAIN, "d1")
        [(id_, _, _)] = hub.commit([Change(one, None, (desired(one),))], NOW)
        hub.published([id_], NOW + 1)

        again = hub.commit([Change(one, 1, (desired(one), desired(one, "r3")))], NOW + 2)

        assert again[0][0] == id_
        kept = row(engine, schema.outbox, id=id_)
        assert (kept["state"], kept["created_time"]) == ("published", NOW)
        assert len(rows(engine, schema.outbox)) == 2

    def test_a_batch_larger_than_any_list_is_kept_whole(self, hub: HubStore, engine: Engine) -> None:
        many = [record(Kind.USER, f"u{number}", f"n{number}", "a1") for number in range(700)]
        changes = [Change(one, None, (desired(one), desired(one, "r3")), (), at(one, "r1")) for one in many]

        sent = hub.commit(changes, NOW)

        assert len({id_ for id_, _, _ in sent}) == 1400
        assert len(hub.load([one.uuid for one in many])) == 700
        assert len(hub.canonical([("r1", one.uuid) for one in many])) == 700
        assert len(hub.locals([(one.uuid, "r1") for one in many])) == 700
        changes = [Change(one, 1) for one in many]
        hub.commit(changes, NOW)
        assert {one["revision"] for one in rows(engine, schema.entity)} == {2}

    def test_nothing_is_an_empty_batch(self, hub: HubStore) -> None:
        assert hub.commit([], NOW) == []
        assert hub.load([]) == {}
        assert hub.canonical([]) == {}
        assert hub.locals([]) == {}
        assert hub.children([], "r1") == []
        hub.published([], NOW)
        hub.keep_dead_letters([])

    def test_what_a_region_may_not_say_is_written_down_once(self, hub: HubStore, engine: Engine) -> None:
        hub.commit([Change(record(Kind.DOMAIN, "d1"), None, conflicts=(fought("d1"),))], NOW)
        again = (violation("d1", "x" * 9000), violation("d1", "x" * 9000), violation("d1", "y"))
        for _ in range(2):
            hub.commit([], NOW, (), [Change(record(Kind.DOMAIN, "d1"), None, conflicts=again)])
        hub.commit([], NOW, (), [Change(record(Kind.DOMAIN, "d2"), None, conflicts=(violation("d2", "y"),))])

        lines = rows(engine, schema.conflict)
        assert [(line["entity"], line["lost"][:1], line["reason"]) for line in lines] == [
            ("d1", "l", None),
            ("d1", "x", "why"),
            ("d1", "y", "why"),
            ("d2", "y", "why"),
        ]
        assert rows(engine, schema.entity) != [] and hub.load(["d2"]) == {}, "of what is unborn only the line"

    def test_a_flood_of_them_has_bounds(self, hub: HubStore, engine: Engine) -> None:
        def say(entity: str, count: int, region: str = "r2", now: int = NOW) -> int:
            before = len(rows(engine, schema.conflict))
            lines = tuple(violation(entity, f"{entity} {now} {one}", region) for one in range(count))
            hub.commit([], now, (), [Change(record(Kind.DOMAIN, entity), None, conflicts=lines)])
            return len(rows(engine, schema.conflict)) - before

        assert say("d", LINES_PER_ENTITY + 5) == LINES_PER_ENTITY
        assert say("d", 1, now=NOW + HOUR_MS + 1) == 0, "of an entity for as long as they are kept"
        assert say("d", 3, "r3") == 3, "another region's"
        written = sum(
            say(f"e{one}", LINES_PER_ENTITY) for one in range(LINES_PER_HOUR // LINES_PER_ENTITY + 2)
        )
        assert LINES_PER_ENTITY + written == LINES_PER_HOUR
        assert say("f", 1) == 0
        assert say("f", 1, "r3") == 1
        assert say("f", 1, now=NOW + HOUR_MS + 1) == 1, "an hour later"

    @pytest.mark.statements
    def test_what_was_not_taken_from_its_region_is_known(self, hub: HubStore) -> None:
        birth = replace(violation("d1", "present"), field="life", kept="absent")
        removal = replace(violation("d2", "removed"), field="life", kept="present")
        lines = (birth, removal, violation("d3", "x"))
        hub.commit([], NOW, (), [Change(record(Kind.DOMAIN, "d1"), None, conflicts=lines)])

        assert hub.unborn([(one, "r2") for one in ("d1", "d2", "d3", "d4")]) == {("d1", "r2")}
        assert hub.unborn([("d1", "r1")]) == set()
        assert hub.unborn([]) == set()

    def test_what_is_absent_gets_another_uuid_at_once(self, hub: HubStore, engine: Engine) -> None:
        one = record(Kind.DOMAIN, "d1")
        keep(hub, one, regions=("r1", "r2"))
        stored = hub.load(["d1"])["d1"]
        gone = replace(at(one, "r2", present=False), instead="d1-again")
        hub.commit([Change(stored.record, stored.revision, mapping=gone)], NOW)

        held = row(engine, schema.rmap, source="d1", region_id="r2")
        assert (held["uuid"], held["parent"], held["confirmed"], held["removed"]) == (
            "d1-again",
            None,
            None,
            None,
        )
        assert hub.canonical([("r2", "d1"), ("r2", "d1-again")]) == {("r2", "d1-again"): "d1"}

    def test_conflicts_are_written_down(self, hub: HubStore, engine: Engine) -> None:
        lost = Conflict("d1", "name", "base", "kept", Stamp(1, "r1"), "x" * 9000, Stamp(2, "r2"))

        hub.commit([Change(record(Kind.DOMAIN, "d1"), None, conflicts=(lost,))], NOW)

        [line] = rows(engine, schema.conflict)
        assert (line["entity"], line["field"], line["base"], line["kept"]) == ("d1", "name", "base", "kept")
        assert (line["kept_time"], line["kept_region"], line["lost_time"], line["lost_region"]) == (
            1,
            "r1",
            2,
            "r2",
        )
        assert line["lost"] == "x" * schema.MESSAGE_MAX
        assert line["time"] == NOW

    def test_names_and_identifiers_are_compared_byte_for_byte(self, hub: HubStore) -> None:
        keep(hub, record(Kind.DOMAIN, "Abc"), record(Kind.DOMAIN, "abc"), record(Kind.DOMAIN, "ÄBC"))

        assert set(hub.load(["Abc", "abc", "ABC", "äbc", "ÄBC"])) == {"Abc", "abc", "ÄBC"}

    def test_a_name_longer_than_its_column_is_cut_there_only(self, hub: HubStore, engine: Engine) -> None:
        one = record(Kind.DOMAIN, "d1", "ß" * 300)

        keep(hub, one)

        kept = row(engine, schema.entity, uuid="d1")
        assert (kept["name"], kept["name_key"]) == ("ß" * 255, "s" * 255)
        assert hub.load(["d1"])["d1"].record == one

    # -- where entities are

    def test_a_mapping_is_found_both_ways(self, hub: HubStore) -> None:
        one = record(Kind.DOMAIN, "d1")
        hub.commit([Change(one, None, mapping=at(one, "r1", "local"))], NOW)

        assert hub.canonical([("r1", "local"), ("r2", "local"), ("r1", "d1")]) == {("r1", "local"): "d1"}
        assert hub.locals([("d1", "r1"), ("d1", "r2")]) == {("d1", "r1"): "local"}

    def test_a_mapping_is_written_only_when_something_changes(self, hub: HubStore, engine: Engine) -> None:
        one = record(Kind.USER, "u1", parent="a1")
        hub.commit([Change(one, None, mapping=at(one, "r1"))], NOW)
        first = row(engine, schema.rmap)
        assert (first["created"], first["confirmed"], first["removed"]) == (NOW, 5_000, None)

        hub.commit([Change(one, 1, mapping=at(one, "r1", time=6_000))], NOW + 1)
        assert row(engine, schema.rmap) == first

        hub.commit([Change(one, 2, mapping=replace(at(one, "r1", time=7_000), parent="a2"))], NOW + 2)
        moved = row(engine, schema.rmap)
        assert (moved["parent"], moved["modified"], moved["confirmed"]) == ("a2", NOW + 2, 7_000)

        hub.commit([Change(one, 3, mapping=at(one, "r1", present=False, time=8_000))], NOW + 3)
        gone = row(engine, schema.rmap)
        assert (gone["removed"], gone["modified"], gone["uuid"]) == (8_000, NOW + 3, "u1")
        assert hub.canonical([("r1", "u1")]) == {("r1", "u1"): "u1"}

    def test_absence_of_what_was_never_seen_writes_nothing(self, hub: HubStore, engine: Engine) -> None:
        one = record(Kind.DOMAIN, "d1")

        hub.commit([Change(one, None, mapping=at(one, "r1", present=False))], NOW)

        assert rows(engine, schema.rmap) == []

    def test_late_word_of_a_replaced_uuid_changes_nothing(self, hub: HubStore, engine: Engine) -> None:
        one = record(Kind.DOMAIN, "d1")
        keep(hub, one, regions=("r1",))
        region = RegionStore(engine, "r1", Clock())
        region.mint("d1", Kind.DOMAIN, "fresh", NOW)
        region.settle([settled(one, local="fresh", present=True, parent=ROOT)], NOW)
        before = row(engine, schema.rmap)

        for mapping in (at(one, "r1", "d1", present=False), at(one, "r1", "d1", present=True)):
            stored = hub.load(["d1"])["d1"]
            hub.commit([Change(one, stored.revision, mapping=mapping)], NOW + 9)

        assert row(engine, schema.rmap) == before

    def test_a_uuid_belongs_to_one_entity(self, hub: HubStore, engine: Engine) -> None:
        one, other = record(Kind.DOMAIN, "d1"), record(Kind.DOMAIN, "d2")
        hub.commit([Change(one, None, mapping=at(one, "r1", "local"))], NOW)

        with pytest.raises(StaleRecord):
            hub.commit([Change(other, None, mapping=at(other, "r1", "local"))], NOW)

        assert row(engine, schema.rmap)["source"] == "d1"
        assert list(hub.load(["d1", "d2"])) == ["d1"]

    def test_what_came_wakes_the_rows_that_wait_for_it(self, hub: HubStore, engine: Engine) -> None:
        account, user = record(Kind.ACCOUNT, "a1"), record(Kind.USER, "u1", parent="a1")
        keep(hub, account)
        keep(hub, user, sent=("r2", "r3"))
        for name in ("r2", "r3"):
            RegionStore(engine, name, Clock()).settle(
                [settled(user, "pending", waits_for="a1", due_time=NOW + 99_000)], NOW
            )

        hub.commit([Change(account, 1, mapping=at(account, "r2"))], NOW + 7)

        due = {one["region"]: one["due_time"] for one in rows(engine, schema.outbox)}
        assert due == {"r2": NOW + 7, "r3": NOW + 99_000}

    # -- finding

    def test_a_twin_has_the_same_name_without_case_and_was_never_seen_there(self, hub: HubStore) -> None:
        keep(hub, record(Kind.ACCOUNT, "a1", "Straße", "d1"), regions=("r1",))

        assert hub.twin(Kind.ACCOUNT, "d1", "STRASSE", "r2") == "a1"
        assert hub.twin(Kind.ACCOUNT, "d1", "straße", "r1") is None
        assert hub.twin(Kind.ACCOUNT, "d1", "strase", "r2") is None
        assert hub.twin(Kind.ACCOUNT, "d2", "straße", "r2") is None
        assert hub.twin(Kind.USER, "d1", "straße", "r2") is None

    def test_what_was_removed_is_no_twin(self, hub: HubStore) -> None:
        one = record(Kind.ACCOUNT, "a1", "n", "d1")
        keep(hub, one, regions=("r1",))
        hub.commit([Change(one, 2, mapping=at(one, "r1", present=False))], NOW)
        assert hub.twin(Kind.ACCOUNT, "d1", "n", "r1") is None
        assert hub.twin(Kind.ACCOUNT, "d1", "n", "r2") == "a1"

        hub.commit([Change(removed(one), 3)], NOW)
        assert hub.twin(Kind.ACCOUNT, "d1", "n", "r2") is None

    @pytest.mark.statements
    def test_what_is_only_meant_to_be_there_may_be_a_twin(self, hub: HubStore, engine: Engine) -> None:
        keep(hub, record(Kind.ACCOUNT, "a1", "n", "d1"))
        RegionStore(engine, "r2", Clock()).mint("a1", Kind.ACCOUNT, "other", NOW)

        assert hub.twin(Kind.ACCOUNT, "d1", "n", "r2") == "a1"

    @pytest.mark.statements
    def test_children_are_told_by_their_uuid_there(self, hub: HubStore) -> None:
        user, account = record(Kind.USER, "u1", parent="p1"), record(Kind.ACCOUNT, "a1", parent="p2")
        hub.commit([Change(user, None, mapping=at(user, "r1", "local")), Change(account, None)], NOW)
        keep(hub, removed(record(Kind.USER, "u2", parent="p1")), record(Kind.USER, "u3", parent="p3"))

        assert sorted(hub.children(["p1", "p2"], "r1")) == [
            (Kind.ACCOUNT, "a1", "a1"),
            (Kind.USER, "u1", "local"),
        ]

    # -- linking

    @pytest.mark.statements
    def test_adopting_rewrites_all_that_names_the_parent(self, hub: HubStore, engine: Engine) -> None:
        user = record(Kind.USER, "u1", parent="old")
        held = user.desired() or {}
        user = replace(
            user,
            regions={"r1": RegionState(held), "r2": RegionState(None, (Sent(1, held), Sent(2, None)))},
        )
        stranger = record(Kind.USER, "u2", parent="elsewhere")
        hub.commit(
            [
                Change(user, None, (desired(user, "r2"), desired(user, "r3")), mapping=at(user, "r1")),
                Change(stranger, None, (desired(stranger),)),
            ],
            NOW,
        )
        RegionStore(engine, "r2", Clock()).settle(
            [settled(user, "pending", waits_for="old", due_time=NOW + 99_000)], NOW
        )
        RegionStore(engine, "r3", Clock()).settle([settled(user, applied=held)], NOW)
        untouched = row(engine, schema.outbox, entity="u2")

        assert hub.adopt("old", "new") == {"u1"}

        stored = hub.load(["u1"])["u1"]
        assert stored.revision == 2
        assert stored.record.parent == "new"
        assert (stored.record.region("r1").confirmed or {})["parent"] == "new"
        assert [one.fields and one.fields["parent"] for one in stored.record.region("r2").sent] == [
            "new",
            None,
        ]
        assert row(engine, schema.entity, uuid="u1")["parent"] == "new"
        assert row(engine, schema.rmap)["parent"] == "new"
        assert (wire.fields(row(engine, schema.applied)["values"]) or {})["parent"] == "new"
        parked = row(engine, schema.outbox, entity="u1", region="r2")
        assert (parked["waits_for"], parked["due_time"]) == ("new", NOW)
        assert (wire.desired(parked["body"]).fields or {})["parent"] == "new"
        delivered = row(engine, schema.outbox, entity="u1", region="r3")
        assert (wire.desired(delivered["body"]).fields or {})["parent"] == "old", "what went out is history"
        assert row(engine, schema.outbox, entity="u2") == untouched
        assert hub.adopt("old", "new") == set()

    def test_adopting_reaches_what_was_moved_away_since(self, hub: HubStore) -> None:
        user = seen_in(record(Kind.USER, "u1", parent="elsewhere"), "r1", parent="old")
        hub.commit([Change(user, None, mapping=replace(at(user, "r1"), parent="old"))], NOW)

        assert hub.adopt("old", "new") == {"u1"}

        after = hub.load(["u1"])["u1"].record
        assert after.parent == "elsewhere"
        assert (after.region("r1").confirmed or {})["parent"] == "new"

    # -- publishing

    def test_published_rows_are_looked_at_again_much_later(self, hub: HubStore, engine: Engine) -> None:
        [id_] = keep(hub, record(Kind.DOMAIN, "d1"), sent=("r2",))

        hub.published([id_], NOW + 3)

        after = row(engine, schema.outbox)
        assert (after["state"], after["published_time"]) == ("published", NOW + 3)
        assert after["due_time"] == NOW + 3 + REPUBLISH_AFTER_MS

    @pytest.mark.parametrize("state", ["delivered", "superseded", "dead", "pending"])
    def test_what_was_settled_before_it_is_marked_published_stays(
        self, hub: HubStore, engine: Engine, state: str
    ) -> None:
        one = record(Kind.DOMAIN, "d1")
        [id_] = keep(hub, one, sent=("r2",))
        RegionStore(engine, "r2", Clock()).settle([settled(one, state, due_time=NOW + 5)], NOW)
        before = row(engine, schema.outbox)

        hub.published([id_], NOW + 3)

        assert row(engine, schema.outbox) == before

    def test_a_dead_letter_is_kept_once(self, hub: HubStore, engine: Engine) -> None:
        letter = DeadLetter(
            "topic",
            3,
            2**40,
            "r1" * 99,
            "key \ud83d" + "k" * 999,
            "why \udc00" * 9999,
            b"\xff\x00'\\%s" * 9,
            5,
        )

        hub.keep_dead_letters([letter, replace(letter, offset=1)])
        hub.keep_dead_letters([replace(letter, reason="other")])

        kept = row(engine, schema.dead_letter, offset=2**40)
        assert len(rows(engine, schema.dead_letter)) == 2
        assert kept["body"] == b"\xff\x00'\\%s" * 9
        assert kept["routing_key"].startswith("key ?kkk")
        assert kept["reason"].startswith("why ?why")
        assert len(kept["reason"]) == schema.MESSAGE_MAX
