"""What `untold` promises, whatever the database: run on SQLite and on MariaDB."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pipeline.core.entities import Kind
from pipeline.core.records import Observation, Record, RegionState, Sent
from pipeline.outbox.hub import HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import outbox
from pipeline.outbox.untold import CAUSE, untold
from tests.unit.outbox.builders import NOW, Clock, keep, record, row, settled

USER = record(Kind.USER, "u1", "jo", "a1")
LATER = NOW + 1


def on_its_way(one: Record) -> Record:
    """As the hub leaves it, until it hears of the result."""
    return replace(one, regions={"r2": RegionState(None, (Sent(one.version, one.desired()),))})


class UntoldContract:
    @pytest.fixture
    def hub(self, engine: Engine) -> HubStore:
        return HubStore(engine, Clock())

    @pytest.fixture
    def region(self, engine: Engine) -> RegionStore:
        return RegionStore(engine, "r2", Clock())

    def test_what_was_applied_and_not_merged_is_told(
        self, engine: Engine, hub: HubStore, region: RegionStore
    ) -> None:
        keep(hub, on_its_way(USER), sent=("r2", "r3"))
        held = {"applied": USER.desired(), "present": True, "local": "u1-there", "parent": "a1"}
        region.settle([settled(USER, **held)], NOW)
        seen = Observation("r2", Kind.USER, "u1-there", USER.desired(), NOW, CAUSE, applied=1)
        assert untold(engine, "r2", LATER) == [("u1", seen)]
        assert untold(engine, "r3", LATER) == []

    def test_a_removal_is_told_too(self, engine: Engine, hub: HubStore, region: RegionStore) -> None:
        keep(hub, replace(USER, regions={"r2": RegionState(USER.desired(), (Sent(1, None),))}), sent=("r2",))
        region.settle([settled(USER, applied=None, present=False)], NOW)
        ((key, seen),) = untold(engine, "r2", LATER)
        assert (key, seen.fields, seen.applied) == ("u1", None, 1)

    def test_what_was_merged_is_not_told_again(
        self, engine: Engine, hub: HubStore, region: RegionStore
    ) -> None:
        keep(hub, replace(USER, regions={"r2": RegionState(USER.desired())}), sent=("r2",))
        region.settle([settled(USER, applied=USER.desired(), present=True)], NOW)
        assert untold(engine, "r2", LATER) == []

    def test_what_is_not_applied_yet_is_not_told(
        self, engine: Engine, hub: HubStore, region: RegionStore
    ) -> None:
        keep(hub, on_its_way(USER), sent=("r2",))
        assert untold(engine, "r2", LATER) == []

    @pytest.mark.statements
    def test_what_left_a_field_alone_is_applied_again_and_so_read(
        self, engine: Engine, hub: HubStore, region: RegionStore
    ) -> None:
        keep(hub, on_its_way(USER), sent=("r2",))
        held = {name: text for name, text in (USER.desired() or {}).items() if name != "email"}
        region.settle([settled(USER, applied=held, present=True)], NOW)
        assert row(engine, outbox, entity="u1", region="r2")["state"] == "delivered"
        assert untold(engine, "r2", LATER) == []
        reopened = row(engine, outbox, entity="u1", region="r2")
        assert (reopened["state"], reopened["due_time"]) == ("pending", LATER)
