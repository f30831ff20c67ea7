"""The two words for failure. Every library's error is translated to one of them once, at its edge.

A `TemporaryError` may succeed later and waits in place; a `PermanentError` will not, and becomes a dead
outbox row or a dead letter. Anything else is unknown and stops the worker before it acknowledges.
"""

from __future__ import annotations


class TemporaryError(Exception):
    """Worth trying again. `after_s`: seconds the other side asked us to wait; None when it did not say."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class PermanentError(Exception):
    """Will fail the same way every time; the message is the other side's own words."""
