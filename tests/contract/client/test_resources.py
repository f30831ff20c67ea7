"""Every kind created, read, changed, closed, moved and removed through the client and Resources."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping

import pytest

from pipeline.cloudstack.client import ClientSettings, CloudStack
from pipeline.cloudstack.errors import NameTaken, NotEmpty, NotFound, Refused, Unauthorised, UuidUsed
from pipeline.cloudstack.resources import Resources
from pipeline.cloudstack.session import SKEW_MAX_MS, Credentials
from pipeline.core.entities import DISABLED, ENABLED, LOCKED, ROOT, Kind, Snapshot
from pipeline.core.limits import ACCOUNT_LIMITS, DOMAIN_LIMITS
from pipeline.sandbox.launch import SimulatedRegion, now_ms

PERSON = {"firstname": "Ada", "lastname": "Ünal", "email": "a@b.c", "password": "a~b*c d+e"}


async def _domain(resources: Resources, name: str, parent: str = ROOT, **more: str) -> Snapshot:
    params = {"name": name, "parentdomainid": resources.domain_id(parent), **more}
    answer = await resources.client.call("createDomain", params)
    return resources.snapshot(Kind.DOMAIN, answer["domain"])


async def _account(resources: Resources, name: str, domain: str, **more: str) -> Snapshot:
    params = {"account": name, "username": name, "domainid": domain, **PERSON, **more}
    params["roleid"] = await resources.role_id(more.pop("role", "User"))
    params.pop("role", None)
    answer = await resources.client.call("createAccount", params)
    return resources.snapshot(Kind.ACCOUNT, answer["account"])


async def _user(resources: Resources, name: str, account: Snapshot, **more: str) -> Snapshot:
    fields = _fields(account)
    params = {"username": name, "account": fields["name"], "domainid": fields["parent"], **PERSON, **more}
    answer = await resources.client.call("createUser", params)
    return resources.snapshot(Kind.USER, answer["user"])


def _fields(found: Snapshot) -> Mapping[str, str]:
    assert found.fields is not None
    return found.fields


async def _all(pages: AsyncIterator[list[Snapshot]]) -> set[str]:
    return {found.uuid async for page in pages for found in page}


async def _same(resources: Resources, found: Snapshot) -> Mapping[str, str]:
    """A change's answer is the read-back: the fields are those that a read then gives."""
    again = await resources.read(found.kind, found.uuid)
    assert again.fields == found.fields
    return _fields(again)


async def test_who_we_are(resources: Resources, region: SimulatedRegion) -> None:
    assert (resources.own_user, resources.own_account) == (region.service.userid, region.service.accountid)
    assert (resources.own_user_name, resources.own_account_name) == ("svc-sync", "svc-sync")
    root = await resources.read(Kind.DOMAIN, resources.root)
    assert root.protected
    assert (await resources.read(Kind.USER, resources.own_user)).protected
    assert (await resources.read(Kind.ACCOUNT, resources.own_account)).protected


async def test_starting_costs_five_calls(client: CloudStack) -> None:
    with client.recording() as calls:
        await Resources(client).start()
    assert len(calls) <= 5


async def test_logging_in_is_as_good_as_a_key(region: SimulatedRegion, resources: Resources) -> None:
    given = "Pass~w*rd ü+1"
    await resources.client.call("updateUser", {"id": resources.own_user, "password": given})
    login = Credentials(username=resources.own_user_name, password=given)
    client = CloudStack(ClientSettings(region.endpoint, login), clock=now_ms)
    resources = Resources(client)
    await resources.start()
    assert resources.own_user == region.service.userid
    domain = await _domain(resources, "by~login")
    assert (await resources.read(Kind.DOMAIN, domain.uuid)).present
    await client.aclose()


async def test_a_wrong_secret_is_temporary(region: SimulatedRegion) -> None:
    settings = ClientSettings(region.endpoint, Credentials(region.service.apikey, "wrong"))
    client = CloudStack(settings, clock=now_ms)
    with pytest.raises(Unauthorised):
        await Resources(client).start()
    await client.aclose()


async def test_a_clock_that_is_wrong_is_temporary(region: SimulatedRegion) -> None:
    own = Credentials(region.service.apikey, region.service.secretkey)
    client = CloudStack(ClientSettings(region.endpoint, own), clock=lambda: now_ms() - 2 * SKEW_MAX_MS)
    with pytest.raises(Unauthorised, match="clocks"):
        await client.call("listUsers", {})
    await client.aclose()


async def test_a_region_that_demands_post(
    region: SimulatedRegion, client: CloudStack, resources: Resources
) -> None:
    change = {"name": "enforce.post.requests.and.timestamps", "value": "true"}
    await client.call("updateConfiguration", change)
    found = await _domain(resources, "posted")
    assert (await resources.read(Kind.DOMAIN, found.uuid)).present


