"""What the rows of a replay promise, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from pipeline import wire
from pipeline.core.effect import Futile
from pipeline.core.entities import Kind
from pipeline.core.replay import Touched, Turn
from pipeline.outbox import replays as module
from pipeline.outbox import schema
from pipeline.outbox.acting import By
from pipeline.outbox.acts import audit
from pipeline.outbox.errors import StaleRecord
from pipeline.outbox.hub import Change, HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.replays import RESUMED_MS, ReplayStore
from tests.unit.outbox.builders import NOW, Clock, at, desired, keep, record, removed, row, rows, settled

ANN = By("ann", "--from beginning", NOW)
LATER = NOW + 10_000


class ReplaysContract:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def hub(self, engine: Engine, clock: Clock) -> HubStore:
        return HubStore(engine, clock)

    @pytest.fixture
    def region(self, engine: Engine, clock: Clock) -> RegionStore:
        return RegionStore(engine, "r2", clock)

    @pytest.fixture
    def replays(self, engine: Engine, clock: Clock) -> ReplayStore:
        return ReplayStore(engine, "r2", clock)

    def test_the_same_words_go_on_with_it_for_a_day(
        self, replays: ReplayStore, clock: Clock, engine: Engine
    ) -> None:
        first = replays.begin("2h", NOW - 7_200_000, ANN)
        clock.now += RESUMED_MS - 1
        again = replays.begin("2h", clock.now - 7_200_000, ANN)
        assert again == replace(first, resumed=True)
        assert len(rows(engine, audit)) == 1
        clock.now += 1
        assert not replays.find("2h", 0).resumed

    def test_other_words_begin_another_one_and_the_first_is_forgotten(
        self, replays: ReplayStore, engine: Engine
    ) -> None:
        replays.begin("2h", 5, ANN)
        elsewhere = ReplayStore(engine, "r21", Clock())
        elsewhere.begin("2h", 6, ANN)
        replays.begin("beginning", 0, ANN)
        assert not replays.find("2h", 0).resumed
        assert elsewhere.find("2h", 0).since == 6
        replays.end(replays.find("beginning", 0))
        assert not replays.find("beginning", 0).resumed

    @pytest.mark.statements
    def test_the_end_of_an_older_run_ends_no_newer_one(self, replays: ReplayStore, clock: Clock) -> None:
        old = replays.begin("2h", 5, ANN)
        replays.begin("beginning", 0, ANN)
        clock.now += 1
        replays.begin("2h", 6, ANN)
        replays.end(old)
        assert replays.find("2h", 0).since == 6

    @pytest.mark.statements
    def test_touched_is_what_was_written_or_sent_since(
        self, replays: ReplayStore, hub: HubStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PAGE", 2)
        old = [record(Kind.DOMAIN, f"d{number}", parent="top") for number in range(5)]
        keep(hub, *old)
        stored = hub.load(["d1", "d3", "d4"])
        for uuid, region, when in (("d1", "r2", LATER), ("d3", "r3", LATER + 2)):
            one = stored[uuid]
            hub.commit([Change(one.record, one.revision, (desired(one.record, region, 7),))], when)
        found, above = replays.touched(LATER)
        assert [one.uuid for one in found] == ["d1", "d3"]
        assert found[0] == Touched("d1", Kind.DOMAIN, "top", True)
        assert above == dict.fromkeys((one.uuid for one in old), "top")
        assert [one.uuid for one in replays.touched(LATER + 1)[0]] == ["d3"]
        assert [one.uuid for one in replays.touched(LATER + 3, {"d4"})[0]] == ["d4"]
        assert [one.uuid for one in replays.touched(None, {"d0"})[0]] == ["d0"]
        assert len(replays.touched(0)[0]) == 5

    def test_a_turn_is_a_row_with_a_new_version_that_is_due(
        self, replays: ReplayStore, hub: HubStore, region: RegionStore, clock: Clock, engine: Engine
    ) -> None:
        user = record(Kind.USER, "u1")
        keep(hub, user, regions=("r2",), sent=("r2",))
        region.settle([settled(user)], NOW)
        clock.now = LATER
        begun = replays.begin("1h", 0, ANN)
        assert replays.send(begun, ["u1", "nobody"]) == {"u1": Turn.SEND, "nobody": Turn.SKIP}
        made = row(engine, schema.outbox, version=2)
        assert (made["state"], made["due_time"], made["region"]) == ("pending", LATER, "r2")
        assert wire.desired(made["body"]).fields == user.desired()
        assert [id_ for id_, *_ in region.due(LATER, 10)] == [made["id"]]
        assert hub.load(["u1"])["u1"].record.version == 2
        assert replays.send(begun, ["u1"]) == {"u1": Turn.WAIT}
        assert len(rows(engine, schema.outbox)) == 2

    def test_a_merge_that_had_loaded_the_record_before_begins_anew(
        self, replays: ReplayStore, hub: HubStore
    ) -> None:
        user = record(Kind.USER, "u1")
        keep(hub, user)
        loaded = hub.load(["u1"])["u1"]
        replays.send(replays.begin("1h", 0, ANN), ["u1"])
        with pytest.raises(StaleRecord):
            hub.commit([Change(loaded.record, loaded.revision)], LATER)

    @pytest.mark.statements
    def test_what_had_failed_is_replaced(
        self, replays: ReplayStore, hub: HubStore, region: RegionStore, clock: Clock, engine: Engine
    ) -> None:
        user = record(Kind.USER, "u1")
        keep(hub, user, sent=("r2", "r3"))
        region.settle([settled(user, "dead", message="no", futile=Futile("email", None, 3))], NOW)
        RegionStore(engine, "r3", clock).settle([settled(user, "dead", message="no")], NOW)
        clock.now = LATER
        assert replays.send(replays.begin("1h", 0, ANN), ["u1"]) == {"u1": Turn.SEND}
        states = {(one["region"], one["version"]): one["state"] for one in rows(engine, schema.outbox)}
        assert states == {("r2", 1): "superseded", ("r3", 1): "dead", ("r2", 2): "pending"}
        assert rows(engine, schema.futile) == []

    def test_what_was_removed_and_never_was_there_is_passed_over(
        self, replays: ReplayStore, hub: HubStore, clock: Clock
    ) -> None:
        never, once = removed(record(Kind.USER, "u1")), removed(record(Kind.USER, "u2"))
        keep(hub, never)
        keep(hub, once, regions=("r2",))
        hub.commit([Change(once, 2, mapping=at(once, "r2", present=False))], NOW)
        clock.now = LATER
        begun = replays.begin("1h", 0, ANN)
        assert replays.send(begun, ["u1", "u2"]) == {"u1": Turn.SKIP, "u2": Turn.SEND}

    @pytest.mark.statements
    def test_done_is_what_was_sent_since_and_came_to_a_good_end_that_the_hub_knows(
        self, replays: ReplayStore, hub: HubStore, region: RegionStore, clock: Clock
    ) -> None:
        users = [record(Kind.USER, f"u{number}") for number in range(4)]
        keep(hub, *users)
        begun = replays.begin("1h", 0, ANN)
        assert replays.done(begun) == set()
        replays.send(begun, [one.uuid for one in users])
        ends = ("delivered", "delivered", "dead")
        region.settle(
            [settled(one, end, version=2) for one, end in zip(users, ends, strict=False)], clock.now
        )
        stored = hub.load(["u0"])["u0"]  # the hub has heard of one of them
        heard = replace(stored.record, regions={})
        hub.commit([Change(heard, stored.revision)], NOW)
        again = replays.begin("1h", 0, ANN)
        assert replays.done(again) == {"u0"}
        stands = replays.look(["u0", "u1", "u2", "u3", "nobody"])
        assert {uuid: (one.state, one.is_done) for uuid, one in stands.items()} == {
            "u0": ("delivered", True),
            "u1": ("delivered", False),
            "u2": ("dead", False),
            "u3": ("pending", False),
        }

    @pytest.mark.statements
    @pytest.mark.parametrize(
        ("state", "due", "waits"),
        [
            ("pending", LATER, True),
            ("pending", LATER + 1, False),
            ("published", LATER + 600_000, True),
            ("held", LATER, False),
            ("dead", LATER, False),
            ("delivered", LATER, False),
        ],
    )
    def test_others_wait_when_their_turn_has_come(
        self,
        replays: ReplayStore,
        hub: HubStore,
        clock: Clock,
        engine: Engine,
        state: str,
        due: int,
        waits: bool,
    ) -> None:
        keep(hub, record(Kind.USER, "mine"), record(Kind.USER, "other"), sent=("r2",))
        keep(hub, record(Kind.USER, "far"), sent=("r3",))
        with module.writing(engine) as connection:
            table = schema.outbox
            connection.execute(module.update(table).values(state="published"))
            mine = table.c.entity == "other"
            connection.execute(module.update(table).where(mine).values(state=state, due_time=due))
        clock.now = LATER
        assert replays.others_wait({"mine"}) is waits
        assert not replays.others_wait({"mine", "other"})
        assert replays.others_wait(set())

    def test_its_questions_are_answered_by_indexes(
        self, replays: ReplayStore, hub: HubStore, engine: Engine
    ) -> None:
        """However many rows there are."""
        keep(hub, *(record(Kind.USER, f"u{number}") for number in range(600)), sent=("r2",))
        asked = list(self.statements(engine, replays))
        for sql, parameters in asked:
            plan = explained(engine, sql, parameters)
            assert "outbox" not in scanned(plan), (sql, plan)

    def statements(self, engine: Engine, replays: ReplayStore) -> Iterator[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []

        def heard(_connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
            if sql.startswith("SELECT") and "outbox" in sql:
                found.append((sql, parameters))

        event.listen(engine, "before_cursor_execute", heard)
        try:
            replays.others_wait({"u0"})
            replays.look(["u0"])
        finally:
            event.remove(engine, "before_cursor_execute", heard)
        assert found
        yield from found


def explained(engine: Engine, sql: str, parameters: Any) -> list[dict[str, Any]]:
    """How the database would go about it."""
    word = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with module.reading(engine) as connection:
        return [dict(one) for one in connection.exec_driver_sql(word + sql, parameters).mappings()]


def scanned(plan: list[dict[str, Any]]) -> set[str]:
    """The tables that would be read whole."""
    words = {str(one["detail"]) for one in plan if "detail" in one}
    whole = {text.split()[1] for text in words if text.startswith("SCAN ")}
    return whole | {str(one["table"]) for one in plan if one.get("type") == "ALL"}
