"""`plan` and `apply`: what they say, and their exit codes. What they do: tests/component/reconcile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.cli.planning import code_of, show, tell_carried
from pipeline.core.drift import Drift, Step, Tally
from pipeline.core.entities import Kind
from pipeline.core.plan import Call
from pipeline.outbox.engine import Engine
from pipeline.outbox.plans import PlanRow, PlanStore, StepState
from pipeline.reconcile.carrying import CHANGED, Carried
from tests.unit.cli.conftest import Call as Command
from tests.unit.outbox.builders import Clock

USER = Step(
    Kind.USER,
    "u1",
    "l1",
    "/shop|acme|jo",
    Drift.DIFFERENT,
    {"email": "old", "name": "jo"},
    {"email": "new", "name": "jo"},
    (Call("updateUser", {"id": "l1", "email": "new"}),),
    ("r1", "r3"),
    "on its way",
)


def kept(engine: Engine, *steps: Step) -> PlanRow:
    store, tally = PlanStore(engine, "berlin", Clock()), Tally()
    number = store.begin()
    tally.add(steps)
    tally.drifts[Drift.MATCHED] += 1_200
    store.add(number, steps)
    return store.end(number, tally, 150)


def test_a_plan_shows_both_values_the_calls_and_how_to_do_it(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    row = kept(engine, USER)
    show(engine, row, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "different  User     /shop|acme|jo",
        "           email: 'old' -> 'new'",
        "           updateUser(id=l1, email=new)",
        "           also goes to r1, r3",
        "           (on its way)",
        "berlin: 1,200 matched, 1 different, 0 missing, 0 extra, 0 conflict.",
        "1 call to berlin, about 2 min 30 s.",
        f"Plan {row.hash}; carry out just this: region-sync apply --plan {row.hash}",
    ]


def test_a_region_that_is_equal_needs_nothing(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    show(engine, kept(engine), as_json=False)
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing is to be done: berlin is equal."
    linked = replace(USER, drift=Drift.MATCHED, here=USER.wanted, calls=(), elsewhere=(), linked=True)
    show(engine, kept(engine, linked), as_json=False)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Nothing is to be done: berlin is equal.",
        "1 of its entities are not linked yet: region-sync join berlin",
    ]


def test_what_was_left_out_and_what_failed_is_named(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    row = kept(engine, USER)
    (step,) = PlanStore(engine, "berlin", Clock()).steps(row.id)
    left_out = replace(step, state=StepState.LEFT_OUT, message=CHANGED)
    failed = replace(step, state=StepState.FAILED, message="held: it would take along 1 VM")
    tell_carried(row, Carried(3, [failed], [left_out], 2), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "left out: User /shop|acme|jo: changed since the plan was made",
        "not done: User /shop|acme|jo: held: it would take along 1 VM",
        f"Plan {row.hash} in berlin: 3 done, 1 left out, 1 not done.",
        "2 are still on their way, and nothing moves: is the worker of berlin running, and the hub? "
        "What was released is carried out when they are.",
    ]
    codes = [code_of(one) for one in (Carried(3), Carried(left_out=[left_out]), Carried(failed=[failed]))]
    assert [*codes, code_of(Carried(waiting=1))] == [0, 2, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("apply", "--plan", "abc"), 1, "'abc' is no plan's hash: give at least 6 of its digits"),
        (
            ("apply", "--plan", "0123456789abcdef"),
            1,
            "there is no plan 0123456789abcdef: make one by `region-sync plan --region NAME`",
        ),
        (("plan", "--region", "oslo"), 2, "region 'oslo' is not configured"),
        (("plan", "--region", "berlin"), 1, "127.0.0.1"),
        (("join", "berlin", "--apply", "--no-self-test"), 1, ""),
    ],
)
def test_one_clear_sentence(
    region_sync: Command, config: str, engine: Engine, arguments: tuple[str, ...], code: int, words: str
) -> None:
    ended = region_sync(*arguments, "-c", config)
    assert ended.code == code
    assert words in ended.err + ended.out
    assert "Traceback" not in ended.err
