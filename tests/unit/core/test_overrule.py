"""The loser of a conflict wins: until somebody changes the field again, whatever the regions still hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.entities import ROOT, Kind
from pipeline.core.errors import PermanentError
from pipeline.core.merge import merge
from pipeline.core.overrule import objection, overrule
from pipeline.core.records import Conflict, Life, Observation, Position, Record, Stamp, Topology

REGIONS = ("r1", "r2", "r3")
TOPOLOGY = Topology(REGIONS)
NOW = 1_000_000
USER = {
    "name": "alice",
    "firstname": "A",
    "lastname": "L",
    "email": "first@example.org",
    "timezone": "",
    "state": "enabled",
    "parent": ROOT,
}


class Log:
    """Observations, one after the other."""

    def __init__(self, topology: Topology = TOPOLOGY) -> None:
        self.topology = topology
        self.offset = 0
        self.record: Record | None = None
        self.conflicts: list[Conflict] = []

    def see(self, region: str, fields: dict[str, str], time: int, applied: int | None = None) -> int:
        """How many desired states follow."""
        self.offset += 1
        seen = Observation(region, Kind.USER, "u1", fields, time, applied=applied)
        merged = merge(self.record, seen, Position("log/0", self.offset), self.topology)
        self.record = merged.record
        self.conflicts += merged.conflicts
        return len(merged.desired)

    @property
    def known(self) -> Record:
        assert self.record is not None
        return self.record

    def arrive(self, region: str) -> int:
        """All that is on its way there is applied."""
        return self.see(region, self.known.desired() or {}, NOW, self.known.version)


def fought(topology: Topology = TOPOLOGY) -> Log:
    """r1 and r2 changed one address without knowing of each other; r2 was later and won."""
    log = Log(topology)
    log.see("r1", USER, 1_000)
    for region in REGIONS:
        log.arrive(region)
    log.see("r1", {**USER, "email": "early@example.org"}, 5_000)
    log.see("r2", {**USER, "email": "late@example.org"}, 6_000)
    return log


def test_the_loser_wins_everywhere() -> None:
    log = fought()
    [line] = log.conflicts
    assert (line.kept, line.lost) == ("late@example.org", "early@example.org")
    for region in REGIONS:
        log.arrive(region)

    merged = overrule(log.known, line, NOW, TOPOLOGY)

    assert merged.record is not None
    log.record = merged.record
    assert {one.region for one in merged.desired} == set(REGIONS)
    assert all((one.fields or {})["email"] == "early@example.org" for one in merged.desired)
    assert [log.arrive(region) for region in REGIONS] == [0, 0, 0]
    assert log.known.fields["email"].text == "early@example.org"


@given(st.lists(st.sampled_from(["r1", "r2", "r3", "apply r1", "apply r2", "apply r3"]), max_size=12))
def test_what_regions_still_hold_takes_nothing_back(order: list[str]) -> None:
    log = fought()
    held = {"r1": "early@example.org", "r2": "late@example.org", "r3": "first@example.org"}
    log.record = overrule(log.known, log.conflicts[0], NOW, TOPOLOGY).record
    for step in (*order, *(f"apply {region}" for region in REGIONS)):
        if step.startswith("apply "):
            held[step[6:]] = "early@example.org"
            log.arrive(step[6:])
        else:
            log.see(step, {**USER, "email": held[step]}, NOW + 5_000)
    assert log.known.fields["email"].text == "early@example.org"
    assert all(log.known.region(name).expected == log.known.desired() for name in REGIONS)


def test_a_later_change_wins_over_it() -> None:
    log = fought()
    log.record = overrule(log.known, log.conflicts[0], NOW, TOPOLOGY).record
    for region in REGIONS:
        log.arrive(region)
    log.see("r3", {**USER, "email": "newest@example.org"}, 10)
    assert log.known.fields["email"].text == "newest@example.org"


def test_the_master_may_be_overruled() -> None:
    topology = Topology(REGIONS, "r1")
    log = fought(topology)
    [line] = log.conflicts
    assert line.kept == "early@example.org"
    log.record = overrule(log.known, line, NOW, topology).record
    assert log.known.fields["email"].text == "late@example.org"


def test_only_once_and_not_against_what_came_later() -> None:
    log = fought()
    [line] = log.conflicts
    again = overrule(log.known, line, NOW, TOPOLOGY).record
    assert again is not None
    with pytest.raises(PermanentError, match="changed again"):
        overrule(again, line, NOW, TOPOLOGY)


@pytest.mark.parametrize(
    ("field", "lost", "words"),
    [
        ("life", "present", "a removal stands"),
        ("parent", "d2", "moved back in a region"),
        ("email", "early@example.org", None),
        ("timezone", "", "no call makes this field empty"),
    ],
)
def test_what_can_t_be_turned_round(field: str, lost: str, words: str | None) -> None:
    log = fought()
    current = log.known.fields.get(field)
    stamp = current.stamp if current is not None else Stamp(1, "r1")
    line = Conflict(
        "u1", field, None, current.text if current else "removed", stamp, lost, Stamp(2_000, "r1")
    )
    found = objection(log.known, line)
    assert (found is None) if words is None else (found is not None and words in found)


def test_what_is_removed_stays_so() -> None:
    log = fought()
    gone = replace(log.known, life=Life(False, Stamp(9_000, "r1")))
    assert objection(gone, log.conflicts[0]) == "the entity is removed by now"
