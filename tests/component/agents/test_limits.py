"""Resource limits between a simulated region's worker and another region that is played by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from pipeline.agents.observe import Observer
from pipeline.cloudstack.resources import Resources
from pipeline.core import topics
from pipeline.core.entities import ROOT, Kind
from pipeline.core.events import HINT, LIMIT_CHANGED, hint, parse_event
from pipeline.core.limits import ACCOUNT_LIMITS, DOMAIN_LIMITS, UNLIMITED
from pipeline.core.records import Desired, Observation
from pipeline.outbox.schema import conflict
from tests.component.agents.rig import FAR, HERE, Killed, Rig
from tests.unit.agents.regions import account, domain
from tests.unit.outbox.builders import rows

VM, GPU, PROJECT = "limit_user_vm", "limit_gpu", "limit_project"
DEFAULTS = {
    "limit_user_vm": "20",
    "limit_public_ip": "20",
    "limit_volume": "20",
    "limit_snapshot": "20",
    "limit_template": "20",
    "limit_project": "10",
    "limit_network": "20",
    "limit_vpc": "20",
    "limit_cpu": "40",
    "limit_memory": "40960",
    "limit_primary_storage": "200",
    "limit_secondary_storage": "400",
    "limit_backup": "20",
    "limit_backup_storage": "400",
    "limit_bucket": "20",
    "limit_object_storage": "400",
    "limit_gpu": "20",
}
"""As a fresh account has them (recording bulk.listAccounts)."""
OPEN = dict.fromkeys(DOMAIN_LIMITS, UNLIMITED)


async def tell_limits(rig: Rig, *, limits: bool = True) -> None:
    """A fresh worker under this setting."""
    await rig.read_by(Resources(rig.desk.client, limits=limits))


def with_limits(seen: Observation, told: Mapping[str, str], time: int) -> Observation:
    fields = {**(seen.fields or {}), **(DEFAULTS if seen.kind is Kind.ACCOUNT else OPEN), **told}
    return Observation(seen.region, seen.kind, seen.uuid, fields, time, founder=seen.founder)


def far_domain(rig: Rig, uuid: str = "dom", parent: str = ROOT, **told: str) -> Observation:
    return with_limits(domain(FAR, uuid, parent=parent), told, rig.clock())


def far_account(rig: Rig, **told: str) -> Observation:
    return with_limits(account(FAR, "acc", parent="dom", founder="ann"), told, rig.clock())


@pytest.fixture
async def limited(rig: Rig) -> AsyncIterator[Rig]:
    """The region tells of limits, and so does the far one; both have a domain and an account in it."""
    await tell_limits(rig)
    for one in (far_domain(rig), far_account(rig)):
        await rig.tell(one)
    rig.clock.now += 1_000
    rig.api.events.clear()
    rig.region.calls.clear()
    yield rig


def held(rig: Rig, kind: Kind, uuid: str) -> dict[int, int]:
    """The limits that were set there, by the type's number."""
    world: Any = rig.region.region.world
    table = world.domains if kind is Kind.DOMAIN else world.accounts
    return dict(table[world.by_uuid[str(kind)][uuid]].limits)


def confirmed(rig: Rig, uuid: str) -> dict[str, str]:
    return rig.hub.load([uuid])[uuid].record.region(HERE).confirmed or {}


def agreed(rig: Rig, uuid: str) -> dict[str, str]:
    return rig.hub.load([uuid])[uuid].record.desired() or {}


async def set_limit(rig: Rig, kind: Kind, number: int, most: int, name: str = "") -> None:
    """By a person there."""
    whose = {"domainid": "dom", **({"account": name or "acc"} if kind is Kind.ACCOUNT else {})}
    answer = await rig.api("updateResourceLimit", resourcetype=number, max=most, **whose)
    assert answer.status == 200, answer


async def far_says(rig: Rig, seen: Observation) -> Desired:
    """The desired state that follows here, carried out and told."""
    (desired,) = await rig.tell(seen)
    return desired


async def test_what_is_equal_from_the_start_costs_no_call(limited: Rig) -> None:
    assert confirmed(limited, "acc").items() >= DEFAULTS.items()
    assert confirmed(limited, "dom").items() >= OPEN.items()
    assert (held(limited, Kind.ACCOUNT, "acc"), held(limited, Kind.DOMAIN, "dom")) == ({}, {})


async def test_limits_that_were_set_elsewhere_arrive_by_a_call_for_each(limited: Rig) -> None:
    desired = await far_says(limited, far_account(limited, **{VM: "7", GPU: UNLIMITED}))
    assert held(limited, Kind.ACCOUNT, "acc") == {0: 7, 16: -1}
    assert limited.commands(desired) == ["listAccounts", "updateResourceLimit", "updateResourceLimit"]
    assert limited.outbox(desired)["state"] == "delivered"
    assert confirmed(limited, "acc")[VM] == "7"

    desired = await far_says(limited, far_domain(limited, **{VM: "70"}))
    assert held(limited, Kind.DOMAIN, "dom") == {0: 70}
    assert limited.commands(desired) == ["listDomains", "updateResourceLimit"]
    assert confirmed(limited, "dom")[VM] == "70"


