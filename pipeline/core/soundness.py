"""Whether a message that could be read also makes sense: bounds with names, and the fields of its kind.

In: observations and desired states as `pipeline.wire` read them. Out: the reason why one is none, or None.
Called by the hub and the region workers before anything is computed from a message: what is unsound would
fail in the database, or in the merge of a whole batch, and is a dead letter instead. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipeline.core.entities import FIELDS, OPTIONAL, ROOT, Kind
from pipeline.core.events import TIME_MAX, TIME_MIN
from pipeline.core.records import Desired, Founder, Observation
from pipeline.core.roles import RULES, RULES_MAX, are_rules

UUID_MAX: Final = 64
"""A UUID has 36 characters; createDomain takes others as well."""
NAME_MAX: Final = 64
"""A region's name, as the settings have it."""
TEXT_MAX: Final = 4_000
"""One field's value. CloudStack's columns take 255 characters (cloudstack.md)."""
CAUSE_MAX: Final = 300
"""The type of an event."""
VERSION_MAX: Final = 2**53
"""Counted up by one for each change."""


def flaw(message: Observation | Desired) -> str | None:
    """What is wrong with it, for the dead letter; None where it is sound."""
    found = _common(message.region, message.kind, message.uuid, message.fields)
    if found is None:
        return _of_seen(message) if isinstance(message, Observation) else _of_desired(message)
    return found


def is_text(value: str, limit: int) -> bool:
    """Whether a database, a query and a URL can all say it: no NUL, no half of a surrogate pair."""
    if len(value) > limit or "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _of_seen(seen: Observation) -> str | None:
    if not is_text(seen.cause, CAUSE_MAX):
        return f"cause: more than {CAUSE_MAX} characters, or none that can be kept"
    for name, time in (("time", seen.time), ("created", seen.created)):
        if time is not None and not TIME_MIN <= time <= TIME_MAX:
            return f"{name}: outside of the years 1000 to 9000"
    if seen.applied is not None and not 0 <= seen.applied <= VERSION_MAX:
        return "applied: no version"
    return None if seen.founder is None else _of_founder(seen.founder)


def _of_founder(founder: Founder) -> str | None:
    found = _common("-", Kind.USER, founder.uuid, founder.fields)
    return None if found is None else f"founder: {found}"


def _of_desired(desired: Desired) -> str | None:
    if not 0 <= desired.version <= VERSION_MAX:
        return "version: none"
    if desired.changed is not None and not TIME_MIN <= desired.changed <= TIME_MAX:
        return "changed: outside of the years 1000 to 9000"
    return None if desired.known is None else _of_fields(desired.kind, desired.uuid, desired.known)


def _common(region: str, kind: Kind, uuid: str, fields: Mapping[str, str] | None) -> str | None:
    if not region or not is_text(region, NAME_MAX):
        return f"region: none, or more than {NAME_MAX} characters"
    if not uuid or not is_text(uuid, UUID_MAX):
        return f"uuid: none, or more than {UUID_MAX} characters"
    if uuid == ROOT:
        return "uuid: the root domain is never touched"
    return None if fields is None else _of_fields(kind, uuid, fields)


def _of_fields(kind: Kind, uuid: str, fields: Mapping[str, str]) -> str | None:
    if fields.keys() - OPTIONAL[kind] != frozenset(FIELDS[kind]):
        return f"fields: not those of a {kind}"
    if not all(is_text(text, RULES_MAX if name == RULES else TEXT_MAX) for name, text in fields.items()):
        return f"fields: a value has more than {TEXT_MAX} characters, or some that can't be kept"
    if kind is Kind.ROLE and not are_rules(fields[RULES]):
        return "rules: none that can be"
    parent = fields["parent"]
    if not parent or not is_text(parent, UUID_MAX) or parent == uuid:
        return "parent: none that can be"
    return None