async def test_a_domains_life(resources: Resources) -> None:
    call = resources.client.call
    given = str(uuid.uuid4())
    found = await _domain(resources, "Ünï~d*m & co", networkdomain="a.example", domainid=given)
    assert found.uuid == given
    fields = await _same(resources, found)
    assert fields == {"name": "Ünï~d*m & co", "networkdomain": "a.example", "parent": ROOT}
    changed = await call("updateDomain", {"id": given, "name": "other", "networkdomain": ""})
    fields = await _same(resources, resources.snapshot(Kind.DOMAIN, changed["domain"]))
    assert fields == {"name": "other", "networkdomain": "", "parent": ROOT}
    above = await _domain(resources, "above")
    moved = await call("moveDomain", {"domainid": given, "parentdomainid": above.uuid})
    fields = await _same(resources, resources.snapshot(Kind.DOMAIN, moved["domain"]))
    assert fields["parent"] == above.uuid
    with pytest.raises(NotEmpty):
        await call("deleteDomain", {"id": above.uuid})
    await call("deleteDomain", {"id": given})
    assert not (await resources.read(Kind.DOMAIN, given)).present
    with pytest.raises(UuidUsed):
        await _domain(resources, "again", domainid=given)


async def test_an_accounts_life(resources: Resources) -> None:
    call = resources.client.call
    domain = (await _domain(resources, "d")).uuid
    account, founder = str(uuid.uuid4()), str(uuid.uuid4())
    found = await _account(resources, "acc", domain, accountid=account, userid=founder, timezone="UTC")
    assert found.uuid == account
    assert [user.uuid for user in found.users] == [founder]
    fields = await _same(resources, found)
    assert fields == {"name": "acc", "networkdomain": "", "role": "User", "state": ENABLED, "parent": domain}
    role = await resources.role_id("Domain Admin")
    change = {
        "id": account,
        "domainid": domain,
        "newname": "acc2",
        "networkdomain": "n.example",
        "roleid": role,
    }
    changed = await call("updateAccount", change)
    fields = await _same(resources, resources.snapshot(Kind.ACCOUNT, changed["account"]))
    assert (fields["name"], fields["networkdomain"], fields["role"]) == ("acc2", "n.example", "Domain Admin")
    for lock, state in (("true", LOCKED), ("false", DISABLED)):
        closed = await call("disableAccount", {"id": account, "lock": lock})
        fields = await _same(resources, resources.snapshot(Kind.ACCOUNT, closed["account"]))
        assert fields["state"] == state
        opened = await call("enableAccount", {"id": account})
        assert opened["account"]["state"] == ENABLED
    await call("deleteAccount", {"id": account})
    assert not (await resources.read(Kind.ACCOUNT, account)).present
    assert not (await resources.read(Kind.USER, founder)).present
    with pytest.raises(UuidUsed):
        await _account(resources, "again", domain, accountid=account)


async def test_a_users_life(resources: Resources) -> None:
    call = resources.client.call
    domain = (await _domain(resources, "d")).uuid
    first, second = [await _account(resources, name, domain) for name in ("one", "two")]
    given = str(uuid.uuid4())
    found = await _user(resources, "usr", first, userid=given, timezone="Europe/Berlin")
    fields = await _same(resources, found)
    assert fields == {
        "name": "usr",
        "firstname": "Ada",
        "lastname": "Ünal",
        "email": "a@b.c",
        "timezone": "Europe/Berlin",
        "state": ENABLED,
        "parent": first.uuid,
    }
    changed = await call("updateUser", {"id": given, "username": "usr2", "email": "x@y.z"})
    fields = await _same(resources, resources.snapshot(Kind.USER, changed["user"]))
    assert (fields["name"], fields["email"]) == ("usr2", "x@y.z")
    for command, state in (("disableUser", DISABLED), ("enableUser", ENABLED), ("lockUser", LOCKED)):
        answer = await call(command, {"id": given})
        fields = await _same(resources, resources.snapshot(Kind.USER, answer["user"]))
        assert fields["state"] == state
    await call("moveUser", {"id": given, "accountid": second.uuid})
    assert _fields(await resources.read(Kind.USER, given))["parent"] == second.uuid
    await call("deleteUser", {"id": given})
    assert not (await resources.read(Kind.USER, given)).present
    with pytest.raises(UuidUsed):
        await _user(resources, "again", first, userid=given)


async def test_one_read_is_one_call(resources: Resources) -> None:
    domain = await _domain(resources, "d")
    account = await _account(resources, "a", domain.uuid)
    for found in (domain, account, account.users[0]):
        with resources.client.recording() as calls:
            assert (await resources.read(found.kind, found.uuid)).present
        assert len(calls) == 1


@pytest.mark.parametrize("kind", list(Kind))
async def test_what_a_region_never_had_is_absent(resources: Resources, kind: Kind) -> None:
    nobody = str(uuid.uuid4())
    assert await resources.read(kind, nobody) == Snapshot(kind, nobody, None)


