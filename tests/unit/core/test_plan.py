"""Every verb of every kind as the exact calls, in order; what is left alone; and the law that a plan that was
carried out leaves nothing to plan."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.entities import FIELDS, Kind
from pipeline.core.limits import UNLIMITED
from pipeline.core.plan import LIFE, Call, Plan, Target, as_made_here, latest, plan
from tests.unit.core.model import LIMITS
from tests.unit.core.world import STATES, Region

DOMAIN = {"name": "d", "networkdomain": "", "parent": "p"}
ACCOUNT = {"name": "a", "networkdomain": "", "role": "User", "state": "enabled", "parent": "d"}
USER = {
    "name": "u",
    "firstname": "F",
    "lastname": "L",
    "email": "e@x.org",
    "timezone": "",
    "state": "enabled",
    "parent": "a",
}
ROLE = {
    "name": "r",
    "description": "",
    "type": "User",
    "public": "true",
    "rules": "allow listUsers\ndeny *",
    "parent": "ROOT",
}
FULL = {Kind.DOMAIN: DOMAIN, Kind.ACCOUNT: ACCOUNT, Kind.USER: USER, Kind.ROLE: ROLE}


def target(kind: Kind, actual: dict[str, str] | None, wanted: dict[str, str] | None, **more: Any) -> Target:
    """A target whose every difference is known to both sides."""
    more.setdefault("known", actual)
    return Target(kind, "id", actual, wanted, domain="dom", account="acc", **more)


def update(kind: Kind, before: dict[str, str], after: dict[str, str]) -> Plan:
    return plan(target(kind, FULL[kind] | before, FULL[kind] | after))


CREATED: list[tuple[Kind, dict[str, str], list[Call]]] = [
    (Kind.DOMAIN, {}, [Call("createDomain", {"name": "d", "parentdomainid": "p", "domainid": "id"})]),
    (
        Kind.DOMAIN,
        {"networkdomain": "n"},
        [Call("createDomain", {"name": "d", "parentdomainid": "p", "domainid": "id", "networkdomain": "n"})],
    ),
    (
        Kind.ACCOUNT,
        {"state": "locked", "networkdomain": "n"},
        [
            Call(
                "createAccount",
                {"account": "a", "domainid": "d", "accountid": "id", "networkdomain": "n"},
                needs_password=True,
                role="User",
            ),
            Call("disableAccount", {"id": "id", "lock": "true"}),
        ],
    ),
    (
        Kind.USER,
        {"timezone": "UTC", "state": "disabled"},
        [
            Call(
                "createUser",
                {
                    "username": "u",
                    "account": "acc",
                    "domainid": "dom",
                    "userid": "id",
                    "firstname": "F",
                    "lastname": "L",
                    "email": "e@x.org",
                    "timezone": "UTC",
                },
                needs_password=True,
            ),
            Call("disableUser", {"id": "id"}),
        ],
    ),
    (
        Kind.ROLE,
        {"description": "d"},
        [
            Call(
                "importRole",
                {
                    "name": "r",
                    "type": "User",
                    "ispublic": "true",
                    "description": "d",
                    "forced": "false",
                    "rules": ROLE["rules"],
                },
            )
        ],
    ),
    (
        Kind.ROLE,
        {"rules": ""},
        [Call("createRole", {"name": "r", "type": "User", "ispublic": "true"})],
    ),
]


@pytest.mark.parametrize(("kind", "wanted", "calls"), CREATED)
def test_what_is_missing_is_created(kind: Kind, wanted: dict[str, str], calls: list[Call]) -> None:
    assert plan(target(kind, None, FULL[kind] | wanted)) == Plan(tuple(calls))


@pytest.mark.parametrize("kind", Kind)
def test_what_must_go_is_deleted_without_cleanup_and_once(kind: Kind) -> None:
    assert plan(target(kind, FULL[kind], None)).calls == (Call(f"delete{kind}", {"id": "id"}),)
    assert plan(target(kind, None, None)) == Plan()


ID = {"id": "id"}
REPLACED = {"id": "id", "name": "r", "type": "User", "ispublic": "true", "forced": "true"}
UPDATED: list[tuple[Kind, dict[str, str], list[Call]]] = [
    (Kind.ROLE, {"name": "n"}, [Call("updateRole", ID | {"name": "n"})]),
    (Kind.ROLE, {"type": "DomainAdmin"}, [Call("updateRole", ID | {"type": "DomainAdmin"})]),
    (Kind.ROLE, {"description": "n"}, [Call("updateRole", ID | {"description": "n"})]),
    (Kind.ROLE, {"public": "false"}, [Call("updateRole", ID | {"ispublic": "false"})]),
    (Kind.ROLE, {"rules": "deny x"}, [Call("importRole", REPLACED | {"rules": "deny x"})]),
    (
        Kind.ROLE,
        {"rules": "deny x", "name": "n", "description": "d"},
        [
            Call("updateRole", ID | {"name": "n"}),
            Call("importRole", REPLACED | {"name": "n", "description": "d", "rules": "deny x"}),
        ],
    ),
    (
        Kind.ROLE,
        {"rules": ""},  # a role without rules allows nothing, and so does what stands there for a moment
        [
            Call("importRole", REPLACED | {"rules": "deny *"}),
            Call("deleteRolePermission", {"roleid": "id"}),
        ],
    ),
    (Kind.DOMAIN, {"name": "n"}, [Call("updateDomain", ID | {"name": "n"})]),
    (Kind.DOMAIN, {"networkdomain": "n"}, [Call("updateDomain", ID | {"networkdomain": "n"})]),
    (Kind.DOMAIN, {"parent": "q"}, [Call("moveDomain", {"domainid": "id", "parentdomainid": "q"})]),
    (
        Kind.DOMAIN,
        {"name": "n", "parent": "q"},
        [
            Call("moveDomain", {"domainid": "id", "parentdomainid": "q"}),
            Call("updateDomain", ID | {"name": "n"}),
        ],
    ),
    (Kind.ACCOUNT, {"name": "n"}, [Call("updateAccount", ID | {"newname": "n", "domainid": "dom"})]),
    (Kind.ACCOUNT, {"networkdomain": "n"}, [Call("updateAccount", ID | {"networkdomain": "n"})]),
    (Kind.ACCOUNT, {"role": "R"}, [Call("updateAccount", ID, role="R")]),
    (
        Kind.ACCOUNT,
        {"name": "n", "role": "R", "networkdomain": "x"},
        [Call("updateAccount", ID | {"networkdomain": "x", "newname": "n", "domainid": "dom"}, role="R")],
    ),
    (Kind.ACCOUNT, {"parent": "elsewhere"}, []),
    (Kind.USER, {"name": "n"}, [Call("updateUser", ID | {"username": "n"})]),
    (Kind.USER, {"email": "e"}, [Call("updateUser", ID | {"email": "e"})]),
    (
        Kind.USER,
        {"firstname": "1", "lastname": "2"},
        [Call("updateUser", ID | {"firstname": "1", "lastname": "2"})],
    ),
    (Kind.USER, {"timezone": "UTC"}, [Call("updateUser", ID | {"timezone": "UTC"})]),
    (Kind.USER, {"parent": "b"}, [Call("moveUser", ID | {"accountid": "b"})]),
    (
        Kind.USER,
        {"state": "locked", "parent": "b", "email": "e"},
        [
            Call("lockUser", ID),
            Call("moveUser", ID | {"accountid": "b"}),
            Call("updateUser", ID | {"email": "e"}),
        ],
    ),
]


@pytest.mark.parametrize(("kind", "wanted", "calls"), UPDATED)
def test_a_difference_costs_the_least_calls(kind: Kind, wanted: dict[str, str], calls: list[Call]) -> None:
    assert update(kind, {}, wanted) == Plan(tuple(calls))


def test_access_is_given_back_last() -> None:
    made = update(Kind.USER, {"state": "disabled"}, {"parent": "b", "email": "e"})
    assert [call.command for call in made.calls] == ["moveUser", "updateUser", "enableUser"]


def test_what_was_set_can_be_cleared() -> None:
    assert update(Kind.DOMAIN, {"networkdomain": "n"}, {}).calls == (
        Call("updateDomain", ID | {"networkdomain": ""}),
    )


LOCK, CLOSE = Call("disableAccount", ID | {"lock": "true"}), Call("disableAccount", ID | {"lock": "false"})
STATE_CALLS: list[tuple[Kind, str, str, list[Call]]] = [
    (Kind.ACCOUNT, "enabled", "disabled", [CLOSE]),
    (Kind.ACCOUNT, "enabled", "locked", [LOCK]),
    (Kind.ACCOUNT, "locked", "disabled", [CLOSE]),
    (Kind.ACCOUNT, "disabled", "locked", [Call("enableAccount", ID), LOCK]),
    (Kind.ACCOUNT, "disabled", "enabled", [Call("enableAccount", ID)]),
    (Kind.ACCOUNT, "locked", "enabled", [Call("enableAccount", ID)]),
    (Kind.USER, "enabled", "disabled", [Call("disableUser", ID)]),
    (Kind.USER, "enabled", "locked", [Call("lockUser", ID)]),
    (Kind.USER, "locked", "disabled", [Call("disableUser", ID)]),
    (Kind.USER, "disabled", "locked", [Call("enableUser", ID), Call("lockUser", ID)]),
    (Kind.USER, "disabled", "enabled", [Call("enableUser", ID)]),
    (Kind.USER, "locked", "enabled", [Call("enableUser", ID)]),
]


@pytest.mark.parametrize(("kind", "before", "after", "calls"), STATE_CALLS)
def test_from_each_state_to_each(kind: Kind, before: str, after: str, calls: list[Call]) -> None:
    assert update(kind, {"state": before}, {"state": after}) == Plan(tuple(calls))


@pytest.mark.parametrize("kind", Kind)
def test_nothing_to_do(kind: Kind) -> None:
    for known in (None, FULL[kind], FULL[kind] | {"name": "other"}):
        assert plan(target(kind, FULL[kind], FULL[kind], known=known)) == Plan()


LEFT: list[tuple[dict[str, str] | None, dict[str, str] | None, bool]] = [
    ({"email": "new"}, None, False),  # as the region was known
    (None, {"email": "new"}, False),  # as it was last applied, though the hub does not know yet
    ({"email": "old"}, {"email": "older"}, True),
    ({"email": "old"}, None, True),
    (None, {"email": "old"}, True),
    (None, None, True),  # a creation done again, after somebody changed what it made
]


@pytest.mark.parametrize(("known", "applied", "left"), LEFT)
def test_a_value_that_nothing_explains_is_left_alone(
    known: dict[str, str] | None, applied: dict[str, str] | None, left: bool
) -> None:
    """The region holds "new"; "wanted" is on its way. The other difference is done in either case."""
    made = plan(
        target(
            Kind.USER,
            USER | {"email": "new", "firstname": "F"},
            USER | {"email": "wanted"},
            known=None if known is None else USER | known,
            applied=None if applied is None else USER | applied,
        )
    )
    assert made.left_alone == (("email",) if left else ())
    assert made.calls == (() if left else (Call("updateUser", ID | {"email": "wanted"}),))


def test_the_other_fields_are_done_all_the_same() -> None:
    made = plan(
        target(Kind.USER, USER | {"email": "mine"}, USER | {"email": "w", "firstname": "w"}, known=USER)
    )
    assert made == Plan((Call("updateUser", ID | {"firstname": "w"}),), ("email",))


def test_what_creation_left_open_is_closed() -> None:
    """Made, and dead before it was disabled: enabled is then nobody's wish."""
    made = plan(target(Kind.USER, USER, USER | {"state": "disabled"}, known=None))
    assert made == Plan((Call("disableUser", ID),))
    by_hand = plan(target(Kind.USER, USER | {"state": "locked"}, USER | {"state": "disabled"}, known=None))
    assert by_hand == Plan((), ("state",))


