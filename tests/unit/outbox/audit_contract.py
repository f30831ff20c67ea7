"""What AuditStore promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline import wire
from pipeline.core.entities import Kind
from pipeline.core.records import Conflict, Stamp
from pipeline.outbox import schema
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.audit import AuditStore, Marked, RegionRow, Totals
from pipeline.outbox.hub import Change, DeadLetter, HubStore
from pipeline.outbox.region import CallRow, RegionStore
from tests.unit.outbox.builders import NOW, Clock, desired, keep, record, removed, row, rows, settled

DOMAIN = record(Kind.DOMAIN, "d1")
USER = record(Kind.USER, "u1", "jo", "a1")
PLACE = "RS_R1_SECRET_KEY"


class AuditContract:
    @pytest.fixture
    def hub(self, engine: Engine) -> HubStore:
        return HubStore(engine, Clock())

    @pytest.fixture
    def audit(self, engine: Engine) -> AuditStore:
        return AuditStore(engine)

    def test_rows_are_counted_by_region_and_state(
        self, hub: HubStore, audit: AuditStore, engine: Engine
    ) -> None:
        assert audit.counts() == {}
        keep(hub, DOMAIN, USER, sent=("r2", "r3"))
        RegionStore(engine, "r2", Clock()).settle([settled(DOMAIN)], NOW)

        assert audit.counts() == {"r2": {"delivered": 1, "pending": 1}, "r3": {"pending": 2}}

    @pytest.mark.statements
    def test_one_row_is_shown_with_its_calls(self, hub: HubStore, audit: AuditStore, engine: Engine) -> None:
        [id_] = keep(hub, DOMAIN, sent=("r2",))
        calls = (CallRow("listDomains", 200, None, 3, 1), CallRow("createDomain", 530, "no", 4, 2))
        RegionStore(engine, "r2", Clock()).settle([settled(DOMAIN, "dead", calls=calls)], NOW)

        shown = audit.show(id_)

        assert shown is not None
        assert (shown.row.id, shown.row.state, shown.attempts) == (id_, "dead", calls)
        assert wire.desired(shown.body) == desired(DOMAIN)
        assert audit.show(id_ + 1) is None

    def test_dead_rows_are_tried_again_by_hand(
        self, hub: HubStore, audit: AuditStore, engine: Engine
    ) -> None:
        one, other, third = keep(hub, DOMAIN, USER, record(Kind.DOMAIN, "d3"), sent=("r2",))
        region = RegionStore(engine, "r2", Clock())
        region.settle([settled(DOMAIN, "dead"), settled(USER)], NOW)

        assert ActStore(engine).retry_dead([one, other, third, 99_999], By("ann", "x", NOW + 7)) == 1
        after = row(engine, schema.outbox, id=one)
        assert (after["state"], after["due_time"], after["processed_time"]) == ("pending", NOW + 7, None)
        assert [id_ for id_, *_ in region.due(NOW + 7, 9)] == [one]
        region.settle([settled(DOMAIN)], NOW)
        assert row(engine, schema.outbox, id=one)["state"] == "delivered"

    @pytest.mark.statements
    def test_all_dead_rows_of_a_region_are_tried_again(
        self, hub: HubStore, audit: AuditStore, engine: Engine
    ) -> None:
        keep(hub, DOMAIN, USER, sent=("r2", "r3"))
        for name in ("r2", "r3"):
            RegionStore(engine, name, Clock()).settle([settled(DOMAIN, "dead"), settled(USER, "dead")], NOW)

        assert ActStore(engine).retry_region("r2", By("ann", "x", NOW)) == 2
        assert audit.counts() == {"r2": {"pending": 2}, "r3": {"dead": 2}}

    @pytest.mark.statements
    def test_what_is_stuck_is_listed(self, hub: HubStore, audit: AuditStore, engine: Engine) -> None:
        keep(hub, DOMAIN, USER, sent=("r2",))
        RegionStore(engine, "r2", Clock()).settle([settled(USER, "dead", message="refused")], NOW)

        assert audit.marked() == [Marked("u1", "User", "jo", "r2: refused")]
        assert audit.marked(0) == []

    @pytest.mark.statements
    def test_totals(self, hub: HubStore, audit: AuditStore) -> None:
        assert audit.totals() == Totals({}, 0, 0)
        keep(hub, USER, removed(record(Kind.USER, "u2")))
        lost = Conflict("d1", "name", None, "a", Stamp(1, "r1"), "b", Stamp(2, "r2"))
        hub.commit([Change(DOMAIN, None, conflicts=(lost,))], NOW)
        hub.keep_dead_letters([DeadLetter("t", 0, 0, "r1", "k", "why", b"?", 1)])

        assert audit.totals() == Totals({"User": 1, "Domain": 1}, 1, 1)

    def test_a_watermark_is_kept(self, audit: AuditStore, engine: Engine) -> None:
        assert audit.watermark("r1") is None
        audit.save_watermark("r1", 5, NOW)
        audit.save_watermark("r1", 7, NOW + 1)
        audit.save_watermark("r2", 1, NOW)

        assert audit.watermark("r1") == 7
        assert row(engine, schema.watermark, name="r1")["time"] == NOW + 1

    @pytest.mark.statements
    def test_regions_follow_the_settings(self, audit: AuditStore, engine: Engine) -> None:
        one = RegionRow("r1", "https://one", "/client/api", "sync", PLACE, is_master=True)
        other = replace(one, name="r2", is_master=False)
        audit.save_regions([one, other])
        audit.save_regions([one, other])
        ids = [each["id"] for each in rows(engine, schema.region)]

        audit.save_regions([replace(one, host="https://moved")])

        assert audit.regions() == [replace(one, host="https://moved")]
        assert [each["id"] for each in rows(engine, schema.region)] == ids, "a region keeps its number"
        assert [each["active"] for each in rows(engine, schema.region)] == [True, False]
        audit.save_regions([one, other])
        assert audit.regions() == [one, other]
