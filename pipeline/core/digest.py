"""Canonical digests: of an entity, of all below a domain, of a whole region. Regions with equal ones are
equal.

In: snapshots of one region and where each of them is. Out: numbers of 256 bits. Called by verify. An entity
is known by its path, since its UUID may differ from region to region, and paths compare without case, as
CloudStack compares them; the name itself is part of what is compared. A tree's digest is the sum of the
digests of what is in it, so pages may come in any order and nothing has to be kept but the sums.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from pipeline.core.entities import API_KEY, Fields, Kind

LEFT_OUT: Final = (
    "UUIDs",
    "creation times",
    "passwords; API keys, and limits, where they are not carried to all",
    "details and everything else that is not synced",
    "custom roles where they are not carried to all",
    "the root domain, the default, system and project accounts, built-in roles, and the sync's own account, "
    "user and role",
)
"""What two equal regions may differ in."""

BYTES: Final = 32
MODULUS: Final = 1 << (8 * BYTES)
PARENT: Final = "parent"
ROOT_KEY: Final = 0
"""The key of the root domain, above everything."""


def key(kind: Kind, above: int, name: str) -> int:
    """Stands for an entity's path: its kind, the key of what it is in, its name without case."""
    return _number([kind.value, str(above), name.casefold()])


def digest(own_key: int, fields: Fields) -> int:
    """All that is synced of the entity with this key; where it is, the key says."""
    told = {name: text for name, text in fields.items() if name != PARENT and (text or name != API_KEY)}
    return _number([str(own_key), sorted(told.items())])


def total(one: int, other: int) -> int:
    """The digest of both together."""
    return (one + other) % MODULUS


def rolled_up(own: Mapping[int, int], above: Mapping[int, int]) -> dict[int, int]:
    """Domain's key → digest of all that is in it and below it. `own`: of what is directly in each, itself
    included; `above`: each domain's parent. A domain whose parents make a ring counts for itself."""
    sums = dict(own)
    for domain, part in own.items():
        place, passed = domain, {domain}
        while place in above and above[place] not in passed:
            place = above[place]
            passed.add(place)
            sums[place] = total(sums.get(place, 0), part)
    return sums


def text(number: int) -> str:
    """A digest as it is shown and kept."""
    return f"{number:0{2 * BYTES}x}"


def _number(value: object) -> int:
    said = json.dumps(value, separators=(",", ":")).encode()  # ASCII: half a surrogate pair has a form there
    return int.from_bytes(hashlib.blake2b(said, digest_size=BYTES).digest(), "big")
