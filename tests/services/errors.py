"""What can go wrong here, worded for a person; shown by __main__ and the fixtures."""

from __future__ import annotations


class ServiceUnavailable(Exception):
    """A service cannot be had on this machine. The text says what is missing, and what would help."""


class WaitTimeout(Exception):
    """A condition did not come true within its limit. The text names the condition and the limit."""
