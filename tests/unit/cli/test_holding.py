"""holds over a real SQLite database, filled by the stores that fill it in earnest."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import Engine

from pipeline.cli.person import login_name
from pipeline.core.entities import Kind
from pipeline.core.removal import Asked, Limits, Losses, Policy
from pipeline.outbox.holds import Pending
from pipeline.outbox.hub import HubStore
from pipeline.outbox.region import RegionStore
from pipeline.outbox.schema import audit, hold, outbox
from tests.unit.cli.conftest import Call
from tests.unit.outbox.builders import NOW, Clock, keep, record, removed, row, settled

ACME = removed(record(Kind.ACCOUNT, "a-1", "acme"))
UMBRELLA = removed(record(Kind.ACCOUNT, "a-2", "umbrella"))


@pytest.fixture
def ids(engine: Engine) -> list[int]:
    """Outbox rows: an account held in berlin for its machines, another one quarantined in tokyo."""
    hub = HubStore(engine, Clock())
    first, second = keep(hub, ACME, sent=("berlin",)) + keep(hub, UMBRELLA, sent=("tokyo",))
    berlin, tokyo = (RegionStore(engine, name, Clock()) for name in ("berlin", "tokyo"))
    berlin.decide([Pending(first, "a-1", Asked(Kind.ACCOUNT, "enabled", Losses(vms=400)))], Limits())
    berlin.settle([settled(ACME, "held", message="why")], NOW)
    tokyo.decide([Pending(second, "a-2", Asked(Kind.ACCOUNT, "enabled"))], Limits(Policy.QUARANTINE))
    tokyo.settle([settled(UMBRELLA, "pending", due_time=NOW + 9)], NOW)
    return [first, second]


def test_without_tables_one_sentence(region_sync: Call, config: str) -> None:
    ended = region_sync("holds", "-c", config)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("region-sync: the database has no tables yet")


@pytest.mark.usefixtures("ids")
def test_what_is_held_and_what_is_in_quarantine_are_listed(region_sync: Call, config: str) -> None:
    lines = region_sync("holds", "-c", config).out.splitlines()
    assert lines[0].split() == ["id", "region", "kind", "name", "entity", "row", "since", "until", "reason"]
    assert lines[1].split()[:6] == ["1", "berlin", "Account", "acme", "a-1", "1"]
    assert lines[1].endswith("it would take along 400 VMs")
    assert lines[2].split()[:4] == ["2", "tokyo", "Account", "umbrella"]
    assert lines[2].endswith("in quarantine")


def test_as_json_and_by_region(region_sync: Call, config: str, ids: list[int]) -> None:
    (one,) = region_sync("holds", "--region", "tokyo", "--json", "-c", config).json()
    assert (one["outbox_id"], one["reason"], one["until"]) == (ids[1], "in quarantine", NOW + 259_200_000)
    assert region_sync("holds", "--region", "oslo", "-c", config).code == 2


def test_one_is_approved_with_a_reason(
    region_sync: Call, config: str, engine: Engine, ids: list[int]
) -> None:
    ended = region_sync("holds", "approve", "1", "--reason", "they left", "-c", config)
    assert (ended.code, ended.out) == (0, "Hold 1 is approved: it will be removed.\n")
    assert row(engine, outbox, id=ids[0])["state"] == "pending"
    assert row(engine, hold, id=1)["note"] == "they left"
    (decided,) = region_sync("holds", "--decided", "--json", "-c", config).json()
    assert (decided["id"], decided["decision"], decided["note"]) == (1, "approved", "they left")
    noted = row(engine, audit)
    assert (noted["who"], noted["action"], noted["reason"]) == (
        login_name(os.getuid()),
        "approve",
        "they left",
    )
    assert (noted["subject"], noted["subject_id"], noted["entity"]) == ("hold", 1, "a-1")
    again = region_sync("holds", "approve", "1", "--reason", "twice", "-c", config)
    assert (again.code, again.err) == (1, "region-sync: hold 1 was decided already: approved\n")


def test_one_is_refused_and_shown_as_refused(
    region_sync: Call, config: str, engine: Engine, ids: list[int]
) -> None:
    assert region_sync("holds", "refuse", "1", "--reason", "in use", "--json", "-c", config).json() == {
        "id": 1,
        "decision": "refused",
    }
    (dead,) = region_sync("outbox", "list", "--state", "dead", "--json", "-c", config).json()
    assert (dead["id"], dead["result"], dead["message"]) == (
        ids[0],
        "refused",
        "its removal was refused: in use",
    )
    assert row(engine, audit)["action"] == "refuse"
    (stuck,) = region_sync("status", "--json", "-c", config).json()["stuck"]
    assert stuck["reason"] == "berlin: its removal was refused: in use"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("verb", ["approve", "refuse"])
def test_a_decision_needs_a_reason_and_something_to_decide(region_sync: Call, config: str, verb: str) -> None:
    assert region_sync("holds", verb, "1", "-c", config).code == 2
    ended = region_sync("holds", verb, "4711", "--reason", "why", "-c", config)
    assert (ended.code, ended.out, ended.err) == (1, "", "region-sync: there is no hold 4711\n")