def test_what_was_there_and_is_gone_is_not_made_again() -> None:
    assert plan(target(Kind.USER, None, USER, known=USER)) == Plan((), (LIFE,))
    assert plan(target(Kind.USER, None, USER, known=None, held=True)) == Plan((), (LIFE,))


def any_fields(kind: Kind) -> st.SearchStrategy[dict[str, str]]:
    texts = {name: st.sampled_from(("", "x", "y", "ö \x00\n")) for name in FIELDS[kind]}
    texts["name"] = texts["parent"] = st.sampled_from(("x", "y", "z"))
    if "state" in texts:
        texts["state"] = st.sampled_from(STATES)
    if kind is Kind.ACCOUNT:
        texts["parent"] = st.just("x")  # no call moves an account
    if kind is Kind.ROLE:
        texts["parent"] = st.just("ROOT")
        texts["type"] = st.sampled_from(("User", "DomainAdmin"))
        texts["public"] = st.sampled_from(("true", "false"))
    limited = kind in (Kind.DOMAIN, Kind.ACCOUNT)
    limits = dict.fromkeys(LIMITS, st.sampled_from(("7", "20", UNLIMITED))) if limited else {}
    return st.fixed_dictionaries(texts, optional=limits)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    kind = draw(st.sampled_from(tuple(Kind)))
    sides = st.none() | any_fields(kind)
    wanted = draw(sides)
    return Target(
        kind=kind,
        uuid="id",
        actual=draw(sides),
        wanted=wanted,
        known=draw(sides),
        applied=draw(sides),
        held=draw(st.booleans()),
        domain="x",
        account=(wanted or {}).get("parent", ""),
    )


