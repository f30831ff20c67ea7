"""The 3,407 messages of a real region's bus, in the order in which they came (CloudStack 4.22)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

STREAM = Path(__file__).parent / "data" / "stream.region1.jsonl.gz"


class Message(NamedTuple):
    routing_key: str
    body: bytes


def messages() -> Iterator[Message]:
    with gzip.open(STREAM, "rt", encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            yield Message(entry["routing_key"], entry["body"].encode())


def for_a_bridge() -> list[Message]:
    """Those that a bridge's bindings let through."""
    return [m for m in messages() if m.routing_key.split(".")[1::2] in BOUND]


BOUND = [["ActionEvent", kind] for kind in ("Domain", "Account", "User")]
