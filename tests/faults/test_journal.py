"""The journal sees what a region went through, also what went without a word, and who did it."""

from __future__ import annotations

from pipeline.app import now_ms
from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.session import Credentials
from pipeline.sandbox.launch import SimulatedRegion, simulated_regions
from tests.e2e.harness import people
from tests.faults.journal import LIFE, ROOT, Journal, Write, held


def of(journal: Journal, uuid: str, field: str) -> list[tuple[bool, str | None, str | None, bool]]:
    def brief(one: Write) -> tuple[bool, str | None, str | None, bool]:
        return one.by_person, one.before, one.after, one.direct

    return [brief(one) for one in journal.writes if (one.uuid, one.field) == (uuid, field)]


async def by_the_sync(region: SimulatedRegion, command: str, **params: str) -> None:
    keys = Credentials(region.service.apikey, region.service.secretkey)
    api = CloudStack(ClientSettings(region.endpoint, keys), clock=now_ms)
    try:
        await api.call(command, params)
    finally:
        await api.aclose()


async def test_what_persons_and_the_sync_write_and_what_goes_along() -> None:
    async with simulated_regions(1) as (region,), people([region]) as (person,):
        journal = Journal([region])
        domain = await person.domain("north")
        account = await person.account("acme", domain)
        user = await person.user("ann", "acme", domain)
        await person.call("updateUser", id=user, email="new@example.org")
        await by_the_sync(region, "updateUser", id=user, email="newer@example.org")
        there = held(region)
        assert there[domain] == {
            LIFE: "present",
            "kind": "Domain",
            "name": "north",
            "parent": ROOT,
            "networkdomain": "",
        }
        assert (there[account]["state"], there[account]["role"]) == ("enabled", "User")
        assert there[user]["parent"] == account
        await person.call("deleteDomain", id=domain, cleanup="true")
        assert held(region) == {}
    assert of(journal, user, "email") == [
        (True, None, "ann@example.org", True),
        (True, "ann@example.org", "new@example.org", True),
        (False, "new@example.org", "newer@example.org", True),
        (True, "newer@example.org", None, False),
    ]
    assert of(journal, domain, LIFE) == [(True, None, "present", True), (True, "present", None, True)]
    assert of(journal, account, LIFE)[-1] == (True, "present", None, False)
