"""API objects as a real region gave them, as Snapshots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.cloudstack.snapshots import Identity, snapshot
from pipeline.core.entities import DISABLED, ENABLED, FIELDS, LOCKED, ROOT, Kind
from pipeline.core.limits import ACCOUNT_LIMITS, DOMAIN_LIMITS, UNLIMITED
from tests.unit.cloudstack.conftest import item, recorded

ROOT_UUID = "1ce5074d-e714-11f1-b5ac-02fc00000001"
ADMIN_ACCOUNT = "1ce533fe-e714-11f1-b5ac-02fc00000001"
OWN = Identity(
    root=ROOT_UUID,
    user="7789ed14-7342-4fd1-ba0b-0dc07ff67cfb",
    account="7cdfac02-6dd8-4530-be7d-1d2b89baacba",
    reserved=frozenset({ADMIN_ACCOUNT}),
)


def test_a_domain_under_root() -> None:
    found = snapshot(Kind.DOMAIN, item("domain.update.networkdomain", "domain"), OWN)
    assert found.fields == {"name": "beta", "networkdomain": "beta2.example.org", "parent": ROOT}
    assert found.created == 1_795_421_888_000
    assert not found.protected


def test_a_cleared_network_domain_is_empty() -> None:
    found = snapshot(Kind.DOMAIN, item("domain.update.networkdomain.clear", "domain"), OWN)
    assert found.fields is not None
    assert found.fields["networkdomain"] == ""


def test_a_domain_below_another() -> None:
    found = snapshot(Kind.DOMAIN, item("move.domain.read", "domain"), OWN)
    assert found.fields is not None
    assert found.fields["parent"] == "487d9f70-0614-4f3e-ac20-da5a049933ad"


def test_the_root_domain_is_protected() -> None:
    domains = recorded("read.listDomains.details.min")["listdomainsresponse"]["domain"]
    protected = [found for found in (snapshot(Kind.DOMAIN, obj, OWN) for obj in domains) if found.protected]
    assert [(found.uuid, found.created) for found in protected] == [(ROOT_UUID, None)]


def test_an_account_with_its_user() -> None:
    found = snapshot(Kind.ACCOUNT, item("account.create.full", "account"), OWN)
    assert found.fields == {
        "name": "full",
        "networkdomain": "full.example.org",
        "role": "User",
        "state": ENABLED,
        "parent": "e1512d57-4762-4792-84f8-e60be947259c",
    }
    (user,) = found.users
    assert user.fields == {
        "name": "full",
        "firstname": "Ffull",
        "lastname": "Lfull",
        "email": "full@ex.org",
        "timezone": "Europe/Berlin",
        "state": ENABLED,
        "parent": found.uuid,
    }


@pytest.mark.parametrize(
    ("scenario", "state"),
    [("account.read.byid", ENABLED), ("account.read.locked", LOCKED), ("account.read.disabled", DISABLED)],
)
def test_the_states_of_an_account(scenario: str, state: str) -> None:
    found = snapshot(Kind.ACCOUNT, item(scenario, "account"), OWN)
    assert found.fields is not None
    assert found.fields["state"] == state


def test_the_answer_of_a_job_is_a_snapshot_too() -> None:
    found = snapshot(Kind.USER, item("user.disable", "user", 2), OWN)
    assert found.fields is not None
    assert found.fields["state"] == DISABLED


def test_a_user_without_a_time_zone_has_an_empty_one() -> None:
    found = snapshot(Kind.USER, item("user.create", "user"), OWN)
    assert found.fields is not None
    assert found.fields["timezone"] == ""
    assert found.fields["parent"] == "60b982c6-e643-4a09-8011-9949172e6e9f"


def test_users_come_oldest_first() -> None:
    account = item("account.create.full", "account")
    first = {**account["user"][0], "id": "older", "created": "2020-01-01T00:00:00+0000"}
    found = snapshot(Kind.ACCOUNT, {**account, "user": [account["user"][0], first]}, OWN)
    assert found.users[0].uuid == "older"


def test_only_what_is_the_regions_own_is_protected() -> None:
    accounts = recorded("read.listAccounts.details.min")["listaccountsresponse"]["account"]
    found = [snapshot(Kind.ACCOUNT, obj, OWN) for obj in accounts]
    left = {one.fields["name"]: one.root_admin for one in found if one.protected and one.fields}
    assert left == {"admin": False, "svc-sync": False, "ra-type1": True, "ra-role": True}
    assert all(user.protected == one.protected for one in found for user in one.users)
    assert any(one.users for one in found if not one.protected)


def _user(**more: Any) -> dict[str, Any]:
    return {**item("user.create", "user"), **more}


@pytest.mark.parametrize(
    "obj",
    [
        _user(id=OWN.user),
        _user(isdefault=True),
        _user(accounttype=5),
        _user(accountid=OWN.account),
        _user(accountid=ADMIN_ACCOUNT),
    ],
)
def test_users_of_the_regions_own_accounts_are_protected(obj: dict[str, Any]) -> None:
    assert snapshot(Kind.USER, obj, OWN).protected
    assert not snapshot(Kind.USER, _user(), OWN).protected


@pytest.mark.parametrize(
    "more",
    [{"accounttype": 5}, {"isdefault": True}, {"id": OWN.account}, {"name": "system", "accounttype": 1}],
)
def test_accounts_that_are_never_touched(more: dict[str, Any]) -> None:
    account = item("account.create.full", "account")
    assert snapshot(Kind.ACCOUNT, {**account, **more}, OWN).protected
    assert not snapshot(Kind.ACCOUNT, account, OWN).protected


@pytest.mark.parametrize("more", [{"accounttype": 1}, {"roletype": "Admin"}])
def test_root_administrators_are_left_alone_until_they_were_known_as_less(more: dict[str, Any]) -> None:
    account = item("account.create.full", "account")
    for found in (snapshot(Kind.ACCOUNT, {**account, **more}, OWN), snapshot(Kind.USER, _user(**more), OWN)):
        assert (found.protected, found.root_admin) == (True, True)
        assert found.is_left_alone(known=False)
        assert not found.is_left_alone(known=True)
    own = snapshot(Kind.USER, _user(**more, id=OWN.user), OWN)
    assert (own.protected, own.root_admin) == (True, False)
    assert own.is_left_alone(known=True), "our own user is never told, whatever it is made"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_is_text_even_of_a_bare_object(kind: Kind) -> None:
    rules = {"rules": ""} if kind is Kind.ROLE else {}
    found = snapshot(kind, {"id": "x", "created": "yesterday", **rules}, OWN)
    assert found.fields is not None
    assert set(found.fields) == set(FIELDS[kind])
    assert all(isinstance(value, str) for value in found.fields.values())
    assert found.created is None


TELLING = replace(OWN, tells_limits=True)


def limits(kind: Kind, obj: dict[str, Any], identity: Identity = TELLING) -> dict[str, str]:
    fields = snapshot(kind, obj, identity).fields or {}
    assert fields.keys() >= set(FIELDS[kind])
    return {name: text for name, text in fields.items() if name not in FIELDS[kind]}


def test_an_account_s_limits_as_it_was_created() -> None:
    told = limits(Kind.ACCOUNT, item("account.create.full", "account"))
    assert list(told) == list(ACCOUNT_LIMITS)
    assert (told["limit_user_vm"], told["limit_project"], told["limit_memory"]) == ("20", "10", "40960")
    assert limits(Kind.ACCOUNT, item("account.create.full", "account"), OWN) == {}


def test_a_domain_s_limits_without_those_that_are_an_account_s() -> None:
    domain = item("move.domain.read", "domain")
    row = {**domain, **{f"{name}limit": "Unlimited" for name in ("vm", "cpu")}, "bucketlimit": "20"}
    assert limits(Kind.DOMAIN, row) == {"limit_user_vm": UNLIMITED, "limit_cpu": UNLIMITED}
    assert limits(Kind.DOMAIN, domain) == {}, "details=min"
    assert not {"limit_bucket", "limit_object_storage"} & set(DOMAIN_LIMITS)


def test_a_root_administrator_has_no_limits_to_tell() -> None:
    account = {**item("account.create.full", "account"), "accounttype": 1, "vmlimit": "Unlimited"}
    assert limits(Kind.ACCOUNT, account) == {}


@pytest.mark.parametrize("odd", ["many", None, [], {}, True, -7, "1e99999"])
def test_what_is_no_limit_is_not_told(odd: object) -> None:
    account = {**item("account.create.full", "account"), "vmlimit": odd}
    assert set(ACCOUNT_LIMITS) - limits(Kind.ACCOUNT, account).keys() == {"limit_user_vm"}
