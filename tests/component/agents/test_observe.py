"""Hints are answered by one read; echoes by none; sweeps hint at what moved and at nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pipeline.agents.intake import Taken
from pipeline.agents.region import RegionWorker
from pipeline.core import topics
from pipeline.core.entities import ROOT, Kind
from pipeline.core.events import ABSENT, HINT, SCAN, hint
from pipeline.core.makeshift import PROBE
from tests.component.agents.embedded import until
from tests.component.agents.rig import FAR, HERE, SERVICE, Rig
from tests.unit.agents.regions import account, domain, user

PERSON = {"email": "a@b.c", "firstname": "F", "lastname": "L", "password": "Passw0rd!x"}


async def family(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    for number in (1, 2):
        await rig.tell(account(FAR, f"acc{number}", parent="dom", founder=f"usr{number}"))
        await rig.tell(user(FAR, f"usr{number}", parent=f"acc{number}"))
    rig.api.events.clear()
    rig.region.calls.clear()


async def test_a_change_is_read_once_and_told_with_the_events_time(rig: Rig) -> None:
    made = await rig.api.domain("Sales", networkdomain="s.example")
    when = rig.api.events[-1][1]["eventDateTime"]
    await rig.hear()
    (seen,) = rig.observed()
    assert (seen.region, seen.kind, seen.uuid, seen.cause) == (HERE, Kind.DOMAIN, made, "DOMAIN.CREATE")
    assert seen.fields == {"name": "Sales", "networkdomain": "s.example", "parent": ROOT}
    assert seen.time % 1000 == 0
    assert seen.time // 1000 == rig.region.region.log.rows[-1].created_ms // 1000, when
    assert rig.region.calls.by_command(SERVICE) == {"listDomains": 1}


async def test_a_probe_is_told_to_nobody_whoever_made_it(rig: Rig) -> None:
    probe = await rig.api.domain(f"{PROBE}0123abcd")
    below = await rig.api.domain(f"{PROBE}0123abcd", parentdomainid=await rig.api.domain("theirs"))
    await rig.hear()
    await rig.look(Kind.DOMAIN, probe)
    told = rig.observed()
    assert probe not in {seen.uuid for seen in told}
    assert below in {seen.uuid for seen in told}


async def test_an_account_is_told_with_its_oldest_user(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    acc, first = await rig.api.account("acme", "dom")
    for number in range(5):
        await rig.api("createUser", username=f"u{number}", account="acme", domainid="dom", **PERSON)
    for one in rig.region.region.world.live_users.values():
        one.created_ms += 0 if one.uuid == first else 60_000
    await rig.look(Kind.ACCOUNT, acc)
    (seen,) = rig.observed()
    assert seen.founder is not None
    assert seen.founder.uuid == first


async def test_waiting_hints_for_one_entity_cost_one_read(rig: Rig) -> None:
    made = await rig.api.domain("Sales")
    await rig.end()
    finished: list[int] = []
    worker = RegionWorker(rig.desk, 1)
    value = hint(Kind.DOMAIN, made, rig.clock())
    for number in range(10):
        done = partial(finished.append, number)
        await worker.take_event(Taken((topics.events(HERE), 1), number, made.encode(), value, {}, done))
    rig.begin_with(worker)
    await until(lambda: len(finished) == 10, "all ten are acknowledged")
    assert finished == list(range(10))
    assert rig.region.calls.by_command(SERVICE) == {"listDomains": 1}
    assert len(rig.observed()) == 1


async def test_our_own_doing_is_not_read(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    assert [body["event"] for _, body in rig.api.events] == ["DOMAIN.CREATE"]
    rig.region.calls.clear()
    await rig.hear()
    assert rig.region.calls.by_command(SERVICE) == {}
    assert rig.observed() == []


async def test_our_own_doing_is_known_by_name_too_as_the_event_log_tells_it(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    rig.region.calls.clear()
    body = json.loads(hint(Kind.DOMAIN, "dom", rig.clock()))
    for name, read in ((SERVICE, False), ("admin", True)):
        rig.api.events = [("", body | {"username": name, "accountname": name})]
        await rig.hear()
        assert bool(rig.region.calls.reads(SERVICE)) is read


async def test_what_only_announces_is_not_read(rig: Rig) -> None:
    await family(rig)
    await rig.api.job("disableUser", id="usr1")
    assert rig.api.heard() == ["USER.DISABLE Scheduled", "USER.DISABLE Started", "USER.DISABLE Completed"]
    await rig.api.job("disableUser", id="usr2")
    await rig.hear()
    assert rig.region.calls.by_command(SERVICE) == {"listUsers": 1}


async def test_what_is_no_event_is_a_dead_letter_and_the_rest_goes_on(rig: Rig) -> None:
    made = await rig.api.domain("Sales")
    done: list[bool] = []
    bad = Taken((topics.events(HERE), 1), 0, b"k", b"\xff not JSON", {}, lambda: done.append(True))
    await rig.worker.take_event(bad)
    await rig.worker.take_desired(replace(bad, offset=1))
    assert done == [True, True]
    letters = rig.kafka.take(topics.DEAD_LETTERS)
    assert [one.value for one in letters] == [bad.value] * 2
    assert all(one.headers[topics.HEADER_REASON] for one in letters)
    await rig.hear()
    assert [one.uuid for one in rig.observed()] == [made]


async def test_a_removed_entity_is_told_as_absent(rig: Rig) -> None:
    await family(rig)
    await rig.api("deleteUser", id="usr1")
    await rig.hear()
    (seen,) = rig.observed()
    assert (seen.kind, seen.uuid, seen.fields) == (Kind.USER, "usr1", None)


async def test_a_moved_domain_is_found_below_its_new_parent(rig: Rig) -> None:
    await family(rig)
    for name in ("target", "moves", "stays"):
        await rig.tell(domain(FAR, name))
    await rig.tell(domain(FAR, "there", parent="target"))
    rig.api.events.clear()
    moved = await rig.api("moveDomain", domainid="moves", parentdomainid="target")
    assert moved.status == 200
    assert [body["entityuuid"] for _, body in rig.api.events] == ["target"]
    await rig.hear()
    assert rig.hinted() == {"moves"}
    await rig.learn(Kind.DOMAIN, "moves")
    assert rig.hub.load(["moves"])["moves"].record.parent == "target"


async def test_a_domain_that_is_moved_to_the_root_is_found_there(rig: Rig) -> None:
    await family(rig)
    await rig.tell(domain(FAR, "child", parent="dom"))
    rig.api.events.clear()
    await rig.api("moveDomain", domainid="child", parentdomainid=rig.desk.resources.root)
    await rig.hear()
    assert rig.hinted() == {"child"}


@pytest.mark.parametrize("given", [{"accountid": "acc2"}, {"account": "acc2", "domainid": "dom"}])
async def test_a_moved_user_is_found_whether_or_not_its_account_is_named(
    given: dict[str, str], rig: Rig
) -> None:
    await family(rig)
    moved = await rig.api("moveUser", id="usr1", **given)
    assert moved.status == 200
    (event,) = [body for _, body in rig.api.events]
    assert event["entityuuid"] not in ("usr1", "acc2")
    await rig.hear()
    assert rig.hinted() == {"usr1"}, "the other users are where they were"
    assert rig.observed() == []


def absent(uuid: str, rig: Rig) -> dict[str, Any]:
    """A scan's word that its list does not have this user, and never had."""
    body: dict[str, Any] = json.loads(hint(Kind.USER, uuid, rig.clock(), ABSENT))
    return body


