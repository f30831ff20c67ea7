"""The switches of one simulated region: slowness, refusals, breaks, and what befalls its events.

Set from Python (`region.faults.latency_ms = 50`) or over HTTP (`/sandbox/faults`). Read by `server` and
`bus`.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, fields


@dataclass
class Faults:
    """Everything off by default. Ratios are shares of calls, or of events, from 0 to 1."""

    latency_ms: float = 0.0
    """Every call takes at least this long."""
    real_latency: bool = False
    """Calls take as long as on the measured region (see `latency`)."""
    throttle_per_s: float = 0.0
    """Above so many calls a second and account: 429. 0 is off."""
    error_ratio: float = 0.0
    """Answered with 503 before anything happened."""
    hang_ratio: float = 0.0
    """Never answered, and without effect."""
    drop_before_ratio: float = 0.0
    """The connection breaks before the call takes effect."""
    drop_after_ratio: float = 0.0
    """The connection breaks after the call took effect, in place of the answer."""
    html_ratio: float = 0.0
    """Answered with 200 and a page by something in front (a proxy's login) before anything happened."""
    redirect_ratio: float = 0.0
    """Sent elsewhere by something in front, before anything happened."""
    stranger_ratio: float = 0.0
    """Answered with 200 and JSON that is not CloudStack's, before anything happened."""
    curt_ratio: float = 0.0
    """Throttled by something in front: 429 without a word or a header, before anything happened."""
    cut_ratio: float = 0.0
    """Half of the answer, as if it were all, after the call took effect."""
    html_after_ratio: float = 0.0
    """502 and a page by something in front, after the call took effect."""
    endless_ratio: float = 0.0
    """An answer without an end, after the call took effect."""
    forgotten_ratio: float = 0.0
    """Jobs whose result can't be asked for: the region knows them no more."""
    job_delay_ms: float = 0.0
    """How long an asynchronous job takes after its answer."""
    lost_ratio: float = 0.0
    """Events that never reach the bus; the region's event log has them."""
    doubled_ratio: float = 0.0
    """Events that reach the bus twice."""
    reordered_ratio: float = 0.0
    """Events that reach the bus after the next one."""

    def update(self, changes: dict[str, object]) -> None:
        """Sets several. Raises ValueError for an unknown name or a value that is no number."""
        known = {one.name for one in fields(self)}
        for name, value in changes.items():
            if name not in known or not isinstance(value, bool | int | float):
                raise ValueError(f"unknown switch or wrong value: {name}={value!r}")
        for name, value in changes.items():
            setattr(self, name, bool(value) if name == "real_latency" else float(value))  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def strikes(rng: random.Random, ratio: float) -> bool:
    """Whether a fault of this ratio happens now; draws nothing when it is off."""
    return ratio > 0 and rng.random() < ratio
