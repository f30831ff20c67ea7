"""Each role name that the records use must be in the region once."""

from __future__ import annotations

import pytest

from pipeline.check.finding import Subject, Verdict
from pipeline.check.roles import judge

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL


@pytest.mark.parametrize(
    ("needed", "there", "findings"),
    [
        ({}, {"User": 1}, [(OK, "the records name no role yet")]),
        ({"": 3}, {}, [(OK, "the records name no role yet")]),
        (
            {"User": 40, "Ops": 1},
            {"User": 1, "Ops": 1, "Other": 1},
            [(OK, "all role names that the records use are there: 2")],
        ),
        (
            {"User": 40, "Ops": 1, "Shop": 12},
            {"User": 1, "ops": 1},
            [
                (FAIL, "there is no role named 'Ops', which 1 account needs: make one of that name"),
                (FAIL, "there is no role named 'Shop', which 12 accounts need: make one of that name"),
            ],
        ),
        (
            {"User": 40},
            {"User": 2},
            [(WARN, "there are 2 roles named 'User', which 40 accounts need: one is taken, rename")],
        ),
    ],
)
def test_role_names(
    needed: dict[str, int], there: dict[str, int], findings: list[tuple[Verdict, str]]
) -> None:
    found = judge(Subject("r1", "roles"), needed, there)
    assert [(one.verdict, one.detail) for one in found] == findings


def test_a_missing_role_comes_by_itself_where_roles_are_synced() -> None:
    (one,) = judge(Subject("r1", "roles"), {"Ops": 2}, {"User": 1}, synced=True)
    assert one.verdict is WARN and "which 2 accounts need: it comes" in one.detail
