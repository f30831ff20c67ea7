"""The known defects of the seed's implementation (Albatross, 2014), each as a test that it is not ours.

The list is the last section of cloudstack.md. Each runs on the narrowest real part that would show it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from bridges.topology import BusSettings
from pipeline.core.entities import Kind
from pipeline.outbox.engine import reading
from pipeline.outbox.schema import attempt, metadata, outbox
from pipeline.sandbox.server import RegionServer
from tests.component.agents.rig import FAR, HERE, Rig, rigged
from tests.unit.agents.regions import account, domain, gone, user
from tests.unit.outbox.builders import rows

DAY_MS = 86_400_000


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(tmp_path) as one:
        yield one


async def family(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    await rig.tell(account(FAR, "acc", parent="dom", founder="usr"))
    await rig.tell(user(FAR, "usr"))
    rig.api.events.clear()


async def test_no_ping_pong_when_both_network_domains_are_empty(rig: Rig) -> None:
    """Its equality said "different" of two nulls: the regions updated each other for ever."""
    await family(rig)
    rig.writes()
    for kind, uuid in ((Kind.DOMAIN, "dom"), (Kind.ACCOUNT, "acc")):
        for _ in range(3):
            await rig.look(kind, uuid)
            assert rig.merge(*rig.observed()) == []
    far = [one for one in rows(rig.engine, outbox) if one["region"] == FAR]
    assert far == []
    assert rig.merge(domain(FAR, "dom"), account(FAR, "acc", parent="dom", founder="usr")) == []
    assert rig.writes() == {}


async def test_no_ping_pong_when_a_network_domain_was_cleared(rig: Rig) -> None:
    """CloudStack shows a cleared one as "" and one never set not at all."""
    await family(rig)
    await rig.api("updateDomain", id="dom", networkdomain="n.example")
    await rig.api("updateDomain", id="dom", networkdomain="")
    await rig.hear()
    assert rig.merge(*rig.observed()) == []
    assert [one for one in rows(rig.engine, outbox) if one["region"] == FAR] == []


async def test_a_failed_call_is_not_replicated(rig: Rig) -> None:
    """A failed call raises `Completed` too: what counts is what is there, not what was said."""
    await family(rig)
    await rig.api.domain("taken")
    await rig.hear()
    rig.merge(*rig.observed())
    before = rows(rig.engine, outbox)
    failed = await rig.api("updateUser", id="usr", username="usr", password="")
    failed2 = await rig.api("createUser", username="usr", account="acc", domainid="dom", email="e@x",
                            firstname="f", lastname="l", password="Passw0rd!x")  # fmt: skip
    removed = await rig.api.job("deleteDomain", id="dom")
    assert failed2.status != 200
    assert removed["jobstatus"] == 2
    said = {body["event"] for _, body in rig.api.events if body["status"] == "Completed"}
    assert said >= {"USER.CREATE", "DOMAIN.DELETE"}, failed
    await rig.hear()
    assert rig.merge(*rig.observed()) == []
    assert rows(rig.engine, outbox) == before


async def test_a_list_of_more_than_500_is_read_whole(rig: Rig) -> None:
    """Without paging CloudStack cuts at 500 and says nothing."""
    rig.region.load(domains=60, accounts=520, users=1_100)
    resources = rig.desk.resources
    users = [one.uuid async for page in resources.users() for one in page if not one.protected]
    accounts = [one.uuid async for page in resources.accounts() for one in page if not one.protected]
    assert len(set(users)) == 1_100
    assert len(set(accounts)) == 520


async def test_a_user_beyond_the_first_500_is_found_when_it_is_moved(rig: Rig) -> None:
    rig.region.load(domains=1, accounts=2, users=1_001)
    everyone = [one async for page in rig.desk.resources.users() for one in page if not one.protected]
    for one in everyone:
        await rig.look(Kind.USER, one.uuid)
    rig.merge(*rig.observed())
    by_account = sorted({one.fields["parent"] for one in everyone if one.fields})
    last = [one for one in everyone if one.fields and one.fields["parent"] == by_account[0]][-1]
    assert everyone.index(last) > 500
    rig.api.events.clear()
    held = await rig.desk.resources.read(Kind.ACCOUNT, by_account[1])
    assert held.fields is not None
    there = {"account": held.fields["name"], "domainid": held.fields["parent"]}
    assert (await rig.api("moveUser", id=last.uuid, **there)).status == 200
    await rig.hear()
    assert last.uuid in rig.hinted()


async def test_a_change_waits_in_a_table_until_it_is_made(rig: Rig) -> None:
    """There was no retry, no queue and no table of events: what failed was gone."""
    (wanted,) = rig.merge(domain(FAR, "dom"))
    assert rig.outbox(wanted)["state"] == "pending"
    rig.region.faults.error_ratio = 0.7
    await rig.give(wanted)
    rig.region.faults.error_ratio = 0.0
    held = rig.outbox(wanted)
    assert (held["state"], held["result"]) == ("delivered", "success")
    assert held["created_time"] <= held["processed_time"]
    assert [one["command"] for one in rows(rig.engine, attempt)][-1] == "createDomain"
    assert list(rig.region.dump()["domains"]) == ["ROOT/dom"]


class Tap:
    """What goes over the wire to a region: URLs, and the forms of what is posted."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.forms: list[dict[str, str]] = []

    async def listen(self, http: web.Request) -> None:
        self.urls.append(str(http.rel_url))
        if http.method == "POST":
            self.forms.append(dict(parse_qsl(await http.text(), keep_blank_values=True)))

    def posted(self, name: str) -> list[str]:
        return [form[name] for form in self.forms if name in form]


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tap]:
    """Listens in at the simulated region's own door."""
    heard = Tap()
    real = RegionServer._api

    async def api(self: RegionServer, http: web.Request, open_port: bool = False) -> web.StreamResponse:
        await heard.listen(http)
        return await real(self, http, open_port)

    monkeypatch.setattr(RegionServer, "_api", api)
    yield heard


