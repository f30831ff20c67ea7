"""What the short reads promise that no other contract asks for: run on SQLite and on MariaDB."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from pipeline.core.compare import digest
from pipeline.core.drift import Drift, Step, Tally
from pipeline.core.entities import ROOT, Kind
from pipeline.core.plan import Call
from pipeline.outbox import statements
from pipeline.outbox.directory import Directory, Place
from pipeline.outbox.hub import Change, DeadLetter, HubStore
from pipeline.outbox.listing import letter
from pipeline.outbox.lookup import find
from pipeline.outbox.planned import newest_plans, one_plan, steps_after
from pipeline.outbox.plans import PlanStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.scans import RESUME_MS, PageDone, ScanStore
from pipeline.outbox.schema import dead_letter, outbox
from pipeline.outbox.settle import CallRow
from pipeline.outbox.statements import name_key
from pipeline.outbox.timeline import records
from tests.unit.outbox.builders import (
    NOW,
    STAMP,
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

DOMAIN = record(Kind.DOMAIN, "d1", "dom")
ACCOUNT = record(Kind.ACCOUNT, "a1", "acme", "d1")
USER = record(Kind.USER, "u1", "jo", "a1")


@pytest.mark.statements
class ReadsContract:
    @pytest.fixture
    def hub(self, engine: Engine) -> HubStore:
        return HubStore(engine, Clock())

    @pytest.fixture
    def region(self, engine: Engine) -> RegionStore:
        return RegionStore(engine, "r2", Clock())

    def test_a_domain_waits_for_what_is_below_it(self, hub: HubStore, region: RegionStore) -> None:
        keep(hub, DOMAIN, ACCOUNT, regions=("r2",))
        assert region.blocker(desired(DOMAIN)) == "a1"
        assert region.blocker(desired(ACCOUNT)) is None

    def test_a_user_that_was_never_here_waits_for_its_account_all_the_same(
        self, hub: HubStore, region: RegionStore
    ) -> None:
        hub.commit([Change(removed(ACCOUNT), None, mapping=at(ACCOUNT, "r2"))], NOW)
        keep(hub, USER)
        assert region.blocker(desired(USER)) == "a1"
        assert region.is_removed("a1")
        assert not region.is_removed("u1")

    def test_when_and_where_something_was_removed(self, hub: HubStore) -> None:
        keep(hub, removed(DOMAIN), ACCOUNT)
        assert hub.graves(["d1", "a1", "unknown"]) == {"d1": STAMP}
        assert hub.namesake_removed(Kind.DOMAIN, ROOT, "DOM", STAMP.time - 1) == STAMP
        assert hub.namesake_removed(Kind.DOMAIN, ROOT, "dom", STAMP.time) is None

    def test_a_server_without_json_table_finds_the_same_rows(
        self, engine: Engine, hub: HubStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = record(Kind.DOMAIN, "d2", "Räuber \U0001f43b")
        keep(hub, DOMAIN, one, ACCOUNT, sent=("r2",))
        hub.commit([Change(USER, None, mapping=at(USER, "r2", "there"))], NOW)
        asked = {(ROOT, Kind.DOMAIN, name_key("Räuber \U0001f43b")), ("d1", Kind.ACCOUNT, "unknown")}
        region = RegionStore(engine, "r2", Clock())
        for known in (True, False):
            monkeypatch.setattr(statements, "has_json_table", lambda _, known=known: known)
            assert hub.namesakes(asked) == {(ROOT, Kind.DOMAIN, name_key("Räuber \U0001f43b"))}
            assert hub.locals([("u1", "r2"), ("u1", "r3"), ("d1", "r2")]) == {("u1", "r2"): "there"}
            region.settle([settled(DOMAIN), settled(ACCOUNT), settled(record(Kind.USER, "u9"))], NOW)
            assert {one["state"] for one in rows(engine, outbox)} == {"delivered", "pending"}

    def test_a_uuid_is_found_as_the_records_and_as_a_region_s(self, engine: Engine, hub: HubStore) -> None:
        hub.commit([Change(DOMAIN, None, mapping=at(DOMAIN, "r2", "there"))], NOW)
        (found,) = find(engine, "there")
        assert (found.uuid, found.name, found.locals) == ("d1", "dom", {"r2": "there"})
        assert find(engine, "d1") == [found]
        assert find(engine, "elsewhere") == []
        assert records(engine, ["d1", "elsewhere"]) == {"d1": DOMAIN}

    def test_a_violation_is_counted_for_its_hour(self, hub: HubStore) -> None:
        assert hub.violations("d1", "r2") == 0

    def test_a_dead_letter_is_shown(self, engine: Engine, hub: HubStore) -> None:
        hub.keep_dead_letters([DeadLetter("t", 0, 7, "r2", "key", "why", b"body", NOW)])
        id_ = row(engine, dead_letter, offset=7)["id"]
        shown = letter(engine, id_)
        assert shown is not None
        assert (shown.topic, shown.reason) == ("t", "why")
        assert letter(engine, id_ + 1) is None

    def test_a_directory_has_what_is_present_and_what_is_under_way(
        self, engine: Engine, hub: HubStore, region: RegionStore
    ) -> None:
        keep(hub, DOMAIN, ACCOUNT, sent=("r2",))
        keep(hub, removed(record(Kind.DOMAIN, "d2", "gone")))
        region.settle([settled(ACCOUNT)], NOW)
        directory = Directory(engine)
        assert directory.present(Kind.DOMAIN, "", 10) == [Place("d1", "dom", ROOT)]
        assert directory.present(Kind.DOMAIN, "d1", 10) == []
        assert directory.under_way("r2", ["d1", "a1"]).keys() == {"d1"}

    def test_plans_that_are_whole_are_shown(self, engine: Engine) -> None:
        store = PlanStore(engine, "r2", Clock())
        call = Call("deleteUser", {"id": "u1"})
        step = Step(Kind.USER, "u1", "u1", "/u1", Drift.EXTRA, {"name": "jo"}, None, (call,))
        tally = Tally()
        tally.add([step])
        number = store.begin()
        store.add(number, [step])
        assert newest_plans(engine) == []
        assert one_plan(engine, number) is None
        plan = store.end(number, tally, 1)
        assert newest_plans(engine) == newest_plans(engine, "r2") == [plan]
        assert newest_plans(engine, "r3") == []
        assert one_plan(engine, number) == plan
        shown, more = steps_after(engine, number, 0)
        assert ([one.entity for one in shown], more) == (["u1"], None)

    def test_how_long_calls_took_of_late(self, engine: Engine, hub: HubStore, region: RegionStore) -> None:
        keep(hub, DOMAIN, sent=("r2",))
        calls = (CallRow("createDomain", 200, None, 10, NOW), CallRow("createDomain", 200, None, 30, NOW))
        region.settle([settled(DOMAIN, calls=calls)], NOW)
        assert PlanStore(engine, "r2", Clock()).measured_ms() == {"createDomain": 20.0}
        assert PlanStore(engine, "r3", Clock()).measured_ms() == {}

    def test_a_scan_that_is_too_old_is_given_up(self, engine: Engine) -> None:
        clock = Clock()
        store = ScanStore(engine, "r2", clock)
        old = store.begin("a")
        store.page_done(old, PageDone(Kind.USER, 1, 700, (digest("u"),), {}, calls=1))
        clock.now += RESUME_MS
        new = store.begin("b")
        assert new.id != old.id
        assert new.pages == {}
        given_up = store.row(old.id)
        assert given_up is not None
        assert given_up.state == "abandoned"
