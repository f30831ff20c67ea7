"""Tells by our own clock alone that somebody has fallen silent, whatever their clock says.

In: what they last wrote, as often as it is read. Out: for how long it has been the same. A lease that was
taken by a clock which runs ahead would else hold until that time comes. Used by leases and scans.
"""

from __future__ import annotations


class Standstill:
    """One watcher of one thing. Times in milliseconds."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = 0

    def lasts(self, seen: object, now: int) -> int:
        """Since when nothing else was seen; a clock that was set back begins anew."""
        if seen != self._seen or now < self._since:
            self._seen, self._since = seen, now
        return now - self._since
