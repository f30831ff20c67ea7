"""The laws of the chaos run can be broken: each by a made-up journal that breaks only it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.faults.journal import LIFE, Held, Write
from tests.faults.laws import Breaches, judge

U = "u-1"
P = "p-1"


def person(region: str, before: str | None, after: str | None, field: str = "email") -> Write:
    return Write(region, True, U, field, before, after, 0, direct=True)


def sync(region: str, before: str | None, after: str | None, field: str = "email") -> Write:
    return Write(region, False, U, field, before, after, 0, direct=True)


def taken_along(uuid: str, region: str) -> Write:
    return Write(region, True, uuid, LIFE, "present", None, 0)


MADE = (person("r1", None, "present", LIFE), person("r1", None, "a"), sync("r2", None, "a"))


def everywhere(email: str) -> dict[str, Held]:
    return {name: {U: {LIFE: "present", "email": email}} for name in ("r1", "r2")}


NOWHERE: dict[str, Held] = {"r1": {}, "r2": {}}


@pytest.mark.parametrize(
    ("writes", "held", "lost", "back"),
    [
        pytest.param(MADE, everywhere("a"), 0, 0, id="made and spread"),
        pytest.param((*MADE, person("r1", "a", "b")), everywhere("b"), 0, 0, id="changed and spread"),
        pytest.param((*MADE, person("r1", "a", "b")), everywhere("a"), 1, 0, id="a change that never left"),
        pytest.param(
            (*MADE, person("r1", "a", "b"), sync("r2", "a", "b"), sync("r1", "b", "a")),
            everywhere("a"),
            0,
            1,
            id="a replaced value is back",
        ),
        pytest.param(
            (*MADE, person("r1", "a", "b"), person("r2", "b", "a")), everywhere("a"), 0, 0, id="said again"
        ),
        pytest.param(MADE, everywhere("z"), 1, 0, id="a value that nobody said"),
        pytest.param(MADE, NOWHERE, 1, 0, id="gone by itself"),
        pytest.param((*MADE, taken_along(U, "r2")), NOWHERE, 0, 0, id="gone with what it was in"),
        pytest.param(
            (*MADE, person("r1", None, P, "parent"), taken_along(P, "r2")),
            NOWHERE,
            0,
            0,
            id="made in something that was removed",
        ),
        pytest.param(
            (
                *MADE,
                person("r1", None, P, "parent"),
                Write("r1", True, P, "parent", None, "p-2", 0),
                taken_along("p-2", "r2"),
            ),
            NOWHERE,
            0,
            0,
            id="made in something whose parent was removed",
        ),
        pytest.param(
            (*MADE, person("r1", None, P, "parent"), person("r1", P, "p-2", "parent"), taken_along(P, "r2")),
            NOWHERE,
            1,
            0,
            id="gone though it had moved away from what was removed",
        ),
        pytest.param((sync("r1", None, "present", LIFE),), NOWHERE, 0, 0, id="a stand-in of the sync's own"),
        pytest.param((*MADE, person("r2", "present", None, LIFE)), NOWHERE, 0, 0, id="removed"),
        pytest.param(
            (*MADE, person("r2", "present", None, LIFE)), everywhere("a"), 0, 1, id="removed and back"
        ),
        pytest.param(
            (*MADE, taken_along(U, "r2")),
            everywhere("a"),
            0,
            0,
            id="taken along where it had moved away from",
        ),
    ],
)
def test_a_breach_is_named(writes: Sequence[Write], held: dict[str, Held], lost: int, back: int) -> None:
    found = judge(writes, held, ())
    assert (len(found.lost), len(found.back)) == (lost, back), found


def test_of_two_that_did_not_know_of_each_other_the_loser_is_in_the_ledger() -> None:
    writes = (*MADE, person("r1", "a", "b"), person("r2", "a", "c"), sync("r2", "c", "b"))
    told = judge(writes, everywhere("b"), [(U, "email", "c")])
    assert told == Breaches(ledger=1)
    untold = judge(writes, everywhere("b"), ())
    assert len(untold.lost) == 1
    assert "'c', said in r2" in untold.lost[0]


def test_what_was_made_in_something_removed_elsewhere_is_in_the_ledger_when_it_goes() -> None:
    assert judge(MADE, NOWHERE, [(U, LIFE, "present")]) == Breaches(ledger=1)


@pytest.mark.parametrize(
    ("then", "broken"),
    [
        pytest.param(("r1", 5), True, id="the same region"),
        pytest.param(("r2", 5), True, id="one that knew"),
        pytest.param(("r3", 5), False, id="one that did not know"),
        pytest.param(("r1", 1), False, id="in the same second"),
    ],
)
def test_who_spoke_last_and_knew_must_be_heard(then: tuple[str, int], broken: bool) -> None:
    region, second = then
    writes = (
        Write("r1", True, U, LIFE, None, "present", 0),
        Write("r1", True, U, "state", "enabled", "disabled", 1),
        Write("r2", False, U, "state", "enabled", "disabled", 2),
        Write(region, True, U, "state", "disabled", "locked", second),
    )
    held: dict[str, Held] = {"r1": {U: {LIFE: "present", "state": "disabled"}}}
    assert bool(judge(writes, held, ()).lost) is broken
    assert not judge(writes, held, [(U, "state", "locked")]).lost


@pytest.mark.parametrize("made_by_person", [False, True])
@pytest.mark.parametrize("written_there", [False, True])
def test_what_was_taken_back_is_not_lost_unless_the_sync_wrote_there_meanwhile(
    written_there: bool, made_by_person: bool
) -> None:
    """Somebody locks a user and enables it again, while it is disabled elsewhere."""
    between = [Write("r2", False, U, "state", "locked", "disabled", 4)] * written_there
    before = "disabled" if written_there else "locked"
    writes = [
        Write("r2", made_by_person, U, "state", None, "enabled", 0),
        Write("r1", True, U, "state", "enabled", "disabled", 1),
        Write("r2", True, U, "state", "enabled", "locked", 3),
        *between,
        Write("r2", True, U, "state", before, "enabled", 5),
        Write("r2", False, U, "state", "enabled", "disabled", 6),
    ]
    held: dict[str, Held] = {"r1": {U: {LIFE: "present", "state": "disabled"}}}
    assert len(judge(writes, held, []).lost) == written_there
