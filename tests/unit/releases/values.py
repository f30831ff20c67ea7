"""Values of every dataclass that travels, whatever fields it has: a field that is new is in them by itself.

In: a type. Out: a strategy of hypothesis. Called by the tests of messages.
"""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from pipeline.core.entities import FIELDS, Kind
from pipeline.core.records import Desired, Founder, Observation
from pipeline.core.roles import RULES

TEXT: Final = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
NUMBER: Final = st.integers(0, 2**47)


def values(hint: Any, kinds: frozenset[Kind]) -> st.SearchStrategy[Any]:
    """Of `kinds` where it has a kind."""
    plain = {int: NUMBER, str: TEXT, bool: st.booleans(), types.NoneType: st.none()}
    if hint in plain:
        return plain[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return st.one_of(*(values(one, kinds) for one in arguments))
    if origin is dict:
        return st.dictionaries(*(values(one, kinds) for one in arguments), max_size=3)
    if origin is tuple:
        return st.lists(values(arguments[0], kinds), max_size=3).map(tuple)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(sorted(kinds) if hint is Kind else list(hint))
    assert is_dataclass(hint), hint
    hints = get_type_hints(hint)
    return st.builds(hint, **{one.name: values(hints[one.name], kinds) for one in fields(hint)})


@st.composite
def sound(draw: st.DrawFn, hint: type[Observation] | type[Desired], kinds: frozenset[Kind]) -> Any:
    """One whose fields are those of its kind, all but the optional ones."""
    value = draw(values(hint, kinds))
    side = fields_of(value.kind)
    told = {"fields": None if value.fields is None else draw(side)}
    if isinstance(value, Desired):
        return replace(value, **told, known=None if value.known is None else draw(side))
    founder = value.founder and Founder(value.founder.uuid, draw(fields_of(Kind.USER)))
    return replace(value, **told, founder=founder)


def fields_of(kind: Kind) -> st.SearchStrategy[dict[str, str]]:
    named = dict.fromkeys(FIELDS[kind], TEXT)
    if RULES in named:
        named[RULES] = st.just("")
    return st.fixed_dictionaries({**named, "parent": TEXT.map("of {}".format)})
