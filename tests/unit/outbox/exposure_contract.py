"""Who still has access, and which rows go by the lane for revocations, whatever the database: run on SQLite
and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline.core import topics
from pipeline.core.entities import DISABLED, Kind
from pipeline.core.merge import Outcome, send
from pipeline.core.records import Life, Record, Stamp, Topology, Value
from pipeline.core.removal import Asked, Limits, Policy
from pipeline.outbox.acting import ActStore, By
from pipeline.outbox.engine import reading
from pipeline.outbox.exposure import Exposure, read_exposures
from pipeline.outbox.holding import HoldStore
from pipeline.outbox.holds import Pending
from pipeline.outbox.hub import PUBLISH_LEASE_MS, Change, HubStore
from pipeline.outbox.measures import measure
from pipeline.outbox.region import LEASE_MS, RegionStore
from pipeline.outbox.schema import outbox
from tests.unit.outbox.builders import NOW, Clock, record, row, seen_in, settled

LATER = NOW + PUBLISH_LEASE_MS
OFF, GONE = Stamp(NOW - 9_000, "r1"), Stamp(NOW - 5_000, "r1")


def disabled(one: Record) -> Record:
    return replace(one, fields={**one.fields, "state": Value(DISABLED, OFF)})


def buried(one: Record) -> Record:
    return replace(one, life=Life(False, GONE))


def sent(hub: HubStore, one: Record, region: str = "r2") -> Record:
    """What the merge makes of it: to one region."""
    merged = send(one, Outcome.CHANGED, (), Topology((region,)))
    known = hub.load([one.uuid]).get(one.uuid)
    hub.commit([Change(merged.record, known.revision if known else None, merged.desired)], NOW)
    return merged.record


def user(name: str, **there: str) -> Record:
    return seen_in(record(Kind.USER, name, name, "a1"), "r2", **there)


def exposures(engine: Engine, region: str = "r2") -> list[Exposure]:
    with reading(engine) as connection:
        return read_exposures(connection, region)


def names(engine: Engine) -> list[str]:
    return [one.record.uuid for one in exposures(engine)]


class ExposureContract:
    @pytest.fixture
    def hub(self, engine: Engine) -> HubStore:
        return HubStore(engine, Clock())

    @pytest.fixture
    def region(self, engine: Engine) -> RegionStore:
        return RegionStore(engine, "r2", Clock())

    def test_those_that_are_disabled_or_removed_and_still_there_the_longest_first(
        self, hub: HubStore, engine: Engine
    ) -> None:
        sent(hub, buried(user("gone")))
        sent(hub, disabled(user("off")))
        sent(hub, buried(seen_in(record(Kind.DOMAIN, "dom"), "r2")))
        sent(hub, buried(user("was off", state=DISABLED)))
        sent(hub, disabled(record(Kind.USER, "never there", "n", "a1")))
        sent(hub, replace(user("renamed"), fields={**user("renamed").fields, "email": Value("x", OFF)}))
        found = exposures(engine)
        assert [(one.record.uuid, one.since) for one in found] == [
            ("off", NOW - 9_000),
            ("gone", NOW - 5_000),
            ("dom", NOW - 5_000),
        ]
        assert [one.row.state for one in found] == ["pending"] * 3
        assert exposures(engine, "r1") == []

    def test_none_once_it_arrived_and_whoever_failed_stays(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        done, failed, planned = (sent(hub, disabled(user(name))) for name in ("done", "failed", "planned"))
        region.settle(
            [
                settled(done, version=done.version),
                settled(failed, "dead", version=failed.version, message="no such user"),
                settled(planned, "held", version=planned.version, result="planned", message="mode plan: …"),
            ],
            NOW,
        )
        assert {one.record.uuid: (one.row.state, one.row.message) for one in exposures(engine)} == {
            "failed": ("dead", "no such user"),
            "planned": ("held", "mode plan: …"),
        }

    def test_only_the_newest_state_of_an_entity_counts(self, hub: HubStore, engine: Engine) -> None:
        off = sent(hub, disabled(user("ann")))
        sent(hub, replace(off, fields={**off.fields, "email": Value("x", Stamp(NOW, "r1"))}))
        (one,) = exposures(engine)
        assert (one.row.version, one.since) == (3, NOW - 9_000)
        again = hub.load(["ann"])["ann"].record
        sent(hub, replace(again, fields={**again.fields, "state": Value("enabled", Stamp(NOW, "r1"))}))
        assert exposures(engine) == []

    def test_what_a_person_wants_to_stay_is_shown_and_not_measured(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        going, off = sent(hub, buried(user("gone"))), sent(hub, disabled(user("off")))
        id_ = row(engine, outbox, entity="gone")["id"]
        asked = Asked(Kind.USER, "enabled")
        region.decide([Pending(id_, "gone", asked)], Limits(Policy.HOLD))
        region.settle([settled(going, "held", version=going.version)], NOW)
        assert [one.exposures for one in measure(engine, ["r1", "r2"], NOW)] == [0, 2]
        (held,) = HoldStore(engine).holds()
        ActStore(engine).refuse(held.id, By("ann", "in use", NOW))
        assert [(one.record.uuid, one.accepted) for one in exposures(engine)] == [
            ("off", False),
            ("gone", True),
        ]
        (found,) = measure(engine, ["r2"], NOW)
        assert (found.exposures, found.exposed_since) == (1, NOW - 9_000)
        region.settle([settled(off, version=off.version)], NOW)
        (found,) = measure(engine, ["r2"], NOW)
        assert (found.exposures, found.exposed_since) == (0, None)

    def test_a_row_names_its_lane_and_is_due_there_before_all_others(
        self, hub: HubStore, region: RegionStore, engine: Engine
    ) -> None:
        for number in range(5):
            sent(hub, record(Kind.USER, f"u{number}", f"u{number}", "a1"))
        sent(hub, disabled(user("off")))
        held = row(engine, outbox, entity="off")
        assert (held["revokes"], held["routing_key"]) == (True, f"{topics.revoke('r2')}/off")
        assert row(engine, outbox, entity="u0")["revokes"] is False
        (first,) = region.due_revocations(LATER, 3)
        assert (first.key, first.revokes) == (b"off", True)
        assert region.due_revocations(LATER, 3) == [], "leased"
        assert [one.revokes for one in region.due(LATER, 9)] == [False] * 5
        region.republished([first.id], LATER, LATER)
        assert row(engine, outbox, entity="off")["state"] == "published"
        assert region.due_revocations(LATER + LEASE_MS, 3) == []
