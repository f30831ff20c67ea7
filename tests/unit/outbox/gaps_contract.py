"""What the gap fill's store and the leases promise, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from pipeline.outbox.audit import AuditStore
from pipeline.outbox.gaps import GapRow, GapStore, gaps
from pipeline.outbox.lease import LASTS_MS, Lease
from tests.unit.outbox.builders import NOW, Clock


class GapsContract:
    @pytest.fixture
    def store(self, engine: Engine) -> GapStore:
        return GapStore(engine, "r1", Clock())

    @pytest.mark.statements
    def test_the_mark_is_its_own(self, engine: Engine, store: GapStore) -> None:
        AuditStore(engine).save_watermark("r1", 7, NOW)
        assert store.load() is None
        store.save(NOW)
        store.save(NOW + 1)
        assert store.load() == NOW + 1
        assert AuditStore(engine).watermark("r1/gap-fill") == NOW + 1
        assert AuditStore(engine).watermark("r1") == 7
        assert GapStore(engine, "r2", Clock()).load() is None

    def test_nothing_was_lost_yet(self, engine: Engine, store: GapStore) -> None:
        assert store.row() == GapRow("r1")
        assert gaps(engine) == {}

    def test_counts_add_up_and_the_newest_stays(self, engine: Engine, store: GapStore) -> None:
        store.count(2, NOW)
        GapStore(engine, "r2", Clock()).count(1, NOW)
        store.count(3, NOW - 1000)
        assert store.row() == GapRow("r1", 5, 5, NOW)
        assert list(gaps(engine)) == ["r1", "r2"]

    @pytest.mark.statements
    def test_silence_comes_and_goes(self, store: GapStore) -> None:
        store.silent(NOW)
        assert store.row().silent_since == NOW
        store.count(1, NOW)
        assert store.row().silent_since == NOW
        store.silent(None)
        assert store.row() == GapRow("r1", 1, 1, NOW)

    def test_the_earliest_need_of_a_scan_stays(self, store: GapStore) -> None:
        store.need_scan(NOW)
        store.need_scan(NOW + 1)
        assert store.row().scan_needed_since == NOW
        store.need_scan(NOW - 1)
        assert store.row().scan_needed_since == NOW - 1


class LeaseContract:
    def test_one_owner_at_a_time(self, engine: Engine) -> None:
        clock = Clock()
        one, other = Lease(engine, "work", "a", clock), Lease(engine, "work", "b", clock)
        assert (one.take(), other.take(), one.take()) == (True, False, True)
        assert Lease(engine, "other work", "b", clock).take()

    def test_a_dead_owner_s_lease_runs_out(self, engine: Engine) -> None:
        clock = Clock()
        one, other = Lease(engine, "work", "a", clock), Lease(engine, "work", "b", clock)
        assert one.take()
        clock.now += LASTS_MS - 1
        assert not other.take()
        clock.now += 1
        assert other.take()
        assert not one.take()

    def test_a_heartbeat_prolongs_it(self, engine: Engine) -> None:
        clock = Clock()
        one, other = Lease(engine, "work", "a", clock), Lease(engine, "work", "b", clock)
        assert one.take()
        clock.now += LASTS_MS - 1
        assert one.take()
        clock.now += LASTS_MS - 1
        assert not other.take()

    @pytest.mark.statements
    def test_what_is_released_is_free_at_once(self, engine: Engine) -> None:
        clock = Clock()
        one, other = Lease(engine, "work", "a", clock), Lease(engine, "work", "b", clock)
        assert one.take()
        other.release()
        assert not other.take()
        one.release()
        assert other.take()

    def test_a_dead_owner_whose_clock_ran_ahead_keeps_it_no_longer(self, engine: Engine) -> None:
        clock = Clock()
        dead = Lease(engine, "work", "a", Clock(clock() + 86_400_000))
        other = Lease(engine, "work", "b", clock)
        assert dead.take()
        assert not other.take()
        clock.now += LASTS_MS - 1
        assert not other.take()
        clock.now += 1
        assert other.take()

    def test_of_many_at_once_one_gets_it(self, engine: Engine) -> None:
        leases = [Lease(engine, "work", f"owner-{number}", Clock()) for number in range(8)]
        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(Lease.take, leases)) == 1