async def test_what_a_scan_did_not_list_is_told_without_a_read(rig: Rig) -> None:
    await family(rig)
    rig.api.events = [("", absent("new", rig))]
    await rig.hear()
    (seen,) = rig.observed()
    assert (seen.region, seen.kind, seen.uuid, seen.fields, seen.lost) == (HERE, Kind.USER, "new", None, True)
    assert rig.region.calls.by_command(SERVICE) == {}


async def test_what_was_made_since_the_scan_is_read(rig: Rig) -> None:
    """The hub may have heard of it, or not (a founder came with its account): the worker knows."""
    await family(rig)
    (wanted,) = rig.merge(user(FAR, "new", parent="acc1"))
    await rig.give(wanted)
    assert [one.uuid for one in rig.observed()] == ["new"]
    rig.region.calls.clear()
    rig.api.events = [("", absent("new", rig))]
    await rig.hear()
    (seen,) = rig.observed()
    assert (seen.fields, seen.lost) == (wanted.fields, False)
    assert rig.region.calls.by_command(SERVICE)["listUsers"] == 1


@pytest.mark.parametrize(
    ("event", "lost"),
    [("USER.DELETE", False), ("USER.UPDATE", True), (SCAN, True), (HINT, True)],
    ids=["removal", "change", "scan", "hint"],
)
async def test_whatever_else_waits_has_the_entity_read(event: str, lost: bool, rig: Rig) -> None:
    """What the bus says is news; where it tells of no removal, the log decides what an absence is."""
    await family(rig)
    await rig.end()
    done: list[int] = []
    worker = RegionWorker(rig.desk, 1)
    for number, body in enumerate((absent("new", rig) | {"event": event}, absent("new", rig))):
        place = (topics.events(HERE), 1)
        finished = partial(done.append, number)
        await worker.take_event(Taken(place, number, b"new", json.dumps(body).encode(), {}, finished))
    rig.begin_with(worker)
    await until(lambda: len(done) == 2, "both are acknowledged")
    (seen,) = rig.observed()
    assert (seen.fields, seen.lost) == (None, lost)
    assert rig.region.calls.by_command(SERVICE)["listUsers"] == 1