async def test_a_limit_that_a_person_sets_here_is_told(limited: Rig) -> None:
    await set_limit(limited, Kind.ACCOUNT, 0, 9)
    await set_limit(limited, Kind.DOMAIN, 8, 500)
    await limited.hear()
    limited.merge(*limited.observed())
    assert agreed(limited, "acc")[VM] == "9"
    assert agreed(limited, "dom")["limit_cpu"] == "500"


async def test_our_own_calls_are_echoes(limited: Rig) -> None:
    await far_says(limited, far_account(limited, **{VM: "7"}))
    limited.region.calls.clear()
    await limited.hear()
    assert (limited.observed(), limited.region.calls.reads("svc-sync")) == ([], 0)


async def test_two_types_that_are_set_in_two_regions_at_once_both_count(limited: Rig) -> None:
    await set_limit(limited, Kind.ACCOUNT, 16, 3)
    desired = await far_says(limited, far_account(limited, **{VM: "7"}))
    await limited.hear()
    limited.merge(*limited.observed())
    assert limited.outbox(desired)["state"] == "delivered"
    assert held(limited, Kind.ACCOUNT, "acc") == {0: 7, 16: 3}
    assert (agreed(limited, "acc")[VM], agreed(limited, "acc")[GPU]) == ("7", "3")
    assert rows(limited.engine, conflict) == []


async def test_a_renamed_account_gets_its_limits_under_the_new_name(limited: Rig) -> None:
    await far_says(limited, far_account(limited, name="acme", **{VM: "7"}))
    assert held(limited, Kind.ACCOUNT, "acc") == {0: 7}


async def test_a_limit_above_the_parent_s_waits_until_that_is_raised(limited: Rig) -> None:
    """And keeps nothing else: neither another type nor the new name."""
    await far_says(limited, far_domain(limited, **{VM: "10"}))
    await limited.tell(far_domain(limited, "sub", "dom"))
    limited.clock.now += 1_000
    wanted = far_domain(limited, "sub", "dom", name="south", **{VM: "60", "limit_cpu": "8"})
    desired = await far_says(limited, wanted)
    row = limited.outbox(desired)
    assert (row["state"], row["waits_for"]) == ("pending", "dom")
    assert "waits for the limits of the domain above" in row["message"] and "10" in row["message"]
    assert held(limited, Kind.DOMAIN, "sub") == {8: 8}
    assert confirmed(limited, "sub")["name"] == "south"

    await limited.send_due()
    assert held(limited, Kind.DOMAIN, "sub") == {8: 8}, "it is not tried at once again"
    for _ in range(12):
        limited.clock.now += 600_000
        await limited.send_due()
    row = limited.outbox(desired)
    assert row["state"] == "pending", "and never dead"
    assert row["due_time"] - limited.clock() > 300_000, "ever more seldom"
    limited.merge(*limited.observed())

    await far_says(limited, far_domain(limited, **{VM: "100"}))
    await limited.send_due()  # at once: what was applied to the domain above woke it
    assert held(limited, Kind.DOMAIN, "sub") == {0: 60, 8: 8}
    assert limited.outbox(desired)["state"] == "delivered"
    limited.merge(*limited.observed())
    assert confirmed(limited, "sub")[VM] == "60"


async def test_a_disabling_does_not_wait_behind_a_limit(limited: Rig) -> None:
    """Whatever becomes of the limits, of which this region refuses one for good."""
    (desired,) = limited.merge(far_account(limited, state="disabled", **{GPU: "4", VM: "-5"}))
    await limited.give(desired)
    assert limited.commands(desired)[1] == "disableAccount"
    assert await limited.state(Kind.ACCOUNT, "acc") == "disabled"
    assert held(limited, Kind.ACCOUNT, "acc") == {16: 4}
    row = limited.outbox(desired)
    assert row["state"] == "dead" and "at least '0'" in row["message"]


async def test_a_region_that_does_not_take_part_is_left_alone(rig: Rig) -> None:
    await tell_limits(rig, limits=False)
    for one in (far_domain(rig), far_account(rig, **{VM: "7"})):
        await rig.tell(one)
    assert not confirmed(rig, "acc").keys() & set(ACCOUNT_LIMITS)
    await set_limit(rig, Kind.ACCOUNT, 0, 9)
    await rig.hear()
    rig.merge(*rig.observed())
    assert agreed(rig, "acc")[VM] == "7"
    rig.clock.now += 1_000
    assert await rig.tell(far_account(rig, **{VM: "8"})) == []
    assert held(rig, Kind.ACCOUNT, "acc") == {0: 9}


