"""What `ScanStore` promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, update

from pipeline.core.compare import Held, Outcome, digest
from pipeline.core.entities import Kind
from pipeline.core.records import RegionState, Sent
from pipeline.outbox.engine import writing
from pipeline.outbox.gaps import GapStore
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.presence import Absent
from pipeline.outbox.region import RegionStore
from pipeline.outbox.scans import (
    LEASE_MS,
    NEEDED_AGAIN_MS,
    PageDone,
    ScanLost,
    ScanRunning,
    ScanStore,
    numbers,
)
from pipeline.outbox.schema import outbox, scan_page
from tests.unit.outbox.builders import NOW, Clock, at, keep, record, removed, rows, seen_in

USER = record(Kind.USER, "u1", "jo", "a1")
DAY_MS = 86_400_000


def page(kind: Kind, number: int, *uuids: str, total: int = 2) -> PageDone:
    counts = {Outcome.EQUAL: len(uuids), Outcome.UNKNOWN: 1}
    return PageDone(kind, number, total, tuple(map(digest, uuids)), counts, calls=2)


class ScanContract:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def store(self, engine: Engine, clock: Clock) -> ScanStore:
        return ScanStore(engine, "r2", clock)

    def test_one_at_a_time_in_a_region(self, engine: Engine, store: ScanStore, clock: Clock) -> None:
        store.begin("a")
        clock.now += LEASE_MS - 1
        with pytest.raises(ScanRunning):
            store.begin("b")
        assert ScanStore(engine, "r3", clock).begin("b").pages == {}

    def test_a_beating_heart_keeps_it(self, store: ScanStore, clock: Clock) -> None:
        mine = store.begin("a")
        clock.now += LEASE_MS - 1
        store.beat(mine)
        clock.now += LEASE_MS - 1
        with pytest.raises(ScanRunning):
            store.begin("b")

    def test_a_dead_owners_scan_is_gone_on_with_and_is_lost_to_it(
        self, store: ScanStore, clock: Clock
    ) -> None:
        mine = store.begin("a")
        store.page_done(mine, page(Kind.USER, 1, "u", total=700))
        clock.now += LEASE_MS
        next_ = store.begin("b")
        assert (next_.id, next_.pages) == (mine.id, {(Kind.USER, 1): 700})
        assert next_.started_time == NOW
        for late in (
            lambda: store.beat(mine),
            lambda: store.page_done(mine, page(Kind.USER, 2, "v")),
            lambda: store.end(mine, {}, None, 1),
        ):
            with pytest.raises(ScanLost):
                late()

    def test_a_dead_owner_whose_clock_ran_ahead_keeps_it_no_longer(
        self, engine: Engine, store: ScanStore, clock: Clock
    ) -> None:
        dead = ScanStore(engine, store.region, Clock(clock() + 86_400_000)).begin("a")
        assert store.due(3_600_000) <= clock()
        with pytest.raises(ScanRunning):
            store.begin("b")
        clock.now += LEASE_MS
        assert store.begin("b").id == dead.id

    def test_a_scan_that_a_clock_which_ran_ahead_began_puts_off_no_other(
        self, engine: Engine, store: ScanStore, clock: Clock
    ) -> None:
        ahead = ScanStore(engine, store.region, Clock(clock() + 86_400_000))
        ahead.end(ahead.begin("a"), {}, None, 1)
        assert store.due(3_600_000) <= clock()

    def test_a_paused_one_is_gone_on_with_at_once(self, store: ScanStore) -> None:
        mine = store.begin("a")
        store.pause(mine, 30)
        assert store.begin("b").id == mine.id

    @pytest.mark.statements
    def test_a_page_counts_once(self, store: ScanStore) -> None:
        mine = store.begin("a")
        for _ in range(2):
            store.page_done(mine, page(Kind.USER, 1, "u", "v"))
        store.page_done(mine, page(Kind.DOMAIN, 1, "u"))
        row = store.row(mine.id)
        assert row is not None
        assert (row.calls, row.counts[Outcome.EQUAL], row.counts[Outcome.UNKNOWN]) == (4, 3, 2)
        assert store.digests(mine, Kind.USER) == {numbers(digest(one))[0] for one in ("u", "v")}

    def test_an_ended_one_keeps_its_counts_and_nothing_else(
        self, engine: Engine, store: ScanStore, clock: Clock
    ) -> None:
        mine = store.begin("a")
        store.page_done(mine, page(Kind.USER, 1, "u"))
        store.pause(mine, 30)
        mine = store.begin("a")
        clock.now += 5
        store.end(mine, {Outcome.MISSING: 7}, "too short", 12)
        row = store.newest()
        assert row is not None
        assert (row.state, row.suspended, row.ms, row.ended_time) == ("suspended", "too short", 42, NOW + 5)
        assert (row.counts[Outcome.MISSING], row.entities) == (7, 2)
        assert rows(engine, scan_page) == []
        assert store.begin("b").id != mine.id

    @pytest.mark.statements
    def test_the_first_is_due_an_interval_after_it_was_first_asked(
        self, store: ScanStore, clock: Clock
    ) -> None:
        assert store.due(DAY_MS) == NOW + DAY_MS
        clock.now += 1_000
        assert store.due(DAY_MS) == NOW + DAY_MS
        mine = store.begin("a")
        assert store.due(DAY_MS) <= clock.now, "what was cut off is due"
        store.end(mine, {}, None, 1)
        assert store.due(DAY_MS) == NOW + 1_000 + DAY_MS

    @pytest.mark.statements
    def test_what_is_known_of_listed_ones(self, engine: Engine, store: ScanStore) -> None:
        hub = HubStore(engine, Clock())
        account = record(Kind.ACCOUNT, "a1", "acme", "ROOT")
        keep(hub, seen_in(account, "r2"), seen_in(USER, "r2"), regions=("r2",))
        confirmed = USER.desired()
        assert store.held(["u1", "nobody"]) == {"u1": Held(confirmed)}
        assert store.known(Kind.USER) == 1
        assert store.present(Kind.USER, "", 10) == [("u1", NOW)]
        assert store.present(Kind.USER, "u1", 10) == []
        assert ScanStore(engine, "r3", Clock()).present(Kind.USER, "", 10) == []

    @pytest.mark.parametrize(
        ("state", "under_way"),
        [("pending", True), ("published", True), ("held", True), ("dead", False), ("delivered", False)],
    )
    def test_what_is_under_way(self, engine: Engine, store: ScanStore, state: str, under_way: bool) -> None:
        """One that is known by its canonical UUID only is known too: it may be there already."""
        on_its_way = replace(USER, regions={"r2": RegionState(None, (Sent(1, USER.desired()),))})
        keep(HubStore(engine, Clock()), on_its_way, sent=("r2", "r3"))
        with writing(engine) as connection:
            connection.execute(update(outbox).where(outbox.c.region == "r2").values(state=state))
        assert store.held(["u1"]) == {"u1": Held(None, under_way)}

    def test_what_should_be_there_and_is_not(self, engine: Engine, store: ScanStore) -> None:
        """Never seen there, in this order; under the UUID that it has there, where it was given one."""
        hub = HubStore(engine, Clock())
        here, gone, minted, never, dead = (
            record(Kind.USER, f"u{number}", f"n{number}", "a1") for number in range(5)
        )
        keep(hub, here, gone, regions=("r2",))
        keep(hub, minted, never, removed(dead), record(Kind.DOMAIN, "d1"), regions=("r3",))
        stored = hub.load(["u1"])["u1"]
        hub.commit([Change(stored.record, stored.revision, mapping=at(gone, "r2", present=False))], NOW)
        RegionStore(engine, "r2", Clock()).mint("u2", Kind.USER, "other", None)
        absent = [Absent("u1", "u1", True, False), Absent("u2", "other", False, False)]
        absent.append(Absent("u3", "u3", False, False))
        assert store.absent(Kind.USER, "", 10) == absent
        assert store.absent(Kind.USER, "", 2) == absent[:2]
        assert store.absent(Kind.USER, "u2", 2) == absent[2:]

    @pytest.mark.statements
    @pytest.mark.parametrize(
        ("state", "in_flight"), [("pending", True), ("published", True), ("held", True), ("dead", False)]
    )
    def test_what_is_on_its_way_to_where_it_never_was(
        self, engine: Engine, store: ScanStore, state: str, in_flight: bool
    ) -> None:
        keep(HubStore(engine, Clock()), USER, sent=("r2", "r3"))
        with writing(engine) as connection:
            connection.execute(update(outbox).where(outbox.c.region == "r2").values(state=state))
        assert store.absent(Kind.USER, "", 10) == [Absent("u1", "u1", False, in_flight)]

    def test_what_the_gap_fill_needs_is_due_soon_until_a_scan_is_through(
        self, engine: Engine, store: ScanStore, clock: Clock
    ) -> None:
        first = store.due(DAY_MS)
        gap = GapStore(engine, "r2", clock)
        gap.need_scan(NOW - DAY_MS)
        assert store.due(DAY_MS) == first - DAY_MS + NEEDED_AGAIN_MS
        store.end(store.begin("a"), {}, "too short", 1)
        assert gap.row().scan_needed_since == NOW - DAY_MS, "nothing was concluded"
        assert store.due(DAY_MS) == NOW + NEEDED_AGAIN_MS
        store.end(store.begin("a"), {}, None, 1)
        assert gap.row().scan_needed_since is None
        assert store.due(DAY_MS) == NOW + DAY_MS
