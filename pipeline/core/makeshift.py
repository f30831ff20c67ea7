"""What this system makes in a region for its own ends and removes again: never spread, compared or counted.

In: a snapshot. Out: whether it is such a thing, told by its name: whoever finds one that a process left
behind by its death knows no more of it. Used wherever a region is read.
"""

from __future__ import annotations

import re
from typing import Final

from pipeline.core.entities import ROOT, Kind, Snapshot

STAND_IN: Final = "region-sync-founder-"
"""User names that begin so are stand-ins: CloudStack makes no account without a user, so an account that has
none left is made with one that is removed at once."""

PROBE: Final = "region-sync-probe-"
"""Domains under ROOT whose name is this and eight hexadecimal digits are probes: made to see whether the
region's events come (`region-sync join`)."""

_PROBE: Final = re.compile(re.escape(PROBE) + "[0-9a-f]{8}", re.ASCII)


def is_makeshift(snapshot: Snapshot) -> bool:
    """Whether it is ours and of no concern to any other region."""
    return is_stand_in(snapshot) or is_probe(snapshot)


def is_stand_in(snapshot: Snapshot) -> bool:
    """Whether it is the user that an account was made with for want of one."""
    return snapshot.kind is Kind.USER and _name(snapshot).startswith(STAND_IN)


def is_probe(snapshot: Snapshot) -> bool:
    """Whether it is a domain that was made to see whether events come. Deeper down, or with a name that only
    begins so, it is somebody's own."""
    if snapshot.kind is not Kind.DOMAIN or snapshot.fields is None:
        return False
    return snapshot.fields["parent"] == ROOT and _PROBE.fullmatch(_name(snapshot)) is not None


def _name(snapshot: Snapshot) -> str:
    return "" if snapshot.fields is None else snapshot.fields["name"]
