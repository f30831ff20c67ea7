"""What cloudstack.md says of a real CloudStack 4.22 and no given recording shows: held against a
simulated region.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from pipeline.sandbox import render
from pipeline.sandbox.settings_commands import throttling
from tests.contract.sandbox.api import PERSON, Answer, Api
from tests.contract.sandbox.recordings import bulk

NOBODY = "abe0fd79-a9ea-5617-833e-379661e61312"


async def test_a_cascade_is_silent_and_its_uuids_are_used_for_ever(api: Api) -> None:
    top = await api.domain("top")
    below = await api.domain("below", parentdomainid=top)
    account, user = await api.account("acc", below)
    api.heard()
    assert (await api.job("deleteDomain", id=top, cleanup="true"))["jobstatus"] == 1
    assert api.heard() == ["DOMAIN.DELETE Scheduled", "DOMAIN.DELETE Started", "DOMAIN.DELETE Completed"]
    events = (await api("listEvents", listall="true")).body["event"]
    assert not [e for e in events if e["type"] in ("ACCOUNT.DELETE", "USER.DELETE")]
    assert (await api("listAccounts", id=account)).error[0] == 431
    assert (await api("listUsers", id=user)).body == {}
    root = api.region.region.world.root.uuid
    again = await api(
        "createAccount", username="x", domainid=root, accounttype=0, accountid=account, **PERSON
    )
    assert again.error == (530, "Entity already exists ")
    again = await api("createUser", username="x", account="admin", userid=user, **PERSON)
    assert again.error == (530, "Entity already exists ")
    again = await api("createDomain", name="x", domainid=below)
    assert again.error[0] == 530 and "is null" in again.error[1]


async def test_an_account_that_failed_leaves_its_uuid_free(api: Api) -> None:
    _, user = await api.account("one", await api.domain("d"))
    asked: dict[str, Any] = {"username": "two", "accounttype": 0, "accountid": NOBODY, **PERSON}
    assert (await api("createAccount", userid=user, **asked)).error == (530, "Entity already exists ")
    assert (await api("createAccount", **asked)).body["account"]["id"] == NOBODY


async def test_lists_are_cut_at_500_and_say_nothing(api: Api) -> None:
    api.region.load(domains=3, accounts=601, users=700)
    for command, name, count in (("listUsers", "user", 702), ("listAccounts", "account", 603)):
        cut = (await api(command, listall="true", details="min")).body
        assert (cut["count"], len(cut[name])) == (count, 500)
        whole = (await api(command, listall="true", pagesize=-1)).body
        assert (whole["count"], len(whole[name])) == (count, count)
        second = (await api(command, listall="true", page=2, pagesize=500)).body
        assert len(second[name]) == count - 500
        assert not {row["id"] for row in cut[name]} & {row["id"] for row in second[name]}


async def test_names_are_unique_without_case(api: Api) -> None:
    domain = await api.domain("Alpha")
    account, _ = await api.account("Acc", domain)
    other, user = await api.account("Other", domain)
    assert (await api("createDomain", name="ALPHA")).error[0] == 431
    asked: dict[str, Any] = {"domainid": domain, "accounttype": 0, **PERSON}
    assert (await api("createAccount", username="new", account="ACC", **asked)).error[0] == 431
    assert (await api("createUser", username="ACC", account="Acc", domainid=domain, **PERSON)).error[0] == 530
    assert (await api("updateUser", id=user, username="ACC")).error[0] == 431
    assert (await api("updateDomain", id=domain, name="alpha")).body["domain"]["name"] == "alpha"
    assert (await api("updateAccount", id=other, domainid=domain, newname="acc")).error[0] == 431
    assert (await api("updateAccount", id=other, newname="acc")).status == 200
    twins = (await api("listAccounts", name="acc", domainid=domain)).body["account"]
    assert {row["id"] for row in twins} == {account, other}


async def test_an_update_without_anything_to_write_fails(api: Api) -> None:
    account, _ = await api.account("acc", await api.domain("d"))
    api.heard()
    assert (await api("updateAccount", id=account)).error[0] == 530
    assert (await api("updateAccount", id=account, **{"accountdetails[0].k": "v"})).error[0] == 530
    assert api.heard() == ["ACCOUNT.UPDATE Started", "ACCOUNT.UPDATE Completed"] * 2


async def test_network_domains(api: Api) -> None:
    domain = await api.domain("d", networkdomain="d.example.org")
    account, _ = await api.account("a", domain, networkdomain="a.example.org")
    assert (await api("updateDomain", id=domain, networkdomain="not valid!")).error[0] == 431
    assert "networkdomain" not in (await api("updateDomain", id=domain, networkdomain="")).body["domain"]
    cleared = await api("updateAccount", id=account, networkdomain="")
    assert "networkdomain" not in cleared.body["account"]


async def test_states_of_accounts_and_users(api: Api) -> None:
    domain = await api.domain("d")
    account, user = await api.account("acc", domain)
    assert (await api.job("disableAccount", id=account, lock="false"))["jobstatus"] == 1
    assert (await api("listUsers", id=user)).body["user"][0]["state"] == "enabled"
    made = await api("createUser", username="u", account="acc", domainid=domain, **PERSON)
    assert made.error[0] == 431 and "Unable to find account acc in domain" in made.error[1]
    failed = await api.job("disableAccount", id=account, lock="true")
    assert (failed["jobstatus"], failed["jobresultcode"]) == (2, 530)
    assert (await api("enableUser", id=user)).status == 200
    assert (await api("listAccounts", id=account)).body["account"][0]["state"] == "enabled"
    assert (await api("lockUser", id=user)).body["user"]["state"] == "locked"
    assert (await api("listAccounts", id=account)).body["account"][0]["state"] == "locked"


async def test_removing_twice(api: Api) -> None:
    domain = await api.domain("d")
    account, user = await api.account("acc", domain)
    assert (await api("deleteUser", id=user)).body == {"success": True}
    assert (await api("deleteUser", id=user)).error[0] == 431
    for _ in range(2):
        assert (await api.job("deleteAccount", id=account))["jobresult"] == {"success": True}
    assert (await api.job("deleteDomain", id=domain))["jobstatus"] == 1
    failed = await api.job("deleteDomain", id=domain)
    assert failed["jobstatus"] == 2 and failed["jobresult"]["errortext"].endswith("domain not found")


async def test_what_cannot_be_deleted(api: Api) -> None:
    domain = await api.domain("d")
    _, user = await api.account("acc", domain)
    assert (await api.job("deleteDomain", id=domain))["jobstatus"] == 2
    admin = api.region.admin
    failed = await api.job("deleteAccount", id=admin.accountid)
    assert "own account" in failed["jobresult"]["errortext"]
    service = Api(api.region, (api.region.service.apikey, api.region.service.secretkey))
    failed = await service.job("deleteAccount", id=admin.accountid)
    assert failed["jobresult"]["errortext"] == "The account is default and can't be removed"
    assert (await api("deleteUser", id=admin.userid)).error[1].startswith("The user is default")
    root = api.region.region.world.root.uuid
    assert (await api.job("deleteDomain", id=root, cleanup="true"))["jobresultcode"] == 531
    await api.job("createProject", name="p", account="acc", domainid=domain)
    owner = (await api("listUsers", id=user)).body["user"][0]["accountid"]
    failed = await api.job("deleteAccount", id=owner)
    assert "because it manages the following project(s)" in failed["jobresult"]["errortext"]


async def test_moving_a_domain(api: Api) -> None:
    one, two = await api.domain("one"), await api.domain("two")
    child = await api.domain("child", parentdomainid=one)
    await api.domain("CHILD", parentdomainid=two)
    api.heard()
    for target, text in ((child, "cannot be one of its children"), (one, "cannot be the same")):
        refused = await api("moveDomain", domainid=one, parentdomainid=target)
        assert refused.error[0] == 431 and text in refused.error[1]
    refused = await api("moveDomain", domainid=child, parentdomainid=two)
    assert refused.error[0] == 431 and "already exists for the parent" in refused.error[1]
    assert api.heard() == ["DOMAIN.MOVE Completed"] * 3


async def test_who_may_not_call(api: Api) -> None:
    account, user = await api.account("plain", await api.domain("d"))
    plain = await api.as_user(user)
    assert (await plain("createDomain", name="x")).error[0] == 432
    assert (await plain("getUserKeys", id=user)).error[0] == 432
    assert (await plain("updateUser", id=api.region.admin.userid, email="x@y.z")).error[0] == 531
    assert (await plain("listUsers", id=api.region.admin.userid)).error[0] == 531
    assert (await plain("listusers")).error[0] == 401
    assert (await plain("listUsers", listall="true")).body["count"] == 1
    await api.job("disableAccount", id=account, lock="true")
    assert (await plain("listUsers")).error[0] == 401
    await api("enableAccount", id=account)
    await api.job("disableUser", id=user)
    assert (await plain("listUsers")).error[0] == 401


async def test_a_domain_administrator_stays_below(api: Api) -> None:
    mine, other = await api.domain("mine"), await api.domain("other")
    below = await api.domain("below", parentdomainid=mine)
    _, user = await api.account("da", mine, accounttype=2)
    stranger, _ = await api.account("stranger", other)
    inside, _ = await api.account("inside", below)
    boss = await api.as_user(user)
    domains = (await boss("listDomains", listall="true")).body["domain"]
    assert {row["name"] for row in domains} == {"mine", "below"}
    accounts = (await boss("listAccounts", listall="true")).body["account"]
    assert {row["name"] for row in accounts} == {"da", "inside"}
    assert (await boss("listAccounts", id=stranger)).error[0] == 531
    assert (await boss("createDomain", name="x", parentdomainid=other)).error[0] == 531
    assert (await boss("updateAccount", id=stranger, newname="x")).error[0] == 531
    assert (await boss("updateAccount", id=inside, newname="renamed")).status == 200
    assert (await boss("listDomains", id=other)).error[0] == 531
    assert (await boss("moveDomain", domainid=below, parentdomainid=mine)).error[0] == 432
    made = await boss("createAccount", username="root", domainid=mine, accounttype=1, **PERSON)
    assert made.error[0] == 431


async def test_types_and_roles(api: Api) -> None:
    domain = await api.domain("d")
    asked = {"username": "x", "domainid": domain, **PERSON}
    assert (await api("createAccount", **asked)).error[0] == 431
    assert (await api("createAccount", accounttype=1, **asked)).error[0] == 431
    refused = await api("createAccount", accounttype=3, **asked)
    assert "not associated with any private Zone" in refused.error[1]
    role = (await api("createRole", name="mine", type="User")).body["role"]["id"]
    account, _ = await api.account("acc", domain, roleid=role)
    in_use = await api("deleteRole", id=role)
    assert in_use.error == (531, "Found accounts that have role in use, won't allow to delete role")
    root_admin = next(r.uuid for r in api.region.region.world.roles.values() if r.name == "Root Admin")
    assert (await api("updateAccount", id=account, roleid=root_admin)).error[0] == 531
    assert (await api("deleteRole", id=root_admin)).error == (531, "Default roles cannot be deleted")


async def test_a_role_of_its_own_rules(api: Api) -> None:
    role = (await api("createRole", name="reader", type="User")).body["role"]["id"]
    _, user = await api.account("acc", await api.domain("d"), roleid=role)
    reader = await api.as_user(user)
    assert (await reader("listUsers")).error[0] == 432
    await api("createRolePermission", roleid=role, rule="listAccounts", permission="deny")
    await api("createRolePermission", roleid=role, rule="list*", permission="allow")
    assert (await reader("listUsers")).status == 200
    assert (await reader("listAccounts")).error[0] == 432


async def test_events_are_paged_from_new_to_old_and_read_from_old_to_new(api: Api) -> None:
    for number in range(7):
        await api.domain(f"d{number}")

    async def page(number: int) -> list[str]:
        body = (await api("listEvents", listall="true", type="DOMAIN.CREATE", page=number, pagesize=3)).body
        assert body["count"] == 7
        return [row["resourcename"] for row in body.get("event", [])]

    assert [await page(n) for n in (1, 2, 3, 4)] == [["d4", "d5", "d6"], ["d1", "d2", "d3"], ["d0"], []]


async def test_the_log_resolves_a_moved_user_anew(api: Api) -> None:
    domain = await api.domain("d")
    _, user = await api.account("one", domain)
    two, _ = await api.account("two", domain)
    await api("updateUser", id=user, email="new@example.org")
    assert (await api("moveUser", id=user, accountid=two)).status == 200
    moved = next(body for _, body in api.events if body["event"] == "USER.MOVE")
    assert moved["entityuuid"] != user and moved["Account"] == two
    rows = (await api("listEvents", listall="true", type="USER.UPDATE")).body["event"]
    assert [row["resourceid"] for row in rows] == [moved["entityuuid"]]
    assert (await api("listUsers", id=user)).body["user"][0]["account"] == "two"


async def test_filters_of_the_event_log(api: Api) -> None:
    domain = await api.domain("d")
    await api("createDomain", name="d")
    for filters, count in (
        ({"level": "ERROR"}, 1),
        ({"keyword": "Error while"}, 1),
        ({"resourcetype": "Domain"}, 2),
        ({"resourceid": domain}, 1),
        ({"type": "DOMAIN.CREATE", "level": "INFO"}, 1),
        ({"startdate": "2099-01-01"}, 0),
        ({"enddate": "2000-01-01"}, 0),
        ({"startdate": "2000-01-01", "enddate": "2099-01-01 00:00:00"}, 2),
    ):
        body = (await api("listEvents", listall="true", **filters)).body
        assert body.get("count", 0) == count, filters
    assert (await api("listEvents", startdate="tomorrow")).error[0] == 431


async def test_filters_of_users_and_accounts(api: Api) -> None:
    domain = await api.domain("d")
    account, user = await api.account("acc", domain)
    await api.job("disableUser", id=user)
    for filters, names in (
        ({"state": "disabled"}, ["acc"]),
        ({"keyword": "AC"}, ["acc"]),
        ({"domainid": domain}, ["acc"]),
        ({"account": "acc", "domainid": domain}, ["acc"]),
        ({"accounttype": 1}, ["admin", "svc-sync"]),
        ({"username": "ACC"}, ["acc"]),
        ({"username": "nobody"}, []),
    ):
        rows = (await api("listUsers", listall="true", **filters)).body.get("user", [])
        assert [row["username"] for row in rows] == names, filters
    missing = await api("listUsers", listall="true", account="acc")
    assert missing.error[0] == 431 and missing.error[1].startswith("could not find account acc in domain")
    rows = (await api("listAccounts", listall="true", accounttype=1)).body["account"]
    assert [row["name"] for row in rows] == ["admin", "svc-sync"]
    assert (await api("listAccounts", listall="true", state="locked")).body == {}
    assert (await api("listAccounts", id=account, details="everything")).error[0] == 431


async def test_projects_are_no_accounts(api: Api) -> None:
    await api.job("createProject", name="p")
    names = [row["name"] for row in (await api("listAccounts", listall="true")).body["account"]]
    assert names == ["admin", "svc-sync"]


async def test_changes_must_be_posted_and_expire_when_so_configured(api: Api) -> None:
    await api("updateConfiguration", name="enforce.post.requests.and.timestamps", value="true")
    version = {"signatureVersion": "3"}
    now = datetime.now(UTC)
    soon, far = (f"{now + timedelta(minutes=m):%Y-%m-%dT%H:%M:%S}+0000" for m in (10, 20))
    assert (await api("listUsers")).status == 401
    assert (await api("listUsers", expires=far, **version)).status == 401
    assert (await api("listUsers", expires=soon, **version)).status == 200
    refused = await api("createDomain", name="d", expires=soon, **version)
    assert refused.error == (400, "State changing command createDomain needs to be sent using POST request")
    assert (await api("createDomain", "POST", name="d", expires=soon, **version)).status == 200


async def test_the_wrongly_signed(api: Api) -> None:
    assert (await api("listUsers", signatureVersion="3", expires="2000-01-01T00:00:00Z")).status == 401
    assert (await api("listUsers", signatureVersion="3", expires="2099-01-01T00:00:00+00:00")).status == 200
    unsigned = await api.send([("command", "listUsers"), ("response", "json")])
    assert (unsigned.status, unsigned.key) == (401, "listusersresponse")


async def test_a_session(api: Api) -> None:
    root = api.region.region.world.root.uuid
    asked = [("command", "login"), ("username", "admin"), ("password", "password"), ("response", "json")]
    assert (await api.send([*asked, ("domainId", root)], "POST")).status == 200
    assert (await api.send([*asked, ("domain", "/")], "POST")).status == 200
    assert (await api.send([*asked, ("domain", "/nowhere")], "POST")).status == 531
    assert (await api.send(asked[:2], "POST")).status == 431


async def test_a_session_lives_until_logout_or_a_wrong_key(api: Api) -> None:
    where = api.region.endpoint
    asked = {"command": "login", "username": "admin", "password": "password", "response": "json"}

    async def session(http: aiohttp.ClientSession) -> dict[str, str]:
        async with http.post(where, data=asked) as answer:
            key = (await answer.json())["loginresponse"]["sessionkey"]
        return {"response": "json", "sessionkey": key}

    async def users(http: aiohttp.ClientSession, params: dict[str, str]) -> int:
        async with http.get(where, params={"command": "listUsers", **params}) as answer:
            return answer.status

    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        mine = await session(http)
        assert await users(http, mine) == 200
        async with http.get(where, params={"command": "logout", **mine}) as answer:
            assert await answer.json() == {"logoutresponse": {"description": "success"}}
        assert await users(http, mine) == 401
        mine = await session(http)
        assert await users(http, {**mine, "sessionkey": "wrong"}) == 401
        assert await users(http, mine) == 401
    assert api.heard() == ["USER.LOGIN Completed", "USER.LOGOUT Completed", "USER.LOGIN Completed"]


@pytest.mark.parametrize("kind", ["domain", "account", "user"])
async def test_shapes_of_a_large_listing(api: Api, kind: str) -> None:
    """Each row of a region with 666 accounts has the fields that a simulated one has, and of the same
    types.
    """
    world = api.region.region.world
    api.region.load(domains=2, accounts=3, users=4)
    optional = {"networkdomain", "timezone", "apikey", "created", "parentdomainid", "parentdomainname"}
    optional |= {"accountdetails"}
    simulated = {
        "domain": lambda: render.listed_domain(world, world.domains[2], True),
        "account": lambda: render.account(world, world.accounts[4]),
        "user": lambda: render.user(world.users[4], full=True),
    }[kind]()
    for row in bulk(kind)["rows"]:
        assert set(row) ^ set(simulated) <= optional
        for name in set(row) & set(simulated):
            assert type(row[name]) is type(simulated[name]), name


async def test_a_domain_borrows_two_limits_from_the_account_of_its_number(api: Api) -> None:
    """Recorded: unlimited where that account is a root administrator or gone, the account's default
    elsewhere.
    """
    await api.domain("two")
    await api.domain("three")
    four = await api.domain("four")
    listed = {d["name"]: d["bucketlimit"] for d in (await api("listDomains", listall="true")).body["domain"]}
    assert listed == {"ROOT": "Unlimited", "two": "Unlimited", "three": "Unlimited", "four": "Unlimited"}
    await api.account("acc", four)
    assert (await api("listDomains", id=four)).body["domain"][0]["bucketlimit"] == "20"


async def limit(api: Api, domain: str, most: int, kind: int = 0) -> Answer:
    return await api("updateResourceLimit", domainid=domain, resourcetype=kind, max=most)


async def listed_limit(api: Api, domain: str) -> tuple[str, int]:
    """Of machines, by listDomains and by listResourceLimits."""
    row = (await api("listDomains", id=domain)).body["domain"][0]
    told = (await api("listResourceLimits", domainid=domain, resourcetype=0)).body["resourcelimit"][0]
    return row["vmlimit"], told["max"]


async def test_a_domain_can_have_no_more_than_the_one_above(api: Api) -> None:
    """Source: ResourceLimitManagerImpl.updateResourceLimit. What counts for a domain without a limit is what
    the one above has, and listDomains does not tell that."""
    top = await api.domain("top")
    below = await api.domain("below", parentdomainid=top)
    assert (await limit(api, top, 10)).status == 200
    assert await listed_limit(api, below) == ("Unlimited", 10)
    code, words = (await limit(api, below, 11)).error
    assert (code, "has maximum allowed resource limit 10 for user_vm" in words) == (431, True)
    assert (await limit(api, below, 10)).status == (await limit(api, below, -1)).status == 200
    assert await listed_limit(api, below) == ("Unlimited", -1)
    assert (await limit(api, top, 5)).status == 200, "what is below does not keep it up"
    assert (await limit(api, below, -2)).error[0] == 431
    assert (await limit(api, api.region.region.world.root.uuid, 5)).error[0] == 531
    await api.account("acc", below)
    over = await api("updateResourceLimit", domainid=below, account="acc", resourcetype=0, max=99)
    assert over.status == 200, "an account's is not compared with its domain's"
    assert api.heard().count("RESOURCE.LIMIT.UPDATE Completed") == 5, "none for what is refused"


async def test_capabilities_need_the_rows_of_the_throttling(api: Api) -> None:
    """Recorded: refused without them (read.listCapabilities). With them: fields that listApis names."""
    assert (await api("listCapabilities")).error == (431, "Cannot parse null string")
    region = api.region.region
    region.configuration |= throttling(most=10, interval_s=2)
    told = (await api("listCapabilities")).body["capability"]
    assert (told["apilimitmax"], told["apilimitinterval"]) == (10, 2)
    assert set(told) <= {"cloudstackversion", "apilimitmax", "apilimitinterval", "dynamicrolesenabled"}
    await api("updateConfiguration", name="api.throttling.enabled", value="false")
    assert "apilimitmax" not in (await api("listCapabilities")).body["capability"]


async def test_a_region_tells_one_version_everywhere(api: Api) -> None:
    api.region.region.version = "4.19.3.0"
    api.region.region.configuration |= throttling(most=25, interval_s=1)
    assert (await api("listCapabilities")).body["capability"]["cloudstackversion"] == "4.19.3.0"
    assert (await api("listManagementServers")).body["managementserver"][0]["version"] == "4.19.3.0"
