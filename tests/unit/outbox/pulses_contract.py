"""What is kept of heartbeats, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline.outbox.audit import AuditStore, RegionRow
from pipeline.outbox.engine import reading
from pipeline.outbox.overview import overview
from pipeline.outbox.pulses import KEPT_MS, Pulse, PulseStore, read_pulses
from tests.unit.outbox.builders import NOW

BEAT = Pulse("r1", "w1", NOW, lanes=64, busy=3, reachable=True, since=NOW - 9, reason=None)


def kept(engine: Engine) -> list[Pulse]:
    with reading(engine) as connection:
        return read_pulses(connection)


class PulsesContract:
    def test_a_worker_has_one_row_its_last(self, engine: Engine) -> None:
        store = PulseStore(engine)
        other = replace(BEAT, worker="w2", reachable=None, since=None)
        last = replace(BEAT, time=NOW + 5, busy=0, reachable=False, since=NOW + 4, reason="\U0001f43b")
        for one in (BEAT, other, last):
            store.keep(one)
        assert kept(engine) == [last, other]

    def test_who_fell_silent_long_ago_is_forgotten_when_another_beats(self, engine: Engine) -> None:
        store = PulseStore(engine)
        elsewhere, later = replace(BEAT, region="r2"), replace(BEAT, worker="w2", time=NOW + KEPT_MS)
        for one in (BEAT, elsewhere, later):
            store.keep(one)
        assert set(kept(engine)) == {later, BEAT, elsewhere}
        store.keep(replace(later, time=NOW + KEPT_MS + 1))
        assert {(one.region, one.worker) for one in kept(engine)} == {("r1", "w2"), ("r2", "w1")}

    def test_a_reason_of_any_length_is_kept(self, engine: Engine) -> None:
        PulseStore(engine).keep(replace(BEAT, reason="\udc00" + "x" * 10_000))
        [one] = kept(engine)
        assert one.reason is not None and one.reason.startswith("?xxx")

    @pytest.mark.statements
    def test_the_overview_has_those_of_regions_that_take_part(self, engine: Engine) -> None:
        AuditStore(engine).save_regions([RegionRow("r1", "h", "/", "", "", False)])
        PulseStore(engine).keep(BEAT)
        PulseStore(engine).keep(replace(BEAT, region="gone"))
        [one] = overview(engine, NOW, {"r1": "apply"}).regions
        assert one.pulses == [BEAT]
