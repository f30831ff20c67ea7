"""Digests are equal where regions are, whatever the order of the pages, and differ where anything differs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.digest import ROOT_KEY, digest, key, rolled_up, text, total
from pipeline.core.entities import FIELDS, Kind

SHOP = key(Kind.DOMAIN, ROOT_KEY, "shop")
TEXT = st.text(max_size=8)
USER = st.fixed_dictionaries(dict.fromkeys(FIELDS[Kind.USER], TEXT))


def test_a_path_compares_without_case_and_a_name_with_it() -> None:
    assert key(Kind.DOMAIN, ROOT_KEY, "Shop") == SHOP
    assert digest(SHOP, {"name": "Shop"}) != digest(SHOP, {"name": "shop"})


def test_kinds_and_places_have_keys_of_their_own() -> None:
    keys = {key(kind, above, "x") for kind in Kind for above in (ROOT_KEY, SHOP)}
    assert len(keys) == 2 * len(Kind)


@given(USER, st.sampled_from([one for one in FIELDS[Kind.USER] if one != "parent"]), TEXT)
def test_every_field_counts(fields: dict[str, str], name: str, other: str) -> None:
    same = digest(1, fields) == digest(1, fields | {name: other})
    assert same is (fields[name] == other)


@given(USER, TEXT)
def test_the_uuid_of_the_parent_does_not(fields: dict[str, str], other: str) -> None:
    assert digest(1, fields) == digest(1, fields | {"parent": other})


@given(st.lists(st.integers(0, 2**256 - 1), max_size=10), st.randoms())
def test_the_order_does_not_count(parts: list[int], chance: object) -> None:
    shuffled = list(parts)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    sums = [0, 0]
    for number, those in enumerate((parts, shuffled)):
        for one in those:
            sums[number] = total(sums[number], one)
    assert sums[0] == sums[1]


def test_what_is_in_a_domain_counts_for_all_above_it_and_for_no_other() -> None:
    above = {1: ROOT_KEY, 2: 1, 3: ROOT_KEY}
    before = rolled_up({ROOT_KEY: 0, 1: 10, 2: 100, 3: 1000}, above)
    assert before == {ROOT_KEY: 1110, 1: 110, 2: 100, 3: 1000}
    after = rolled_up({ROOT_KEY: 0, 1: 10, 2: 101, 3: 1000}, above)
    assert {one for one in after if after[one] != before[one]} == {ROOT_KEY, 1, 2}


def test_a_ring_of_domains_ends() -> None:
    assert rolled_up({1: 1, 2: 2}, {1: 2, 2: 1}) == {1: 3, 2: 3}


def test_a_digest_is_shown_in_64_digits() -> None:
    assert text(255) == "0" * 62 + "ff"
