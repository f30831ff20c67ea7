"""Plans in pure values: their order, their hash, their cost."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.drift import AT_ONCE, HASH_DIGITS, Drift, Step, Tally, plan_hash, shown
from pipeline.core.entities import Kind
from pipeline.core.plan import Call

WORDS = st.sampled_from(["a", "b", "c"])
CALLS = st.builds(Call, st.sampled_from(["updateUser", "createUser"]), st.dictionaries(WORDS, WORDS))
FIELDS = st.none() | st.dictionaries(WORDS, WORDS, min_size=1)
STEPS = st.builds(
    Step,
    kind=st.sampled_from(list(Kind)),
    uuid=WORDS,
    local=WORDS,
    path=WORDS,
    drift=st.sampled_from(list(Drift)),
    here=FIELDS,
    wanted=FIELDS,
    calls=st.lists(CALLS, max_size=2).map(tuple),
    elsewhere=st.lists(WORDS, max_size=2).map(tuple),
    depth=st.integers(0, 255),
)


@given(st.lists(STEPS), st.randoms())
def test_a_plan_s_hash_does_not_depend_on_the_order_it_was_found_in(
    steps: list[Step], random: object
) -> None:
    one = [step.fingerprint for step in steps]
    other = list(one)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert plan_hash("r1", one) == plan_hash("r1", other)
    assert len(plan_hash("r1", one)) == HASH_DIGITS
    assert plan_hash("r1", one) != plan_hash("r2", one)


@given(STEPS, STEPS)
def test_two_steps_have_one_fingerprint_only_where_they_do_the_same(one: Step, other: Step) -> None:
    def same(step: Step) -> Step:
        return replace(step, path="", note="", depth=0, elsewhere=tuple(sorted(step.elsewhere)))

    assert (one.fingerprint == other.fingerprint) == (same(one) == same(other))


@given(STEPS, st.integers(0, 254))
def test_parents_are_made_before_their_children_and_go_after_them(step: Step, depth: int) -> None:
    call = (Call("x", {}),)
    made = replace(step, calls=call, here=None, wanted={"name": "n"})
    gone = replace(step, calls=call, here={"name": "n"}, wanted=None)
    above, below = (replace(made, kind=Kind.DOMAIN, depth=n) for n in (depth, depth + 1))
    account, user = (replace(made, kind=kind, depth=255) for kind in (Kind.ACCOUNT, Kind.USER))
    assert above.place < below.place < account.place < user.place
    above, below = (replace(gone, kind=Kind.DOMAIN, depth=n) for n in (depth, depth + 1))
    account, user_gone = (replace(gone, kind=kind, depth=255) for kind in (Kind.ACCOUNT, Kind.USER))
    assert user.place < user_gone.place < account.place < below.place < above.place
    assert replace(step, calls=(), linked=False).place > above.place


def test_the_time_is_what_was_measured_there_or_else_what_is_known_of_the_call() -> None:
    tally = Tally()
    tally.commands.update({"createUser": 100, "updateDomain": 10, "moveUser": 1})
    assert tally.seconds({}) == round((100 * 300 + 11 * 30) / 1000 / AT_ONCE)
    assert tally.seconds({"createUser": 10.0}) == round((100 * 10 + 11 * 30) / 1000 / AT_ONCE)


def test_a_plan_is_equal_where_everything_matches() -> None:
    tally = Tally()
    tally.drifts[Drift.MATCHED] = 5
    assert tally.equal
    tally.drifts[Drift.EXTRA] = 1
    assert not tally.equal


def test_a_call_is_shown_without_a_secret() -> None:
    call = Call("createAccount", {"account": "a"}, needs_password=True, role="User")
    assert shown(call) == "createAccount(account=a, role=User)"
