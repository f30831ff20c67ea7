"""What a region tells of for the first time, of an entity or of an optional field.

In: a record, an observation. Out: with which stamps its values join the record. Called by the merge. Nobody
gave such a value now: it has been there, or creation left it. So it must not replace everybody else's. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.core.entities import DEFAULTED, LOGIN, NEVER_CLEARED, OPTIONAL
from pipeline.core.events import LIMIT_CHANGED
from pipeline.core.records import Observation, Record, Stamp, Value


def first_told(record: Record, seen: Observation) -> dict[str, Value]:
    """The optional fields that no region has told of before, and those with defaults that none tells of now:
    what was known of them is as old as the day when the last one stopped. A default that a scan found is as
    old as the entity."""
    stamp = Stamp(seen.time, seen.region)
    found = stamp if seen.created is None else replace(stamp, time=min(seen.time, seen.created))
    fields = seen.fields or {}
    told = [name for name in OPTIONAL[record.kind] if name in fields and name not in seen.unheard]
    new = [name for name in told if name not in record.fields or _is_abandoned(record, seen, name)]
    return {name: Value(fields[name], found if name in DEFAULTED else stamp) for name in new}


def is_first_word(record: Record, seen: Observation, name: str) -> bool:
    """Whether it is the region's first of a field that has a value from the start."""
    return name in DEFAULTED and name not in (record.region(seen.region).confirmed or {})


def is_left_by_creation(record: Record, seen: Observation, name: str) -> bool:
    """Whether it is what CloudStack gave the entity: what no call makes empty and is, and the default of what
    we have just made there. What a person did since then has an event of its own, which is read after
    this."""
    if name in NEVER_CLEARED and not (seen.fields or {}).get(name):
        return True
    if name == LOGIN and is_first_word(record, seen, name):
        return True  # hashes of one password differ too: a line in the ledger for each user would say nothing
    never_there = record.region(seen.region).confirmed is None
    return never_there and seen.wrote and is_first_word(record, seen, name)


def is_only_found(record: Record, seen: Observation, name: str) -> bool:
    """Whether it can win over nothing, wherever it comes from: a first word that no change of such a field
    led to, nor a scan, which finds what a region has had for long (`as_found`)."""
    return is_first_word(record, seen, name) and seen.created is None and seen.cause != LIMIT_CHANGED


def as_found(record: Record, seen: Observation, name: str, current: Value) -> Value:
    """What the region offers in place of the `current` value. The first word of a field that has a value from
    the start joins as the older one, unless a change of such a field is what it was read for."""
    stamp = Stamp(seen.time, seen.region)
    if is_first_word(record, seen, name) and seen.cause != LIMIT_CHANGED:
        stamp = replace(stamp, time=min(stamp.time, current.stamp.time - 1))
    return Value((seen.fields or {})[name], stamp)


def giving_way(seen: Observation, record: Record) -> Observation:
    """What a scan or a plan found in a region where a known entity was never seen joins it as the older one:
    that region has just come in, nobody gave it these values now, and they must not replace everybody
    else's."""
    if seen.created is None:
        return seen
    oldest = min(value.stamp.time for value in record.fields.values())
    return replace(seen, time=min(seen.created, oldest - 1))


def _is_abandoned(record: Record, seen: Observation, name: str) -> bool:
    """No region is known to hold it. What we have just written is no word of the region's own."""
    if name not in DEFAULTED or seen.applied is not None:
        return False
    return not any(name in (state.confirmed or {}) for state in record.regions.values())
