"""What must not wait: a desired state that takes access away, and who still has access that was taken away.

In: desired states, records. Out: whether one goes by the region's lane for revocations; since when a region
lets somebody in whom the record does not. Called by the merge, the store and the pages. Pure.

Only what a region is known, or may be about, to hold can be taken away: what is made disabled from the start
exposes nobody. A change of name goes by that lane too while the disabling before it is not known to have
arrived: the newest state of an entity replaces the older ones, and must not wait where they did not. A user's
keys are taken away by giving others: no call of CloudStack takes them away and gives none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from pipeline.core.entities import API_KEY, DISABLED, ENABLED, LOCKED, Fields
from pipeline.core.records import Desired, Record, Sent

_ACCESS: Final = {ENABLED: 2, LOCKED: 1, DISABLED: 0}
"""What a state lets its holder do: a locked account's machines go on, a disabled one's are stopped."""
_NONE: Final = 0
_ALL: Final = 2
"""Of a domain, which has no state, and of any state that we have no word for."""


def is_revocation(desired: Desired, on_their_way: Iterable[Sent] = ()) -> bool:
    """Whether it takes access away that the region gives, or may give by what was sent to it before."""
    before = [desired.known, *(sent.fields for sent in on_their_way if sent.version < desired.version)]
    if desired.fields is None:
        return any(fields is not None for fields in before)
    return access(desired.fields) < max(map(access, before)) or _ends_keys(desired.fields, before)


def _ends_keys(wanted: Fields, before: Iterable[Fields | None]) -> bool:
    """Whether keys that the region has, or may have by now, open nothing there after it."""
    keys = wanted.get(API_KEY)
    return keys is not None and any(
        fields.get(API_KEY) not in (None, "", keys) for fields in before if fields
    )


def marked(desired: Desired, on_their_way: Iterable[Sent]) -> Desired:
    """The desired state, and whether it is one."""
    return replace(desired, revokes=is_revocation(desired, on_their_way))


def exposed_since(record: Record, region: str) -> int | None:
    """Since when (ms) this region has given access that the record does not; None where it gives none. What
    waits in quarantine is disabled, and exposes nobody."""
    wanted = record.desired()
    if access(record.region(region).confirmed) <= access(wanted):
        return None
    return record.life.stamp.time if wanted is None else record.fields["state"].stamp.time


def access(fields: Mapping[str, str] | None) -> int:
    """How much, to be compared; none where nothing is."""
    return _NONE if fields is None else _ACCESS.get(fields.get("state", ENABLED), _ALL)