async def test_enabling_a_user_has_its_account_looked_at_too(rig: Rig) -> None:
    await family(rig)
    await rig.api.job("disableAccount", id="acc1", lock="false")
    rig.api.events.clear()
    await rig.api("enableUser", id="usr1")
    await rig.hear()
    assert [one.uuid for one in rig.observed()] == ["usr1"]
    assert rig.hinted() == {"acc1"}


async def test_a_sweep_finds_what_befell_a_user_before_it_was_moved_back(rig: Rig) -> None:
    """The event of the change has lost its UUID by then, and the parent is the one that was known."""
    await family(rig)
    await rig.api("disableUser", id="usr1")
    rig.merge(*rig.observed())
    await rig.api("enableUser", id="usr1")
    for target in ("acc2", "acc1"):
        await rig.api("updateUser", id="usr1", firstname="Moved")
        await rig.api("moveUser", id="usr1", accountid=target)
    rig.api.events[:] = [one for one in rig.api.events if one[1]["event"] == "USER.MOVE"]
    await rig.hear()
    assert rig.hinted() == {"usr1"}


@pytest.mark.parametrize("told", [True, False])
async def test_a_sweep_finds_a_user_that_went_with_the_account_it_was_moved_to(told: bool, rig: Rig) -> None:
    """Nothing tells which user that was: no event names it, and it was known in another account."""
    await family(rig)
    await rig.api("moveUser", id="usr1", accountid="acc2")
    await rig.api.job("deleteAccount", id="acc2")
    rig.api.events[:] = [one for one in rig.api.events if one[1]["event"] == "USER.MOVE"]
    if not told:
        for _, body in rig.api.events:
            body.pop("Account", None)
    await rig.hear()
    assert "usr1" in rig.hinted()


async def test_a_sweep_finds_a_domain_that_went_with_the_one_it_was_moved_to(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    await rig.tell(domain(FAR, "other"))
    await rig.api("moveDomain", domainid="dom", parentdomainid="other")
    await rig.api.job("deleteDomain", id="other", cleanup="true")
    rig.api.events[:] = [one for one in rig.api.events if one[1]["event"] == "DOMAIN.MOVE"]
    await rig.hear()
    assert "dom" in rig.hinted()
