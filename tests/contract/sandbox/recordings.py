"""The recordings of a real CloudStack 4.22, as values: scenarios with their calls and the events that
they raised.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class RecordedCall:
    """One call: who, how, what, and what came back. `body` None: an answer that was not JSON."""

    actor: str
    method: str
    auth: str
    command: str | None
    params: dict[str, Any]
    status: int
    body: dict[str, Any] | None


@dataclass(frozen=True)
class RecordedEvent:
    """One message on the bus."""

    key: str
    body: dict[str, str]


@dataclass(frozen=True)
class Scenario:
    """Calls that belong together; scenarios run one after the other."""

    name: str
    calls: tuple[RecordedCall, ...]
    events: tuple[RecordedEvent, ...]

    def began_ms(self) -> int | None:
        """When the scenario ran, as far as its first event tells."""
        if not self.events:
            return None
        when = datetime.strptime(self.events[0].body["eventDateTime"], "%Y-%m-%d %H:%M:%S %z")
        return int(when.astimezone(UTC).timestamp() * 1000)


def scenarios(region: str) -> list[Scenario]:
    """All scenarios of a region, in the order in which they ran."""
    text = gzip.decompress((DATA / f"{region}.jsonl.gz").read_bytes()).decode()
    return [_scenario(json.loads(line)) for line in text.splitlines()]


def _scenario(row: dict[str, Any]) -> Scenario:
    calls = tuple(
        RecordedCall(c["actor"], c["method"], c["auth"], c["command"], c["params"], c["status"], c["body"])
        for c in row["calls"]
    )
    events = tuple(RecordedEvent(e["routing_key"], e["body"]) for e in row["events"])
    return Scenario(row["scenario"], calls, events)


def bulk(kind: str) -> dict[str, Any]:
    """One row of each shape that a large region's whole listing held, and how many rows there were."""
    loaded: dict[str, Any] = json.loads(gzip.decompress((DATA / f"bulk.{kind}.json.gz").read_bytes()))
    return loaded
