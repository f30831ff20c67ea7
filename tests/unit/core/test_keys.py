"""Whose keys are carried, what stands for them, and what the merge and the plan make of a field that a region
may or may not tell of."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import wire
from pipeline.core.digest import digest
from pipeline.core.effect import difference
from pipeline.core.entities import API_KEY, ROOT, Kind
from pipeline.core.keys import FINGERPRINT_DIGITS, KeyPair, KeyPolicy, fingerprint
from pipeline.core.merge import Merged, Outcome, merge
from pipeline.core.plan import Call, Target, plan
from pipeline.core.records import Observation, Position, Record, Topology
from pipeline.core.soundness import flaw

TOPOLOGY = Topology(("r1", "r2", "r3"))
PLAIN = {
    "name": "jo",
    "firstname": "F",
    "lastname": "L",
    "email": "e",
    "timezone": "",
    "state": "enabled",
    "parent": "a1",
}
A, B = fingerprint("key a"), fingerprint("key b")


def test_a_fingerprint_tells_keys_apart_and_nothing_of_them() -> None:
    assert A != B and fingerprint("key a") == A
    assert len(A) == FINGERPRINT_DIGITS and "key a" not in A
    assert fingerprint("") == ""


def test_a_pair_is_never_shown() -> None:
    assert "open" not in repr(KeyPair("open sesame", "open it")) + str(KeyPair("open", "open"))


@pytest.mark.parametrize(
    ("rules", "path", "covered"),
    [
        ({}, "/", False),
        ({}, "/shop", False),
        ({"/": True}, "/", True),
        ({"/": True}, "/shop/berlin", True),
        ({"/": True, "/shop": False}, "/shop/berlin", False),
        ({"/": True, "/shop": False, "/shop/berlin": True}, "/shop/berlin/mitte", True),
        ({"/shop": True}, "/", False),
        ({"/shop": True}, "/shop", True),
        ({"/Shop/": True}, "shop/Berlin", True),  # as a region tells it, and without case
        ({"/shop": True}, "/shops", False),
        ({"/shop": True}, "/other/shop", False),
    ],
)
def test_the_longest_path_counts(rules: dict[str, bool], path: str, covered: bool) -> None:
    assert KeyPolicy(rules).covers(path) is covered


@pytest.mark.parametrize(
    ("rules", "answer"),
    [
        ({}, False),
        ({"/": True}, True),
        ({"/": True, "/a": True}, True),
        ({"/a": False}, False),
        ({"/a": True}, None),
    ],
)
def test_where_all_domains_are_alike_none_need_be_looked_at(
    rules: dict[str, bool], answer: bool | None
) -> None:
    assert KeyPolicy(rules).everywhere is answer


class Story:
    """Observations of one user, one after the other."""

    def __init__(self) -> None:
        self.record: Record | None = None
        self._offsets = count()

    def tell(self, region: str, key: str | None, time: int = 1_000, **more: object) -> Merged:
        """`key`: None where the region does not tell of keys."""
        fields = PLAIN if key is None else {**PLAIN, API_KEY: key}
        seen = Observation(region, Kind.USER, "u1", fields, time)
        merged = merge(self.record, replace(seen, **more), Position("log/0", next(self._offsets)), TOPOLOGY)  # type: ignore[arg-type]
        self.record = merged.record
        return merged

    def settle(self, merged: Merged, telling: set[str]) -> list[Merged]:
        """What was sent arrives; a region that tells holds what it was sent, or none as creation left it."""
        return [
            self.tell(
                one.region,
                None if one.region not in telling else (one.fields or {}).get(API_KEY, ""),
                applied=one.version,
            )
            for one in merged.desired
        ]


def sent(*merged: Merged) -> dict[str, str | None]:
    """Region → the key that it is sent."""
    return {one.region: (one.fields or {}).get(API_KEY) for each in merged for one in each.desired}


def test_a_new_user_s_keys_follow_once_a_region_tells_of_them() -> None:
    story = Story()
    born = story.tell("r1", A)
    assert sent(born) == {"r2": None, "r3": None}, "no call makes a user with keys"
    after = story.settle(born, {"r2", "r3"})
    assert sent(*after) == {"r2": A, "r3": A}
    assert not any(sent(one) for each in after for one in story.settle(each, {"r2", "r3"}))


def test_a_region_that_does_not_tell_is_never_sent_any() -> None:
    story = Story()
    after = story.settle(story.tell("r1", A), {"r2"})
    assert sent(*after) == {"r2": A}
    changed = story.tell("r1", B, 2_000)
    assert sent(changed) == {"r2": B}
    named = story.tell("r1", B, 3_000, fields={**PLAIN, API_KEY: B, "email": "new"})
    assert sent(named) == {"r2": B, "r3": None}


def test_a_record_from_before_learns_of_keys() -> None:
    story = Story()
    story.settle(story.tell("r1", None), set())
    assert story.record is not None and API_KEY not in story.record.fields
    assert story.tell("r2", "").outcome is Outcome.NOTHING_NEW
    told = story.tell("r1", A, 2_000)
    assert (told.outcome, told.conflicts, sent(told)) == (Outcome.CHANGED, (), {"r2": A})
    assert sent(story.tell("r3", "", 3_000)) == {"r3": A}


def test_two_regions_keys_from_before_are_a_conflict_and_one_wins() -> None:
    story = Story()
    story.settle(story.tell("r1", None), set())
    story.tell("r1", A, 2_000)
    told = story.tell("r2", B, 3_000)
    (line,) = told.conflicts
    assert (line.field, line.kept, line.lost) == (API_KEY, B, A)
    assert sent(told) == {"r1": B}


def test_no_keys_never_win_over_some() -> None:
    story = Story()
    story.settle(story.tell("r1", A), {"r2", "r3"})
    emptied = story.tell("r1", "", 9_000)
    assert emptied.conflicts == () and sent(emptied) == {"r1": A}


def test_what_is_told_of_no_more_is_no_change() -> None:
    story = Story()
    for one in story.settle(story.tell("r1", A), {"r2", "r3"}):
        story.settle(one, {"r2", "r3"})
    silent = story.tell("r2", None, 5_000)
    assert (silent.outcome, silent.desired) == (Outcome.NOTHING_NEW, ())
    assert story.tell("r2", A, 6_000).desired == ()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(TOPOLOGY.priority), st.sampled_from((None, "", A, B)), st.integers(1, 9_000)
        ),
        max_size=12,
    )
)
def test_laws_of_whatever_is_told(words: list[tuple[str, str | None, int]]) -> None:
    story, had = Story(), ""
    for region, key, time in words:
        merged = story.tell(region, key, time)
        assert merged.record is not None
        now = merged.record.desired() or {}
        assert now.get(API_KEY, "") or not had, "keys were given up"
        had = now.get(API_KEY, "")
        for one in merged.desired:
            held = merged.record.region(one.region).confirmed or {}
            assert (API_KEY in (one.fields or {})) == (API_KEY in held and API_KEY in now)
            assert flaw(one) is None and wire.desired(wire.encode(one)) == one


def test_the_plan_sets_keys_by_a_call_of_their_own() -> None:
    known = PLAIN | {API_KEY: A}
    target = Target(Kind.USER, "u1", known, PLAIN | {API_KEY: B, "email": "new"}, known)
    assert plan(target).calls == (
        Call("updateUser", {"id": "u1", "email": "new"}),
        Call("updateUser", {"id": "u1"}, key=B),
    )


def test_the_plan_leaves_what_nobody_has_seen_and_what_is_not_told() -> None:
    unseen = Target(Kind.USER, "u1", PLAIN | {API_KEY: B}, PLAIN | {API_KEY: A}, PLAIN | {API_KEY: ""})
    assert (plan(unseen).calls, plan(unseen).left_alone) == ((), (API_KEY,))
    none_wanted = Target(Kind.USER, "u1", PLAIN | {API_KEY: B}, PLAIN | {API_KEY: ""}, PLAIN | {API_KEY: B})
    assert (plan(none_wanted).calls, plan(none_wanted).left_alone) == ((), (API_KEY,))
    for actual, wanted in ((PLAIN, PLAIN | {API_KEY: A}), (PLAIN | {API_KEY: A}, PLAIN)):
        assert plan(Target(Kind.USER, "u1", actual, wanted, PLAIN)).calls == ()
        assert difference(wanted, actual, ()) == ""


def test_what_is_sound_has_the_field_or_not() -> None:
    seen = Observation("r1", Kind.USER, "u1", PLAIN, 1_000)
    assert flaw(seen) is None and flaw(replace(seen, fields=PLAIN | {API_KEY: A})) is None
    assert flaw(replace(seen, fields=PLAIN | {"secretkey": "x"})) is not None
    domain = {"name": "d", "networkdomain": "", "parent": ROOT}
    assert flaw(Observation("r1", Kind.DOMAIN, "d1", domain | {API_KEY: A}, 1_000)) is not None


def test_regions_are_equal_where_nobody_has_keys() -> None:
    assert digest(1, PLAIN) == digest(1, PLAIN | {API_KEY: ""}) != digest(1, PLAIN | {API_KEY: A})