def test_what_only_we_can_have_made_is_brought_up_to_date() -> None:
    """All of it but the state: that changes without an event, and creation leaves it enabled."""
    made = USER | {"email": "old", "state": "disabled"}
    given_ = target(Kind.USER, made, USER | {"email": "new", "state": "locked"}, known=None)
    assert set(plan(given_).left_alone) == {"email", "state"}
    ours = plan(as_made_here(given_))
    assert ours.calls == (Call("updateUser", {"id": "id", "email": "new"}),)
    assert ours.left_alone == ("state",)


@pytest.mark.parametrize("more", [{"known": USER}, {"known": None, "applied": USER}])
def test_what_was_known_here_is_nobodys_making_but_the_regions(more: dict[str, Any]) -> None:
    given_ = target(Kind.USER, USER | {"email": "local"}, USER | {"email": "new"}, **more)
    assert plan(as_made_here(given_)) == plan(given_)
    assert plan(given_).left_alone == ("email",)


@given(targets())
def test_after_a_plan_was_carried_out_there_is_nothing_to_plan(given_: Target) -> None:
    region = Region("r")
    if given_.actual is not None:
        region.put("id", dict(given_.actual))
    first = plan(given_)
    for call in first.calls:
        region.execute(call, "id")
    after = region.read("id")
    again = Target(**{name: getattr(given_, name) for name in Target.__slots__} | {"actual": after})
    assert plan(again).calls == ()
    if LIFE not in first.left_alone and given_.wanted is not None:
        assert after is not None
        differing = {name for name, text in given_.wanted.items() if after.get(name, text) != text}
        assert differing == set(first.left_alone)


