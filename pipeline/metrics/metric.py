"""What a metric is.

In: nothing. Out: the class of all that `catalogue` and `bridges` declare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A histogram also has `_bucket` (with the label `le`), `_sum` and `_count`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
