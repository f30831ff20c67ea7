"""What a person's acts promise, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline.core.effect import Futile
from pipeline.core.entities import Kind
from pipeline.core.errors import PermanentError
from pipeline.core.records import Conflict, Record, Stamp, Topology, Value
from pipeline.core.removal import Asked, Limits, Losses
from pipeline.outbox import schema
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.acts import audit
from pipeline.outbox.holding import HoldStore
from pipeline.outbox.holds import Pending
from pipeline.outbox.hub import Change, DeadLetter, HubStore
from pipeline.outbox.region import RegionStore
from tests.unit.outbox.builders import NOW, Clock, keep, record, removed, row, rows, seen_in, settled

ANN = By("ann", "the customer asked", NOW + 1)
TOPOLOGY = Topology(("r1", "r2"))


def fought(hub: HubStore) -> Record:
    """A user whose address r2 gave later than r1; both hold what the record says."""
    user = record(Kind.USER, "u1", "alice", "a1")
    won, lost = Value("late", Stamp(6_000, "r2")), Stamp(5_000, "r1")
    user = replace(user, fields={**user.fields, "email": won})
    user = seen_in(seen_in(user, "r1"), "r2")
    line = Conflict("u1", "email", "e", won.text, won.stamp, "early", lost)
    hub.commit([Change(user, None, conflicts=(line,))], NOW)
    return user


class ActingContract:
    @pytest.fixture
    def hub(self, engine: Engine) -> HubStore:
        return HubStore(engine, Clock())

    @pytest.fixture
    def region(self, engine: Engine) -> RegionStore:
        return RegionStore(engine, "r2", Clock())

    @pytest.fixture
    def acts(self, engine: Engine) -> ActStore:
        return ActStore(engine)

    @pytest.fixture
    def dead(self, hub: HubStore, region: RegionStore) -> int:
        user = record(Kind.USER, "u1", "alice", "a1")
        [number] = keep(hub, user, sent=("r2",))
        futile = Futile("email", {"email": "x"}, 3)
        region.settle([settled(user, "dead", message="no effect", futile=futile)], NOW)
        return number

    def test_a_failed_row_is_tried_again(self, acts: ActStore, engine: Engine, dead: int) -> None:
        acts.retry(dead, ANN)
        assert row(engine, schema.outbox)["state"] == "pending"
        assert rows(engine, schema.futile) == []
        assert [(one.action, one.who, one.reason) for one in acts.acts("outbox", [dead])[dead]] == [
            ("retry", "ann", "the customer asked")
        ]

    def test_each_of_many_rows_that_are_tried_again_has_its_line(
        self, acts: ActStore, hub: HubStore, region: RegionStore, engine: Engine, dead: int
    ) -> None:
        users = [record(Kind.USER, f"v{number}", f"n{number}", "a1") for number in range(400)]
        ids = keep(hub, *users, sent=("r2",))
        region.settle([settled(user, "dead", message="no") for user in users[1:]], NOW)
        assert acts.retry_dead([*ids[:3], dead, 99_999], ANN) == 3
        assert [(one["subject_id"], one["entity"], one["region"]) for one in rows(engine, audit)] == [
            (dead, "u1", "r2"),
            (ids[1], "v1", "r2"),
            (ids[2], "v2", "r2"),
        ]
        assert acts.retry_region("r1", ANN) == 0
        assert acts.retry_region("r2", ANN) == 397
        assert acts.retry_region("r2", ANN) == 0
        assert {one["reason"] for one in rows(engine, audit)} == {ANN.reason}
        assert sorted(one["subject_id"] for one in rows(engine, audit)) == sorted([dead, *ids[1:]])

    @pytest.mark.statements
    def test_a_discarded_row_is_over(
        self, acts: ActStore, region: RegionStore, engine: Engine, dead: int
    ) -> None:
        assert row(engine, schema.entity)["marked"] == "r2: no effect"
        acts.discard(dead, ANN)
        kept = row(engine, schema.outbox)
        assert (kept["state"], kept["result"]) == ("superseded", "discarded")
        assert row(engine, schema.entity)["marked"] is None
        assert region.due(NOW + 10**9, 10) == []
        with pytest.raises(PermanentError, match="has not failed: it is superseded"):
            acts.retry(dead, ANN)

    def test_what_is_not_there_can_t_be_acted_on(self, acts: ActStore, engine: Engine) -> None:
        for act in (acts.retry, acts.discard, acts.approve, acts.refuse, acts.requeue):
            with pytest.raises(PermanentError, match="there is no"):
                act(9, ANN)
        with pytest.raises(PermanentError, match="there is no conflict 9"):
            acts.overrule(9, ANN, TOPOLOGY)
        assert rows(engine, audit) == []

    @pytest.mark.parametrize(("act", "state"), [("approve", "pending"), ("refuse", "dead")])
    def test_a_hold_is_decided_once(
        self, act: str, state: str, acts: ActStore, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        account = removed(record(Kind.ACCOUNT, "a1", "acme", "d1"))
        [number] = keep(hub, account, sent=("r2",))
        region.decide([Pending(number, "a1", Asked(Kind.ACCOUNT, "enabled", Losses(vms=4)))], Limits())
        region.settle([settled(account, "held", message="4 VMs")], NOW)
        [held] = HoldStore(engine).holds()

        getattr(acts, act)(held.id, ANN)

        assert row(engine, schema.outbox)["state"] == state
        assert row(engine, audit)["entity"] == "a1"
        with pytest.raises(PermanentError, match="was decided already"):
            getattr(acts, act)(held.id, ANN)
        assert len(rows(engine, audit)) == 1

    def test_the_loser_of_a_conflict_wins(
        self, acts: ActStore, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        fought(hub)
        line = row(engine, schema.conflict)

        acts.overrule(line["id"], ANN, TOPOLOGY)

        now = hub.load(["u1"])["u1"].record
        assert now.fields["email"] == Value("early", Stamp(NOW + 1, "r1"))
        assert {one["region"] for one in rows(engine, schema.outbox)} == {"r1", "r2"}
        assert len(region.due(NOW + 1, 10)) == 1  # without a publisher, at once
        assert row(engine, audit)["region"] == "r1"
        with pytest.raises(PermanentError, match="changed again"):
            acts.overrule(line["id"], ANN, TOPOLOGY)
        assert len(rows(engine, schema.outbox)) == 2

    @pytest.mark.statements
    def test_a_dead_letter_s_requeue_is_on_record(
        self, acts: ActStore, hub: HubStore, engine: Engine
    ) -> None:
        hub.keep_dead_letters([DeadLetter("t", 0, 7, "r1", "k", "not JSON", b"{", NOW)])
        number = row(engine, schema.dead_letter)["id"]
        acts.requeue(number, ANN)
        assert [one.region for one in acts.acts("dead_letter", [number])[number]] == ["r1"]
