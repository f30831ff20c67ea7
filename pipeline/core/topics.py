"""The names on the wire, declared once: topics, headers, consumer groups."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "region-sync"
OBSERVATIONS: Final = f"{PREFIX}.observations"
DEAD_LETTERS: Final = f"{PREFIX}.dead-letters"
HUB_GROUP: Final = f"{PREFIX}.hub"

HEADER_REGION: Final = "region"
HEADER_ROUTING_KEY: Final = "routing-key"
HEADER_ARRIVED: Final = "arrived-ms"
HEADER_REASON: Final = "reason"
HEADER_SOURCE: Final = "source"
HEADER_ROW: Final = "row"
"""The id of the event log's row that a message of the gap fill stands for."""


def events(region: str) -> str:
    """What a region's bus said: hints, keyed by the entity's UUID in that region."""
    return f"{PREFIX}.events.{region}"


def desired(region: str) -> str:
    """What a region should hold, keyed by the entity's UUID in that region."""
    return f"{PREFIX}.desired.{region}"


def revoke(region: str) -> str:
    """Those of them that take access away (`core.urgency`), likewise keyed: they wait behind nothing else."""
    return f"{PREFIX}.revoke.{region}"


def of_region(region: str) -> tuple[str, str, str]:
    """What a region's worker consumes. All have the same keys and the same number of partitions, so that one
    worker has all that concerns an entity."""
    return events(region), desired(region), revoke(region)


def carrying(region: str, *, revokes: bool) -> str:
    """The topic that takes a desired state to its region."""
    return revoke(region) if revokes else desired(region)


def region_group(region: str) -> str:
    return f"{PREFIX}.{region}"
