"""What is kept of the hub's decisions, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, insert

from pipeline.agents.pruning import prune_periodically
from pipeline.core import topics
from pipeline.core.entities import Kind
from pipeline.core.errors import TemporaryError
from pipeline.core.merge import Outcome
from pipeline.core.records import Observation, Position
from pipeline.outbox import decisions as module
from pipeline.outbox.decisions import KEPT_MS, Decision, DecisionStore
from pipeline.outbox.engine import writing
from pipeline.outbox.hub import Change, HubStore, StaleRecord
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import decision
from pipeline.outbox.timeline import history
from tests.unit.agents.regions import NOW, Log, account, domain, gone, new_log, user
from tests.unit.outbox.builders import Clock, record, rows, settled

LIMIT_S = 90.0


class DecisionsContract:
    @pytest.fixture
    def log(self, engine: Engine) -> Log:
        return new_log(HubStore(engine, Clock()))

    def test_each_observation_that_is_merged_is_one_row(self, log: Log, engine: Engine) -> None:
        born = replace(domain("r1", "d", "one", time=NOW - 9), cause="DOMAIN.CREATE")
        seen = [log.seen(born), log.seen(domain("r1", "d", "one"))]
        log.merge(seen)

        first, second = rows(engine, decision)

        assert (first["entity"], first["kind"], first["region"]) == ("d", "Domain", "r1")
        assert (first["cause"], first["applied"], first["outcome"]) == ("DOMAIN.CREATE", None, "created")
        assert (first["version"], first["conflicts"]) == (1, 0)
        assert (first["event_time"], first["time"]) == (NOW - 9, NOW)
        assert [(one["log"], one["offset"]) for one in (first, second)] == [
            (one.position.log, one.position.offset) for one in seen
        ]
        assert (second["outcome"], second["version"]) == ("nothing new", None)

    def test_what_is_delivered_again_adds_no_row(self, log: Log, engine: Engine) -> None:
        seen = [log.seen(account("r1", "acc", founder="u")), log.seen(gone("r1", Kind.USER, "unknown"))]
        log.merge(seen)
        before = rows(engine, decision)
        assert [one["entity"] for one in before] == ["acc", "u", "unknown"]

        log.merge(seen)
        log.merge(seen[:1])

        assert rows(engine, decision) == before

    def test_a_twin_s_observation_counts_for_the_record_it_is_linked_to(
        self, log: Log, engine: Engine
    ) -> None:
        log.say(domain("r1", "d-1", "Sales"))
        seen = [log.seen(domain("r2", "d-2", "Sales"))]
        log.merge(seen)
        log.merge(seen)
        assert [(one["entity"], one["region"]) for one in rows(engine, decision)] == [
            ("d-1", "r1"),
            ("d-1", "r2"),
        ]

    def test_nothing_is_kept_of_what_is_refused(self, engine: Engine) -> None:
        hub = HubStore(engine, Clock())
        one = record(Kind.DOMAIN, "d1")
        hub.commit([Change(one, None)], NOW)
        with pytest.raises(StaleRecord):
            hub.commit([Change(one, 7)], NOW, [made(1)])
        assert rows(engine, decision) == []

    def test_a_cause_of_any_length_and_script_is_kept(self, engine: Engine) -> None:
        HubStore(engine, Clock()).commit([], NOW, [replace(made(1), cause="\U0001f43b\udc00" + "x" * 500)])
        [kept] = rows(engine, decision)
        assert kept["cause"] == "\U0001f43b?" + "x" * 62

    @pytest.mark.statements
    @pytest.mark.parametrize("by", ["age", "number"])
    def test_the_oldest_are_deleted(self, by: str, engine: Engine) -> None:
        store = DecisionStore(engine)
        assert store.prune(NOW) == 0
        hub = HubStore(engine, Clock())
        hub.commit([], NOW, [made(number) for number in range(3)])
        hub.commit([], NOW + 10, [made(number) for number in range(3, 5)])
        assert store.prune(NOW + KEPT_MS) == 0

        deleted = store.prune(NOW + KEPT_MS + 1) if by == "age" else store.prune(NOW, kept_rows=2)

        assert deleted == 3
        assert [one["offset"] for one in rows(engine, decision)] == [3, 4]

    def test_a_young_one_between_old_ones_stays(self, engine: Engine) -> None:
        """Where several servers give out ids, a smaller one may be the younger."""
        hub = HubStore(engine, Clock())
        for number, time in enumerate((NOW, NOW + 10, NOW)):
            hub.commit([], time, [made(number)])
        assert DecisionStore(engine).prune(NOW + KEPT_MS + 1) == 2
        assert [one["offset"] for one in rows(engine, decision)] == [1]

    async def test_the_timer_deletes_until_nothing_is_old(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PRUNED_ROWS", 40)
        monkeypatch.setattr("pipeline.agents.pruning.PRUNED_ROWS", 40)
        old = [made(number) for number in range(100)]
        with writing(engine) as connection:
            connection.execute(insert(decision), [module._row(one, NOW) for one in old])
        HubStore(engine, Clock()).commit([], NOW + 2 * KEPT_MS, [made(100)])
        store = Unsteady(engine)

        task = asyncio.create_task(prune_periodically(store, Clock(NOW + 2 * KEPT_MS), 0.01))
        try:
            await until(lambda: len(store.sizes) >= 3)  # told after the rows are gone
        finally:
            task.cancel()
        assert store.failures == 1
        assert store.sizes[:3] == [40, 40, 20]
        assert len(rows(engine, decision)) == 1

    def test_the_history_tells_event_decision_row_call_and_read_back_in_order(
        self, log: Log, engine: Engine
    ) -> None:
        seen = log.seen(replace(user("r1", "u", time=NOW - 5), cause="USER.CREATE"))
        log.merge([seen])
        calls = RegionStore(engine, "r2", Clock())
        calls.settle([settled(log.record("u"), version=1)], NOW)
        back = log.seen(
            Observation("r2", Kind.USER, "u", user("r1", "u").fields, NOW + 7, "apply", applied=1)
        )
        log.merge([back])

        found = history(engine, "u")

        assert found is not None
        told = [(one.what, one.region) for one in reversed(found.moments) if one.what != "changed"]
        assert told[:2] == [("hint", "r1"), ("merged", "r1")]
        assert ("sent", "r2") in told and told.index(("sent", "r2")) > 1
        [merged] = [one for one in found.moments if one.what == "merged"]
        assert (merged.partition, merged.offset) == (0, seen.position.offset)
        place = f"({topics.OBSERVATIONS}, partition 0, offset {seen.position.offset})"
        assert merged.text == f"nobody knew it; version 1 goes to r2, r3 {place}"
        [read] = [one for one in found.moments if one.what == "read back"]
        assert (read.region, read.offset) == ("r2", back.position.offset)
        assert read.text.startswith("version 1 as applied: it says nothing new (")

    def test_the_history_tells_who_won_and_who_lost(self, log: Log, engine: Engine) -> None:
        log.applied(*log.say(domain("r1", "d", "one")))
        log.say(domain("r1", "d", "two", time=NOW + 20))
        log.say(domain("r2", "d", "late", time=NOW + 10))
        log.say(domain("r3", "d", "later", time=NOW + 30))
        log.say(domain("r3", "d", "later", time=NOW + 30))

        found = history(engine, "d")

        assert found is not None
        told = [(one.what, one.region) for one in found.moments if one.offset is not None]
        assert told[:4] == [
            ("echo", "r3"),
            ("conflict won", "r3"),
            ("conflict lost", "r2"),
            ("merged", "r1"),
        ]


class Unsteady(DecisionStore):
    """Away the first time; remembers how many it deleted."""

    failures = 0

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.sizes: list[int] = []

    def prune(self, now: int, kept_rows: int = module.KEPT_ROWS) -> int:
        if not self.failures:
            self.failures += 1
            raise TemporaryError("the database is away")
        self.sizes.append(super().prune(now, kept_rows))
        return self.sizes[-1]


def made(offset: int) -> Decision:
    at = Position("log/3", offset)
    return Decision("e", Kind.USER, "r1", at.log, at.offset, "USER.UPDATE", None, Outcome.CHANGED, 0, 2, NOW)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not true():
            await asyncio.sleep(0.01)
