"""The rules of a role, in their order, as one text: so two regions' orders are never mixed.

In: the rules as a region lists them, or the text of the field `rules`. Out: the other one. Pure; called by
the client, which reads and writes rules, and by whoever plans a change of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

RULES_MAX: Final = 50_000
"""Bytes of the text. CloudStack's own largest roles have some hundred rules of 30; a ledger's column takes
65,535."""

RULES: Final = "rules"

ALLOW: Final = "allow"
DENY: Final = "deny"

_PERMISSIONS: Final = {True: ALLOW, False: DENY}
_ESCAPES: Final = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the name of a command, or a pattern with `*`. The first that fits a command decides."""

    rule: str
    allow: bool
    description: str = ""


def rules_text(rules: Iterable[Rule]) -> str:
    """One rule a line, `allow listUsers what it is for`; a line's end in a description is escaped. Raises
    `ValueError` for what is none, and for more than can be kept."""
    text = "\n".join(_line(one) for one in rules)
    if len(text.encode("utf-8", "surrogatepass")) > RULES_MAX:
        raise ValueError(f"its rules have more than {RULES_MAX} bytes")
    return text


def parse_rules(text: str) -> tuple[Rule, ...]:
    """What `rules_text` wrote. Raises `ValueError` for anything else."""
    return tuple(_rule(line) for line in text.split("\n")) if text else ()


def are_rules(text: str) -> bool:
    """Whether it is as `rules_text` would write it."""
    try:
        return rules_text(parse_rules(text)) == text
    except ValueError:
        return False


def _line(one: Rule) -> str:
    if not one.rule or any(sign.isspace() for sign in one.rule):
        raise ValueError(f"{one.rule[:60]!r} is no rule")
    described = one.description
    for sign, escape in _ESCAPES:
        described = described.replace(sign, escape)
    return f"{_PERMISSIONS[one.allow]} {one.rule}{f' {described}' if described else ''}"


def _rule(line: str) -> Rule:
    permission, _, rest = line.partition(" ")
    rule, _, described = rest.partition(" ")
    if permission not in (ALLOW, DENY) or not rule:
        raise ValueError(f"{line[:60]!r} is no rule")
    return Rule(rule, permission == ALLOW, _unescaped(described))


def _unescaped(text: str) -> str:
    parts = text.split("\\\\")
    return "\\".join(part.replace("\\n", "\n").replace("\\r", "\r") for part in parts)
