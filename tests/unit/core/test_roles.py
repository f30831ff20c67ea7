"""Rules are one text that says the same in every region, in the same order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.roles import RULES_MAX, Rule, are_rules, parse_rules, rules_text

NAMES = st.text("abcXYZ*", min_size=1, max_size=12)
DESCRIPTIONS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RULES = st.lists(st.builds(Rule, NAMES, st.booleans(), DESCRIPTIONS), max_size=12).map(tuple)


@given(RULES)
def test_what_was_written_is_read(rules: tuple[Rule, ...]) -> None:
    text = rules_text(rules)
    assert parse_rules(text) == rules
    assert are_rules(text)


@given(RULES, RULES)
def test_other_rules_or_another_order_are_other_text(one: tuple[Rule, ...], other: tuple[Rule, ...]) -> None:
    assert (rules_text(one) == rules_text(other)) is (one == other)
    assert (rules_text(one) == rules_text(one[::-1])) is (one == one[::-1])


@given(st.text(max_size=40))
def test_any_text_is_rules_in_one_form_or_none(text: str) -> None:
    if are_rules(text):
        assert rules_text(parse_rules(text)) == text


def test_one_rule_a_line() -> None:
    rules = (Rule("list*", True), Rule("deleteUser", False, "not\nhere \\n"), Rule("*", False))
    assert rules_text(rules) == "allow list*\ndeny deleteUser not\\nhere \\\\n\ndeny *"
    assert rules_text(()) == "" and parse_rules("") == ()


@pytest.mark.parametrize("text", ["allow", "may x", "allow ", "deny  x", "allow x\n", "\n", "allow x y\rz"])
def test_what_is_none(text: str) -> None:
    assert not are_rules(text)


def test_more_than_can_be_kept_is_refused() -> None:
    fits = [Rule("x" * 90, True)] * (RULES_MAX // 97)
    assert len(rules_text(fits)) <= RULES_MAX
    with pytest.raises(ValueError, match="more than 50000 bytes"):
        rules_text([*fits, Rule("ö" * 60, True)])
