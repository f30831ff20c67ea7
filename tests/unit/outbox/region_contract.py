"""What RegionStore promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline import wire
from pipeline.core.entities import ROOT, Kind
from pipeline.core.records import RegionState
from pipeline.outbox import schema
from pipeline.outbox.hub import REPUBLISH_AFTER_MS, Change, HubStore
from pipeline.outbox.region import LEASE_MS, CallRow, RegionStore
from pipeline.outbox.settle import PARK_MS
from tests.unit.outbox.builders import (
    NOW,
    Clock,
    at,
    desired,
    fields,
    keep,
    record,
    removed,
    row,
    rows,
    seen_in,
    settled,
)

DOMAIN = record(Kind.DOMAIN, "d1")
ACCOUNT = record(Kind.ACCOUNT, "a1", "acme", "d1")
USER = record(Kind.USER, "u1", "jo", "a1")


class RegionContract:
    @pytest.fixture
    def hub(self, engine: Engine) -> HubStore:
        return HubStore(engine, Clock())

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def region(self, engine: Engine, clock: Clock) -> RegionStore:
        return RegionStore(engine, "r2", clock)

    # -- contexts

    def test_the_context_of_what_was_never_there(self, hub: HubStore, region: RegionStore) -> None:
        [id_] = keep(hub, DOMAIN, sent=("r2",))

        [context] = region.contexts([desired(DOMAIN)])

        assert (context.outbox_id, context.state, context.attempts) == (id_, "pending", 0)
        assert (context.newest, context.applied_version, context.applied) == (1, 0, None)
        assert (context.local, context.present) == ("d1", False)
        assert (context.parent, context.parent_local, context.parent_present) == (ROOT, ROOT, True)
        assert (context.parent_removed, context.parent_domain_local) == (False, ROOT)
        assert context.parents == {ROOT: ROOT}
        assert context.time == NOW

    def test_the_context_of_a_user(self, hub: HubStore, region: RegionStore) -> None:
        """Everything in the region's own words: its UUIDs, and the account's name as it is there now."""
        account = seen_in(ACCOUNT, "r2", name="acme-before")
        moved = replace(at(account, "r2", "A-r2"), parent="d2")
        other = record(Kind.DOMAIN, "d2")
        hub.commit(
            [
                Change(DOMAIN, None, mapping=at(DOMAIN, "r2", "D-r2")),
                Change(other, None, mapping=at(other, "r2", "D2-r2")),
                Change(account, None, mapping=moved),
                Change(USER, None, mapping=at(USER, "r2", "U-r2")),
            ],
            NOW,
        )
        region.settle([settled(USER, applied=fields(Kind.USER, "jo", "a0"))], NOW)
        wanted = replace(desired(USER, version=2), known=fields(Kind.USER, "jo", "d1"))

        [context] = region.contexts([wanted])

        assert (context.outbox_id, context.state) == (None, None)
        assert (context.applied_version, (context.applied or {})["parent"]) == (1, "a0")
        assert (context.local, context.present) == ("U-r2", True)
        assert (context.parent, context.parent_local, context.parent_present) == ("a1", "A-r2", True)
        assert (context.parent_name, context.parent_domain_local) == ("acme-before", "D2-r2")
        assert context.parents == {"a1": "A-r2", "d1": "D-r2", "a0": "a0"}

    def test_the_account_of_a_user_that_is_not_there_yet(self, hub: HubStore, region: RegionStore) -> None:
        keep(hub, ACCOUNT, USER)

        [context] = region.contexts([desired(USER)])

        assert (context.parent_present, context.parent_name) == (False, "acme")
        assert context.parent_domain_local == "d1"

    def test_the_account_that_nobody_knows(self, region: RegionStore) -> None:
        [context] = region.contexts([desired(USER)])

        assert (context.parent_present, context.parent_removed, context.parent_name) == (False, False, "")

    @pytest.mark.statements
    def test_a_removed_parent_is_told(self, hub: HubStore, region: RegionStore) -> None:
        keep(hub, removed(DOMAIN), removed(ACCOUNT), regions=("r2",))

        first, second = region.contexts([desired(ACCOUNT), desired(USER)])

        assert (first.parent_removed, first.parent_present) == (True, True)
        assert (second.parent_removed, second.parent_present) == (True, True)

    def test_the_parent_of_a_removal_is_the_one_it_was_seen_below(
        self, hub: HubStore, region: RegionStore
    ) -> None:
        keep(hub, ACCOUNT, regions=("r2",))
        gone = replace(desired(ACCOUNT), fields=None, known=fields(Kind.ACCOUNT, "acme", "d9"))
        never_seen = replace(desired(USER), fields=None, known=fields(Kind.USER, "jo", "a9"))
        nothing_known = replace(desired(record(Kind.DOMAIN, "d7")), fields=None, known=None)

        contexts = region.contexts([gone, never_seen, nothing_known])

        assert [one.parent for one in contexts] == ["d1", "a9", ROOT]

    def test_many_contexts_come_in_their_order(self, hub: HubStore, region: RegionStore) -> None:
        many = [record(Kind.USER, f"u{number}", f"n{number}", f"a{number % 40}") for number in range(350)]
        keep(hub, *[record(Kind.ACCOUNT, f"a{number}", f"acc{number}", "d1") for number in range(40)])
        keep(hub, *many, sent=("r2", "r3"))
        newer = [replace(desired(one), version=2) for one in many[:5]]
        stored = hub.load([one.uuid for one in newer])
        hub.commit([Change(stored[one.uuid].record, stored[one.uuid].revision, (one,)) for one in newer], NOW)

        contexts = region.contexts([desired(one) for one in many])

        assert len({one.outbox_id for one in contexts}) == 350
        assert [one.parent_name for one in contexts] == [f"acc{number % 40}" for number in range(350)]
        assert [one.newest for one in contexts] == [2] * 5 + [1] * 345

    def test_no_contexts_for_nothing(self, region: RegionStore) -> None:
        assert region.contexts([]) == []

    # -- what must go first

    def test_a_domain_waits_for_all_below_it(self, hub: HubStore, region: RegionStore) -> None:
        keep(hub, DOMAIN, removed(ACCOUNT), regions=("r2", "r3"))
        gone = replace(desired(DOMAIN), fields=None)
        assert region.blocker(gone) == "a1"

        region.settle([settled(ACCOUNT, present=False)], NOW)
        assert region.blocker(gone) is None

    @pytest.mark.statements
    def test_an_account_waits_for_users_that_live_on(self, hub: HubStore, region: RegionStore) -> None:
        keep(hub, removed(ACCOUNT), USER, removed(record(Kind.USER, "u2", parent="a1")), regions=("r2",))
        gone = replace(desired(ACCOUNT), fields=None)
        assert region.blocker(gone) == "u1"

        region.settle([settled(USER, present=True, parent="a2")], NOW)
        assert region.blocker(gone) is None

    @pytest.mark.statements
    def test_a_user_waits_for_its_account_that_goes_too(self, hub: HubStore, region: RegionStore) -> None:
        keep(hub, ACCOUNT, removed(USER), regions=("r2",))
        gone = replace(desired(USER), fields=None)
        assert region.blocker(gone) is None, "the account stays"

        hub.commit([Change(removed(ACCOUNT), 2)], NOW)
        assert region.blocker(gone) == "a1"

        region.settle([settled(ACCOUNT, present=False)], NOW)
        assert region.blocker(gone) is None

    def test_a_user_that_is_gone_waits_for_nothing(self, hub: HubStore, region: RegionStore) -> None:
        keep(hub, removed(ACCOUNT), removed(USER), regions=("r2",))
        region.settle([settled(USER, present=False)], NOW)

        assert region.blocker(replace(desired(USER), fields=None)) is None

    # -- settling

    def test_delivered(self, hub: HubStore, region: RegionStore, engine: Engine) -> None:
        keep(hub, DOMAIN, sent=("r2", "r3"))
        calls = (
            CallRow("createDomain", 530, "e" * 9999, 12, NOW - 5),
            CallRow("listDomains", None, None, 3, NOW),
        )

        region.settle(
            [
                settled(
                    DOMAIN,
                    message="m" * 9999,
                    applied=DOMAIN.desired(),
                    present=True,
                    parent=ROOT,
                    local="D-r2",
                    calls=calls,
                )
            ],
            NOW + 8,
        )

        after = row(engine, schema.outbox, region="r2")
        assert (after["state"], after["result"], after["processed_time"]) == ("delivered", "applied", NOW + 8)
        assert after["attempts"] == 1
        assert after["message"] == "m" * schema.MESSAGE_MAX
        assert row(engine, schema.outbox, region="r3")["state"] == "pending"
        made = rows(engine, schema.attempt)
        assert [(one["outbox_id"], one["command"], one["status"], one["ms"]) for one in made] == [
            (after["id"], "createDomain", 530, 12),
            (after["id"], "listDomains", None, 3),
        ]
        assert made[0]["error"] == "e" * schema.MESSAGE_MAX
        mapping = row(engine, schema.rmap)
        assert (mapping["source"], mapping["region_id"], mapping["uuid"]) == ("d1", "r2", "D-r2")
        assert (mapping["parent"], mapping["confirmed"], mapping["removed"]) == (ROOT, NOW + 8, None)
        held = row(engine, schema.applied)
        assert (held["version"], wire.fields(held["values"])) == (1, DOMAIN.desired())

    @pytest.mark.parametrize("late", ["superseded", "dead", "pending", "trying", "delivered"])
    def test_delivered_stays(self, hub: HubStore, region: RegionStore, engine: Engine, late: str) -> None:
        keep(hub, DOMAIN, sent=("r2",))
        region.settle([settled(DOMAIN)], NOW)
        before = row(engine, schema.outbox)

        region.settle([settled(DOMAIN, late, message="late", due_time=NOW + 1)], NOW + 1)

        assert row(engine, schema.outbox) == before
        assert row(engine, schema.entity)["marked"] is None

    @pytest.mark.parametrize("early", ["superseded", "dead", "pending"])
    def test_a_late_delivery_counts(
        self, hub: HubStore, region: RegionStore, engine: Engine, early: str
    ) -> None:
        keep(hub, DOMAIN, sent=("r2",))
        region.settle([settled(DOMAIN, early, message="no", waits_for="x")], NOW)

        region.settle([settled(DOMAIN)], NOW + 1)

        after = row(engine, schema.outbox)
        assert (after["state"], after["message"], after["waits_for"]) == ("delivered", "", None)
        assert row(engine, schema.entity)["marked"] is None

    @pytest.mark.parametrize("early", ["superseded", "dead"])
    def test_what_ended_is_not_parked(
        self, hub: HubStore, region: RegionStore, engine: Engine, early: str
    ) -> None:
        keep(hub, DOMAIN, sent=("r2",))
        region.settle([settled(DOMAIN, early)], NOW)
        before = row(engine, schema.outbox)

        region.settle([settled(DOMAIN, "pending", waits_for="x")], NOW + 1)

        assert row(engine, schema.outbox) == before

    def test_in_one_batch_the_delivery_counts(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        keep(hub, DOMAIN, sent=("r2",))

        region.settle([settled(DOMAIN), settled(DOMAIN, "superseded")], NOW)

        assert row(engine, schema.outbox)["state"] == "delivered"

    def test_trying_only_keeps_the_calls(self, hub: HubStore, region: RegionStore, engine: Engine) -> None:
        keep(hub, DOMAIN, sent=("r2",))
        before = row(engine, schema.outbox)

        region.settle([settled(DOMAIN, "trying", calls=(CallRow("x", 503, "busy", 1, NOW),))], NOW)

        assert row(engine, schema.outbox) == before
        assert row(engine, schema.attempt)["error"] == "busy"

    def test_dead_marks_the_entity_until_it_is_delivered(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        keep(hub, DOMAIN, sent=("r2", "r3"))
        region.settle([settled(DOMAIN, "dead", message="refused: 100% so")], NOW)
        assert row(engine, schema.entity)["marked"] == "r2: refused: 100% so"
        assert row(engine, schema.outbox, region="r2")["processed_time"] == NOW

        RegionStore(engine, "r3", Clock()).settle([settled(DOMAIN)], NOW)
        assert row(engine, schema.entity)["marked"] is not None, "another region's success says nothing"

        region.settle([settled(replace(DOMAIN, version=1))], NOW)
        assert row(engine, schema.entity)["marked"] is None

    def test_an_older_version_does_not_replace_what_was_applied(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        newer = replace(DOMAIN, version=5)
        region.settle([settled(newer, applied={"name": "five"})], NOW)

        region.settle([settled(replace(DOMAIN, version=4), "superseded", applied={"name": "four"})], NOW)
        region.settle([settled(newer)], NOW)
        assert wire.fields(row(engine, schema.applied)["values"]) == {"name": "five"}

        region.settle(
            [
                settled(replace(DOMAIN, version=7), applied=None),
                settled(replace(DOMAIN, version=6), applied={"name": "six"}),
            ],
            NOW,
        )
        after = row(engine, schema.applied)
        assert (after["version"], wire.fields(after["values"])) == (7, None)

    def test_without_an_outbox_row_the_rest_is_kept(self, region: RegionStore, engine: Engine) -> None:
        region.settle([settled(DOMAIN, applied={"name": "n"}, present=True, parent=ROOT)], NOW)

        assert rows(engine, schema.outbox) == []
        assert row(engine, schema.applied)["version"] == 1
        assert row(engine, schema.rmap)["uuid"] == "d1"

    def test_a_uuid_of_another_entity_is_left_to_it(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        other = record(Kind.DOMAIN, "d2")
        keep(hub, DOMAIN, sent=("r2",))
        keep(hub, other, regions=("r2",))

        region.settle([settled(DOMAIN, local="d2", present=True, parent=ROOT)], NOW)

        assert row(engine, schema.rmap)["source"] == "d2"
        assert row(engine, schema.outbox)["state"] == "delivered"

    def test_a_large_batch_is_settled_whole(self, hub: HubStore, region: RegionStore, engine: Engine) -> None:
        many = [record(Kind.USER, f"u{number}", f"n{number}", "a1") for number in range(700)]
        keep(hub, *many, sent=("r2",))

        region.settle([settled(one, applied=one.desired(), present=True, parent="a1") for one in many], NOW)

        assert {one["state"] for one in rows(engine, schema.outbox)} == {"delivered"}
        assert len(rows(engine, schema.applied)) == len(rows(engine, schema.rmap)) == 700
        region.settle([], NOW)

    # -- waiting

    def test_parked_until_what_it_waits_for_is_delivered(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        keep(hub, ACCOUNT, USER, sent=("r2",))
        region.settle([settled(USER, "pending", result="waits", waits_for="a1")], NOW)
        parked = row(engine, schema.outbox, entity="u1")
        assert (parked["state"], parked["waits_for"], parked["due_time"]) == ("pending", "a1", NOW + PARK_MS)
        assert parked["processed_time"] is None

        region.settle([settled(ACCOUNT)], NOW + 4)

        assert row(engine, schema.outbox, entity="u1")["due_time"] == NOW + 4

    def test_delivered_and_parked_in_one_batch(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        keep(hub, ACCOUNT, USER, sent=("r2",))

        region.settle([settled(ACCOUNT), settled(USER, "pending", waits_for="a1")], NOW + 4)

        assert row(engine, schema.outbox, entity="u1")["due_time"] == NOW + 4

    def test_what_came_before_the_parking_but_after_the_reading_is_not_missed(
        self, hub: HubStore, region: RegionStore, engine: Engine, clock: Clock
    ) -> None:
        keep(hub, ACCOUNT, USER, sent=("r2",))
        [context] = region.contexts([desired(USER)])
        region.settle([settled(ACCOUNT)], NOW + 1)

        parked = settled(USER, "pending", waits_for="a1", due_time=NOW + 9_000, context_time=context.time)
        region.settle([parked], NOW + 2)
        assert row(engine, schema.outbox, entity="u1")["due_time"] == NOW + 2

        clock.now = NOW + 3
        [context] = region.contexts([desired(USER)])
        region.settle([replace(parked, context_time=context.time)], NOW + 4)
        assert row(engine, schema.outbox, entity="u1")["due_time"] == NOW + 9_000, "nothing came since"

    @pytest.mark.statements
    def test_the_sight_of_what_it_waits_for_is_not_missed_either(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        keep(hub, ACCOUNT)
        keep(hub, USER, sent=("r2",))
        hub.commit([Change(ACCOUNT, 1, mapping=at(ACCOUNT, "r2"))], NOW + 1)

        region.settle([settled(USER, "pending", waits_for="a1", context_time=NOW)], NOW + 2)

        assert row(engine, schema.outbox)["due_time"] == NOW + 2

    # -- what is due

    def test_due_rows_come_oldest_first_and_once(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        many = [record(Kind.DOMAIN, f"d{number}") for number in range(6)]
        ids = keep(hub, *many, sent=("r2",))
        keep(hub, record(Kind.DOMAIN, "other"), sent=("r3",))
        hub.published(ids[:2], NOW - REPUBLISH_AFTER_MS)
        region.settle([settled(many[5])], NOW)
        later = NOW + 100_000
        hub.commit([Change(many[1], 1, mapping=at(many[1], "r2", "D1-r2"))], NOW)

        first = region.due(later, 3)
        second = region.due(later, 3)

        assert [id_ for id_, *_ in first] == ids[:3]
        assert [id_ for id_, *_ in second] == ids[3:5]
        assert [key for _, key, *_ in first] == [b"d0", b"D1-r2", b"d2"]
        assert wire.desired(first[1][2]) == desired(many[1])
        assert region.due(later + LEASE_MS - 1, 9) == []
        assert len(region.due(later + LEASE_MS, 9)) == 5

    def test_two_workers_never_take_the_same_row(self, hub: HubStore, engine: Engine) -> None:
        ids = keep(hub, *[record(Kind.DOMAIN, f"d{number}") for number in range(60)], sent=("r2",))
        together = threading.Barrier(3)

        def take(_: int) -> list[int]:
            store = RegionStore(engine, "r2", Clock())
            together.wait(10)
            return [id_ for _ in range(4) for id_, *_ in store.due(NOW + 100_000, 5)]

        with ThreadPoolExecutor(3) as pool:
            taken = [id_ for some in pool.map(take, range(3)) for id_ in some]

        assert sorted(taken) == sorted(ids)

    @pytest.mark.statements
    def test_republished_rows_rest_unless_something_happened(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        quiet, parked, woken = (record(Kind.DOMAIN, uuid) for uuid in ("quiet", "parked", "woken"))
        ids = keep(hub, quiet, parked, woken, sent=("r2",))
        leased = NOW + 100_000
        assert len(region.due(leased, 9)) == 3
        region.settle([settled(parked, "pending", waits_for="x", due_time=leased + 7_000)], leased + 1)
        region.settle([settled(woken, "pending", waits_for="y", due_time=leased + 7_000)], leased + 1)
        hub.commit(
            [Change(record(Kind.DOMAIN, "y"), None, mapping=at(record(Kind.DOMAIN, "y"), "r2"))], leased + 2
        )

        region.republished(ids, leased, leased + 3)

        due = {one["entity"]: (one["state"], one["due_time"]) for one in rows(engine, schema.outbox)}
        assert due == {
            "quiet": ("published", leased + 3 + REPUBLISH_AFTER_MS),
            "parked": ("pending", leased + 7_000),
            "woken": ("pending", leased + 2),
        }

    @pytest.mark.statements
    def test_wake_all_wakes_what_is_open_here(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        many = [record(Kind.DOMAIN, f"d{number}") for number in range(4)]
        ids = keep(hub, *many, sent=("r2", "r3"))
        hub.published(ids, NOW)
        region.settle([settled(many[0]), settled(many[1], "dead")], NOW)
        region.settle([settled(many[2], "pending", waits_for="x")], NOW)

        assert region.wake_all(NOW + 5) == 2
        assert region.wake_all(NOW + 5) == 0
        assert [wire.desired(body).uuid for _, _, body, _ in region.due(NOW + 5, 9)] == ["d2", "d3"]

    @pytest.mark.statements
    def test_a_reopened_row_is_applied_again_soon(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        keep(hub, ACCOUNT, sent=("r2", "r3"))
        region.settle([settled(ACCOUNT, applied=ACCOUNT.desired())], NOW)

        region.reopen("a1", {"state": "locked"}, NOW + 1)

        after = row(engine, schema.outbox, region="r2")
        assert (after["state"], after["processed_time"]) == ("pending", None)
        assert after["due_time"] > NOW + 1
        assert (wire.fields(row(engine, schema.applied)["values"]) or {})["state"] == "locked"
        region.reopen("unknown", {"state": "locked"}, NOW + 1)

    # -- where entities are

    @pytest.mark.statements
    def test_what_a_late_call_overwrote_is_applied_again(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        keep(hub, ACCOUNT, sent=("r2", "r3"))
        assert not region.overtaken("a1", {"name": "late"}, NOW), "nothing was applied: its row is to come"
        region.settle([settled(ACCOUNT, applied=ACCOUNT.desired())], NOW)
        assert not region.overtaken("a1", {"name": "acme"}, NOW), "it is as it should be"
        assert row(engine, schema.outbox, region="r2")["state"] == "delivered"
        assert region.overtaken("a1", {"name": "late"}, NOW + 1)
        after = row(engine, schema.outbox, region="r2")
        assert (after["state"], after["processed_time"]) == ("pending", None)
        assert after["due_time"] > NOW + 1
        assert (wire.fields(row(engine, schema.applied)["values"]) or {})["name"] == "late"
        assert row(engine, schema.outbox, region="r3")["state"] == "pending"

    def test_what_was_made_late_after_its_removal_is_removed_again(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        keep(hub, ACCOUNT, sent=("r2",))
        region.settle([settled(ACCOUNT, applied=None, present=False)], NOW)
        assert region.overtaken("a1", {"name": "acme"}, NOW + 1)
        assert row(engine, schema.outbox)["state"] == "pending"

    def test_a_minted_uuid_replaces_the_used_one(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        keep(hub, DOMAIN, regions=("r2", "r3"))

        region.mint("d1", Kind.DOMAIN, "fresh", NOW)

        [context] = region.contexts([desired(DOMAIN)])
        assert (context.local, context.present) == ("fresh", False)
        assert region.canonical(["fresh", "d1", "x"]) == {"fresh": "d1"}
        assert row(engine, schema.rmap, region_id="r3")["uuid"] == "d1"
        region.mint("new", Kind.DOMAIN, "fresher", None)
        assert region.canonical(["fresher"]) == {"fresher": "new"}

    def test_what_is_known_to_be_here_is_told_in_the_uuids_of_here(
        self, hub: HubStore, region: RegionStore
    ) -> None:
        lost = seen_in(record(Kind.ACCOUNT, "a2", parent="d9"), "r2", networkdomain="held.example")
        gone = replace(record(Kind.ACCOUNT, "a3"), regions={"r2": RegionState(None)})
        hub.commit(
            [
                Change(seen_in(DOMAIN, "r2"), None, mapping=at(DOMAIN, "r2", "D-r2")),
                Change(seen_in(ACCOUNT, "r2"), None, mapping=at(ACCOUNT, "r2", "A-r2")),
                Change(lost, None, mapping=at(lost, "r2")),
                Change(gone, None, mapping=at(gone, "r2")),
            ],
            NOW,
        )

        assert region.confirmed(["D-r2", "A-r2", "a2", "a3", "x"]) == {
            "D-r2": fields(Kind.DOMAIN, "n", ROOT),
            "A-r2": fields(Kind.ACCOUNT, "acme", "D-r2"),
            "a2": {**fields(Kind.ACCOUNT, "n", "d9"), "networkdomain": "held.example"},
            "a3": None,
        }

    @pytest.mark.statements
    def test_the_founder_is_the_oldest_user_that_lives(self, hub: HubStore, region: RegionStore) -> None:
        keep(
            hub,
            removed(record(Kind.USER, "u1", "first", "a1", born=1)),
            record(Kind.USER, "u3", "third", "a1", born=30),
            record(Kind.USER, "u2", "second", "a1", born=20),
            record(Kind.USER, "u0", "other", "a2", born=2),
        )

        founder = region.founder("a1")
        assert founder is not None
        assert (founder.uuid, founder.fields["name"]) == ("u2", "second")
        assert region.founder("nobody") is None

    @pytest.mark.statements
    def test_who_came_with_an_account_is_here(self, hub: HubStore, region: RegionStore) -> None:
        """Of those that a record tells of: who another one is, the hub has yet to find out."""
        keep(hub, record(Kind.ACCOUNT, "a1", "acme"), record(Kind.USER, "u1", "jo", "a1"))
        for _ in range(2):
            region.came_with("a1", ["u1", "stranger"])
        region.came_with("a1", [])
        assert region.present(Kind.USER) == {"u1"}
        assert region.here(["u1", "stranger", "a1"]) == {"u1"}
        assert region.canonical(["u1", "stranger"]) == {"u1": "u1"}

    def test_what_is_present_here_is_listed_by_kind(self, hub: HubStore, region: RegionStore) -> None:
        keep(hub, ACCOUNT, record(Kind.ACCOUNT, "a2"), USER, regions=("r2",))
        keep(hub, record(Kind.USER, "u2"), regions=("r3",))
        region.settle([settled(record(Kind.ACCOUNT, "a2"), present=False)], NOW)

        assert region.present(Kind.ACCOUNT) == {"a1"}
        assert region.present(Kind.USER) == {"u1"}
        assert region.present(Kind.DOMAIN) == set()