async def test_a_region_gets_only_the_types_that_it_knows(rig: Rig) -> None:
    world: Any = rig.region.region.world
    world.unknown_limits = frozenset({14, 15, 16})
    await tell_limits(rig)
    for one in (far_domain(rig), far_account(rig, **{VM: "7", GPU: "3"})):
        await rig.tell(one)
    await rig.send_due()
    rig.merge(*rig.observed())
    assert held(rig, Kind.ACCOUNT, "acc") == {}
    rig.clock.now += 1_000
    await rig.tell(far_account(rig, **{VM: "8", GPU: "4"}))
    assert held(rig, Kind.ACCOUNT, "acc") == {0: 8}
    assert GPU not in confirmed(rig, "acc") and agreed(rig, "acc")[GPU] == "4"


async def made_under_other_defaults(rig: Rig) -> None:
    """A minute ago, in the far region: the events of this one have whole seconds."""
    rig.clock.now -= 60_000
    world: Any = rig.region.region.world
    world.limit_defaults = {0: 50, 8: 4}
    await tell_limits(rig)
    await rig.tell(far_domain(rig))


async def corrected(rig: Rig) -> None:
    """What the hub now sends makes the account what it is in the far region."""
    record = rig.hub.load(["acc"])["acc"].record
    assert (agreed(rig, "acc")[VM], agreed(rig, "acc")["limit_cpu"]) == ("20", "40")
    sent = record.region(HERE).sent[-1]
    state = record.region(HERE)
    wanted = Desired(
        HERE, Kind.ACCOUNT, "acc", sent.version, sent.fields, state.confirmed, None, state.settled
    )
    await rig.give(wanted)
    rig.merge(*rig.observed())
    assert held(rig, Kind.ACCOUNT, "acc") == {0: 20, 8: 40}
    assert confirmed(rig, "acc").items() >= DEFAULTS.items()


async def killed_before_it_tells(rig: Rig) -> Desired:
    """The account is made, and nobody has heard of that; another worker has begun."""
    desired, *_ = rig.merge(far_account(rig))
    rig.kafka.dies_at = topics.OBSERVATIONS
    with pytest.raises(Killed):
        await rig.give(desired)
    await rig.restart()
    return desired


async def test_other_defaults_at_creation_are_nobody_s_change(rig: Rig) -> None:
    await made_under_other_defaults(rig)
    await rig.tell(far_account(rig))
    assert rows(rig.engine, conflict) == []
    await corrected(rig)


async def test_nor_are_they_where_the_worker_died_before_it_could_tell(rig: Rig) -> None:
    await made_under_other_defaults(rig)
    desired = await killed_before_it_tells(rig)
    rig.clock.now += 60_000
    await rig.give(desired)
    rig.merge(*rig.observed())
    await corrected(rig)


async def test_nor_where_a_person_s_change_of_something_else_is_read_first(rig: Rig) -> None:
    await made_under_other_defaults(rig)
    await killed_before_it_tells(rig)
    rig.api.events.clear()
    await rig.api("updateAccount", id="acc", networkdomain="n.example", domainid="dom")
    await rig.hear()
    rig.merge(*rig.observed())
    assert agreed(rig, "acc")["networkdomain"] == "n.example"
    await corrected(rig)


async def test_a_person_s_limit_right_after_creation_counts(rig: Rig) -> None:
    await made_under_other_defaults(rig)
    desired, *_ = rig.merge(far_account(rig))
    await rig.give(desired)
    rig.api.events.clear()
    await set_limit(rig, Kind.ACCOUNT, 0, 33)
    await rig.hear()
    rig.merge(*rig.observed())
    assert agreed(rig, "acc")[VM] == "33"
    assert agreed(rig, "acc")["limit_cpu"] == "40"


async def test_a_limit_s_event_counts_though_another_one_came_after_it(limited: Rig) -> None:
    """One read answers both."""
    told = [
        hint(Kind.ACCOUNT, "acc", limited.clock() + n, event) for n, event in enumerate((LIMIT_CHANGED, HINT))
    ]
    await Observer(limited.desk).observe([parse_event(one) for one in told])
    (seen,) = limited.observed()
    assert seen.cause == LIMIT_CHANGED


async def test_a_moved_domain_is_told_with_its_limits(limited: Rig) -> None:
    """A listing of subdomains shows none: what it does not show is no difference."""
    await limited.tell(far_domain(limited, "sub", "dom"), far_domain(limited, "still", "dom"))
    await limited.tell(far_domain(limited, "up"))
    limited.api.events.clear()
    await limited.api("moveDomain", domainid="sub", parentdomainid="up")
    await limited.hear()
    assert limited.hinted() == {"sub"}
    await limited.look(Kind.DOMAIN, "sub")
    limited.merge(*limited.observed())
    assert confirmed(limited, "sub").items() >= {**OPEN, "parent": "up"}.items()