async def test_no_temporary_password_no_hash_and_nothing_secret_anywhere(
    tap: Tap, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """Every user had the password "temppassword", or the stored hash as one, in a URL that was logged."""
    caplog.set_level(logging.DEBUG)
    await family(rig)
    await rig.tell(user(FAR, "second"))
    await rig.tell(replace(account(FAR, "acc2", parent="dom"), founder=None))
    await rig.api("updateUser", id="usr", password="Changed1!x", currentpassword="Passw0rd!x")
    await rig.hear()
    rig.merge(*rig.observed())
    passwords = tap.posted("password")
    assert len(passwords) == len(set(passwords)) == 3
    assert all(len(one) >= 40 for one in passwords)
    assert "temppassword" not in " ".join(passwords)
    commands = [form["command"] for form in tap.forms if "password" in form]
    assert commands == ["createAccount", "createUser", "createAccount"], "a changed one is not passed on"
    secrets = [*passwords, rig.region.service.secretkey]
    kept = [str(row) for table in metadata.sorted_tables for row in rows(rig.engine, table)]
    sent = [str(message) for message in rig.kafka.messages]
    for place in ("".join(tap.urls), "".join(kept), "".join(sent), caplog.text):
        assert not [one for one in secrets if one in place]
    assert "password" not in "".join(kept + sent).replace("'password': ''", "").casefold()


async def test_a_removal_is_not_forgotten_and_what_was_removed_does_not_come_back(rig: Rig) -> None:
    """It knew of removals by the event log, which keeps 15 days: after that it copied them back."""
    await family(rig)
    (removal,) = await rig.tell(gone(FAR, Kind.USER, "usr"))
    assert rig.outbox(removal)["state"] == "delivered"
    rig.clock.now += 100 * DAY_MS
    late = replace(user(FAR, "usr"), time=rig.clock())
    assert [one.fields for one in rig.merge(late, replace(late, region=HERE))] == [None], "removed again"
    assert not rig.hub.load(["usr"])["usr"].record.life.present
    await rig.send_due()
    await rig.give(removal)
    assert rig.region.dump()["users"] == {}
    with reading(rig.engine) as connection:
        assert connection.execute(outbox.select().where(outbox.c.entity == "usr")).fetchall()


def test_the_queue_is_durable_has_a_stable_name_and_is_acknowledged_by_hand() -> None:
    """It was non-durable, acknowledged by itself, and named at random: a restart lost what had waited."""
    from bridges.bridge import BridgeSettings  # noqa: PLC0415

    settings = [BridgeSettings(region="r1", kafka="k:1", amqp_url="amqp://h") for _ in range(2)]
    first, second = (one.bus() for one in settings)
    assert isinstance(first, BusSettings)
    assert first.queue == second.queue == "region-sync.r1"
    arguments = first.queue_arguments()
    assert arguments["x-queue-type"] == "quorum"
    assert arguments["x-single-active-consumer"] is True
    assert json.dumps(arguments) == json.dumps(second.queue_arguments())


async def test_an_account_without_users_is_not_dropped(rig: Rig) -> None:
    await rig.tell(domain(FAR, "dom"))
    (wanted,) = await rig.tell(replace(account(FAR, "empty", parent="dom"), founder=None))
    assert rig.outbox(wanted)["state"] == "delivered"
    assert list(rig.region.dump()["accounts"]) == ["ROOT/dom|empty"]
    assert rig.region.dump()["users"] == {}
    await rig.look(Kind.ACCOUNT, "empty")
    assert [(one.uuid, one.fields is None) for one in rig.observed()] == [("empty", False)]


async def test_the_first_user_of_the_list_is_not_taken_as_the_accounts(rig: Rig) -> None:
    """Each user is itself: by its UUID, in the account that it is in, whatever order a list has."""
    rig.region.load(domains=1, accounts=3, users=9)
    everyone = [one async for page in rig.desk.resources.users() for one in page if not one.protected]
    async for page in rig.desk.resources.accounts():
        for held in page:
            if held.protected:
                continue
            mine = {one.uuid for one in everyone if one.fields and one.fields["parent"] == held.uuid}
            assert {one.uuid for one in held.users} == mine
            assert len(mine) == 3
    for one in everyone:
        read = await rig.desk.resources.read(Kind.USER, one.uuid)
        assert (read.uuid, read.fields) == (one.uuid, one.fields)
    await family(rig)
    for name in ("second", "third"):
        await rig.tell(user(FAR, name))
    await rig.tell(replace(user(FAR, "second"), fields=dict(user(FAR, "second").fields or {}, email="s@x")))
    emails = {name: row["email"] for name, row in rig.region.dump()["users"].items() if "acc|" in name}
    assert emails["ROOT/dom|acc|second"] == "s@x"
    assert list(emails.values()).count("s@x") == 1
