"""The metrics of a bridge: a part of the catalogue.

In: nothing. Out: `BRIDGES`. Used by the catalogue, and by whatever counts for a bridge.
"""

from __future__ import annotations

from typing import Final

from pipeline.metrics.metric import Metric

_REGION: Final = ("region",)

BRIDGE_RECEIVED: Final = Metric(
    "region_sync_bridge_received_total", "counter", _REGION, "Messages that the bridge took from its source"
)
BRIDGE_RELAYED: Final = Metric(
    "region_sync_bridge_relayed_total", "counter", _REGION, "Messages that Kafka has"
)
BRIDGE_DROPPED: Final = Metric(
    "region_sync_bridge_dropped_total", "counter", _REGION, "Messages that can't concern what is synced"
)
BRIDGE_DEAD: Final = Metric(
    "region_sync_bridge_dead_letters_total", "counter", _REGION, "Messages that the bridge could not read"
)
BRIDGE_RECONNECTS: Final = Metric(
    "region_sync_bridge_reconnects_total", "counter", _REGION, "How often its source was lost"
)
BRIDGE_CONNECTED: Final = Metric(
    "region_sync_bridge_connected", "gauge", _REGION, "Whether the bridge has its source"
)
BRIDGE_UNACKED: Final = Metric(
    "region_sync_bridge_unacked", "gauge", _REGION, "Messages taken and not acknowledged at the source"
)
BRIDGE_LAST: Final = Metric(
    "region_sync_bridge_last_event_timestamp_seconds", "gauge", _REGION, "When the newest event was made"
)

BRIDGES: Final = (
    BRIDGE_RECEIVED,
    BRIDGE_RELAYED,
    BRIDGE_DROPPED,
    BRIDGE_DEAD,
    BRIDGE_RECONNECTS,
    BRIDGE_CONNECTED,
    BRIDGE_UNACKED,
    BRIDGE_LAST,
)
"""What a bridge has done."""