async def test_taken_names(resources: Resources) -> None:
    call = resources.client.call
    domain = await _domain(resources, "d")
    account = await _account(resources, "acc", domain.uuid)
    other = await _account(resources, "other", domain.uuid)
    with pytest.raises(NameTaken):
        await _domain(resources, "D")
    with pytest.raises(NameTaken):
        await _account(resources, "ACC", domain.uuid)
    with pytest.raises(NameTaken):
        await _user(resources, "Acc", other)
    with pytest.raises(NameTaken):
        await call("updateUser", {"id": other.users[0].uuid, "username": "acc"})
    with pytest.raises(NameTaken):
        await call("updateAccount", {"id": account.uuid, "domainid": domain.uuid, "newname": "other"})


@pytest.mark.parametrize(
    ("command", "params"),
    [
        ("updateDomain", {"name": "x"}),
        ("updateAccount", {"newname": "x"}),
        ("updateUser", {"email": "x@y.z"}),
        ("disableAccount", {"lock": "false"}),
        ("disableUser", {}),
        ("deleteUser", {}),
        ("deleteDomain", {}),
        ("deleteAccount", {}),
    ],
)
async def test_changing_what_is_not_there(resources: Resources, command: str, params: dict[str, str]) -> None:
    with pytest.raises(NotFound) as caught:
        await resources.client.call(command, {"id": str(uuid.uuid4()), **params})
    assert caught.value.param == "id"


async def test_an_unknown_role_is_refused_in_a_sentence(resources: Resources) -> None:
    with pytest.raises(Refused, match="there is no role named 'Chief'"):
        await resources.role_id("Chief")


async def test_a_new_role_is_found(resources: Resources) -> None:
    created = await resources.client.call("createRole", {"name": "Chief", "type": "User"})
    assert await resources.role_id("Chief") == created["role"]["id"]


async def test_members(resources: Resources) -> None:
    top = await _domain(resources, "top")
    below = await _domain(resources, "below", top.uuid)
    deep = await _domain(resources, "deep", below.uuid)
    one = await _account(resources, "one", top.uuid)
    two = await _account(resources, "two", below.uuid)
    extra = await _user(resources, "extra", one)
    assert await _all(resources.subdomains(ROOT)) == {top.uuid}
    assert await _all(resources.subdomains(top.uuid)) == {below.uuid}
    assert await _all(resources.subdomains(deep.uuid)) == set()
    assert await _all(resources.domains()) == {top.uuid, below.uuid, deep.uuid}
    assert await _all(resources.accounts(top.uuid)) == {one.uuid}
    assert {one.uuid, two.uuid} <= await _all(resources.accounts())
    members = {one.users[0].uuid, extra.uuid}
    assert await _all(resources.users_of(one)) == members
    assert await _all(resources.users_in(top.uuid)) == members
    assert members | {two.users[0].uuid} <= await _all(resources.users())
    page = await anext(resources.accounts(top.uuid))
    assert [user.uuid for user in page[0].users] == [one.users[0].uuid, extra.uuid]


async def test_members_of_what_is_gone(resources: Resources) -> None:
    gone = str(uuid.uuid4())
    assert await _all(resources.subdomains(gone)) == set()
    assert await _all(resources.accounts(gone)) == set()
    assert await _all(resources.users_in(gone)) == set()
    assert await _all(resources.users_of(Snapshot(Kind.ACCOUNT, gone, None))) == set()


async def test_more_than_a_page(resources: Resources, region: SimulatedRegion) -> None:
    """Unpaged, CloudStack cuts a list at 500 and says nothing."""
    region.load(domains=3, accounts=20, users=1_100)
    found = [user.uuid async for page in resources.users() for user in page]
    assert len(found) == len(set(found)) > 1_100


async def test_the_regions_own_accounts_are_protected(resources: Resources) -> None:
    found = [one async for page in resources.accounts() for one in page]
    assert {_fields(one)["name"] for one in found if one.protected} >= {"admin", resources.own_account_name}
    await _account(resources, "plain", resources.root)
    again = [one async for page in resources.accounts() for one in page]
    assert [_fields(one)["name"] for one in again if not one.protected] == ["plain"]


async def test_limits_are_told_where_they_are_asked_for(client: CloudStack, resources: Resources) -> None:
    domain = await _domain(resources, "top")
    account = await _account(resources, "acc", domain.uuid)
    await client.call(
        "updateResourceLimit", {"domainid": domain.uuid, "account": "acc", "resourcetype": "0", "max": "7"}
    )
    telling = Resources(client, limits=True)
    await telling.start()
    for kind, id_, names in (
        (Kind.DOMAIN, domain.uuid, set(DOMAIN_LIMITS)),
        (Kind.ACCOUNT, account.uuid, set(ACCOUNT_LIMITS)),
    ):
        assert not _fields(await resources.read(kind, id_)).keys() & names
        one = await telling.read(kind, id_)
        assert _fields(one).keys() >= names
        page, _ = await telling.page(kind, 1)
        assert one.fields in [found.fields for found in page]
    assert _fields(one)["limit_user_vm"] == "7"
    assert await resources.limit_names() == frozenset()
    assert await telling.limit_names() == {(Kind.DOMAIN, one) for one in DOMAIN_LIMITS} | {
        (Kind.ACCOUNT, one) for one in ACCOUNT_LIMITS
    }
