"""One region's bridge as a process of its own, with no more loaded than it needs: a bus needs no database.

In: settings and the region. Out: an exit code. Called by `running`.
"""

from __future__ import annotations

from bridges.bridge import Beside, run_bridge
from pipeline.bridging import SavedWatermark, bridge_settings, open_log
from pipeline.cli.database import now_ms
from pipeline.core.errors import PermanentError
from pipeline.settings import Region, Settings


def run(settings: Settings, region: Region) -> int:
    """Until SIGTERM or SIGINT. Raises `PermanentError` with the embedded broker, whose bridges live in
    `run`."""
    if settings.embedded:
        raise PermanentError("kafka: embedded lives in the process of `region-sync run`, and its bridges too")
    chosen = bridge_settings(settings, region, settings.kafka)
    beside = _shown(settings.web.host, region)
    if chosen.source == "amqp":
        return run_bridge(chosen, beside=beside)
    from pipeline.outbox.engine import migrate, open_database

    migrate(settings.database)
    watermark = SavedWatermark(open_database(settings.database), region.name, now_ms)
    return run_bridge(chosen, open_log(region, now_ms), watermark, beside)


def _shown(host: str, region: Region) -> Beside | None:
    """Its numbers and its health over HTTP, where the settings give it a port."""
    port = region.bus.bridge_port
    if port is None:
        return None
    from pipeline.metrics.relaying import beside

    return lambda counters: beside(host, port, region.name, counters)