K, A = {"name": "known"}, {"name": "applied"}


@pytest.mark.parametrize(
    ("known", "settled", "applied", "counts"),
    [
        pytest.param(K, None, A, (K, A), id="nobody can tell which is the later one"),
        pytest.param(K, 3, A, (K, {}), id="known since it was applied"),
        pytest.param(K, 2, A, ({}, A), id="applied since it was known"),
        pytest.param(None, 2, A, (None, A), id="not known to be there"),
        pytest.param(K, 2, None, (K, None), id="never applied"),
    ],
)
def test_of_what_is_known_and_what_was_applied_the_later_one_counts(
    known: Any, settled: int | None, applied: Any, counts: tuple[Any, Any]
) -> None:
    assert latest(known, settled, applied, 3) == counts


@pytest.mark.parametrize("settled", [2, 3])
def test_a_value_that_comes_back_is_somebodys_change(settled: int) -> None:
    """A user was disabled again, before anybody had read it, while its enabling is on its way."""
    user = dict.fromkeys(FIELDS[Kind.USER], "x")
    older, later = user | {"state": "disabled"}, user | {"state": "enabled"}
    known, applied = (older, later) if settled == 2 else (later, older)
    sides = latest(known, settled, applied, 3)
    target = Target(Kind.USER, "u", actual=older, wanted=later, known=sides[0], applied=sides[1], held=True)
    assert plan(target) == Plan((), ("state",))
