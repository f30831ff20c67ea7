"""Every metric, declared once: its name, its kind, its labels, what it says; the bridges' in `bridges`.

In: nothing. Out: `ALL`. Used by whatever counts; the table in docs/reference.md, the alert rules and the
dashboard are held to it by tests. Names by the conventions of Prometheus
(prometheus.io/docs/practices/naming): base units, `_total` on counters. Labels have few values: regions,
outcomes, commands; never a UUID, nor the name of an entity.
"""

from __future__ import annotations

from typing import Final

from pipeline.metrics.bridges import BRIDGES
from pipeline.metrics.metric import Metric

CALL_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DELIVERY_BUCKETS: Final = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0)
BATCH_S_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
BATCH_ROWS_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)

_REGION: Final = ("region",)

EVENTS: Final = Metric(
    "region_sync_events_total",
    "counter",
    ("region", "source", "outcome"),
    "Events taken by the region's worker. source: amqp, eventlog, gap-fill, scan, person, hint; "
    "outcome: taken, echo (our own write), ignored, unreadable",
)
OBSERVATIONS: Final = Metric(
    "region_sync_observations_total",
    "counter",
    ("region", "outcome"),
    "What was seen in a region, merged by the hub, by what the merge decided",
)
CONFLICTS: Final = Metric(
    "region_sync_conflicts_total", "counter", _REGION, "Conflicts, by the region whose value lost"
)
VIOLATIONS: Final = Metric(
    "region_sync_violations_total",
    "counter",
    _REGION,
    "Values, creations and removals that a region said and may not say, each time that they were seen",
)
DEAD_LETTERS: Final = Metric(
    "region_sync_dead_letters_total", "counter", _REGION, "Messages that could not be read, as kept"
)
STOPPED: Final = Metric(
    "region_sync_consumer_stopped",
    "gauge",
    ("topic",),
    "1 while a process takes nothing from a topic, since too many of its messages were dead letters",
)
APPLIED: Final = Metric(
    "region_sync_applied_total",
    "counter",
    ("region", "outcome"),
    "Desired states that a worker was through with. outcome: delivered, superseded, held, dead (refused), "
    "pending (parked)",
)
DELIVERY: Final = Metric(
    "region_sync_delivery_seconds",
    "histogram",
    _REGION,
    "From a change, as its region tells when it was made, to its being applied in this region",
    DELIVERY_BUCKETS,
)
REVOCATION: Final = Metric(
    "region_sync_revocation_seconds",
    "histogram",
    _REGION,
    "The same, of those changes alone that take access away: disabled, locked, removed",
    DELIVERY_BUCKETS,
)
REMOVALS: Final = Metric(
    "region_sync_removals_total",
    "counter",
    ("region", "decision"),
    "Removals that were asked about. decision: carry_out, hold, quarantine, stay",
)
CALLS: Final = Metric(
    "region_sync_api_call_seconds",
    "histogram",
    ("region", "command", "outcome"),
    "API calls. outcome: ok, refused, failed_job, unauthorised, throttled, unreachable (no answer)",
    CALL_BUCKETS,
)
LANES: Final = Metric(
    "region_sync_lanes", "gauge", _REGION, "Entities that a worker may have at work at a time"
)
LANES_BUSY: Final = Metric("region_sync_lanes_busy", "gauge", _REGION, "Entities at work")
LANES_WAITING: Final = Metric(
    "region_sync_lanes_waiting", "gauge", _REGION, "Messages in a worker's memory that no lane has taken up"
)
LANE_SILENT: Final = Metric(
    "region_sync_lane_silent_seconds",
    "gauge",
    _REGION,
    "How long the job that has given no sign of life for longest has given none; 0: nothing is at work",
)
STALLED: Final = Metric(
    "region_sync_stalled_seconds",
    "gauge",
    ("part",),
    "How long messages have waited while the worker finished none; 0: none waits, or it goes on, or what is "
    "away is known. part: hub, or the region",
)
RETRYING: Final = Metric(
    "region_sync_retrying",
    "gauge",
    ("part",),
    "Operations that wait out an error which passes (a region, Kafka or the database is away). part: hub, or "
    "the region",
)
TASKS: Final = Metric("region_sync_tasks", "gauge", (), "Tasks of the process's event loop")
BATCH_SECONDS: Final = Metric(
    "region_sync_database_batch_seconds",
    "histogram",
    ("batch",),
    "Time of one batch in the database. batch: merge, contexts, settlements, names, removals",
    BATCH_S_BUCKETS,
)
BATCH_ROWS: Final = Metric(
    "region_sync_database_batch_rows", "histogram", ("batch",), "Size of one batch", BATCH_ROWS_BUCKETS
)
PURGED: Final = Metric(
    "region_sync_purged_rows_total",
    "counter",
    ("table",),
    "Rows that were old and over, and were deleted by this hub. table: outbox, attempt, plan, plan_step, "
    "scan, proof, decision, conflict, dead_letter, audit",
)

OUTBOX_ROWS: Final = Metric(
    "region_sync_outbox_rows",
    "gauge",
    ("region", "state"),
    "Outbox rows that are not through. state: pending, published, parked (behind a held removal, or in "
    "quarantine), held, dead (refused); counted up to 100,000 each",
)
OUTBOX_OLDEST: Final = Metric(
    "region_sync_outbox_oldest_seconds",
    "gauge",
    ("region", "state"),
    "Age of the oldest row in that state; 0 when there is none",
)
HOLDS: Final = Metric("region_sync_holds_waiting", "gauge", _REGION, "Removals that wait for a person")
EXPOSURES: Final = Metric(
    "region_sync_exposures",
    "gauge",
    _REGION,
    "Entities that are disabled, locked or removed, and still have access in this region; without removals "
    "that a person refused; counted up to 1,000 in each state of their rows",
)
EXPOSED: Final = Metric(
    "region_sync_exposed_seconds",
    "gauge",
    _REGION,
    "For how long the first of them has had it; 0: none has",
)
NO_PROGRESS: Final = Metric(
    "region_sync_no_progress", "gauge", _REGION, "Desired states whose calls change nothing, and were stopped"
)
LOST: Final = Metric(
    "region_sync_events_lost_total",
    "counter",
    _REGION,
    "Events that the region's bus never told, as its log shows",
)
FILLED: Final = Metric(
    "region_sync_events_filled_total", "counter", _REGION, "Those that were told in its place"
)
BUS_SILENT: Final = Metric(
    "region_sync_bus_silent_seconds",
    "gauge",
    _REGION,
    "How long the bus has said nothing while the log moves; 0: it speaks",
)
SCAN_NEEDED: Final = Metric(
    "region_sync_scan_needed_seconds",
    "gauge",
    _REGION,
    "How far back changes may be told nowhere any more, until a full scan is through; 0: none is needed",
)
SCAN_INTERVAL: Final = Metric(
    "region_sync_scan_interval_seconds", "gauge", _REGION, "The region's full_scan_interval; 0: never"
)
SCAN_DONE: Final = Metric(
    "region_sync_scan_done_timestamp_seconds",
    "gauge",
    _REGION,
    "When the last full scan was through; before the first one: since when one is due",
)
SCAN_RESULT: Final = Metric(
    "region_sync_scan_result",
    "gauge",
    ("region", "result"),
    "1 for how the newest scan stands: running, done, suspended (its list was too short), abandoned",
)
SCAN_FOUND: Final = Metric(
    "region_sync_scan_found", "gauge", ("region", "outcome"), "Entities of the newest scan, by outcome"
)
DIFFERENCES: Final = Metric(
    "region_sync_verify_differences",
    "gauge",
    (),
    "Entities that differed at the last verify; 0: all regions equal",
)
VERIFIED: Final = Metric("region_sync_verify_timestamp_seconds", "gauge", (), "When verify last looked")
LAG: Final = Metric(
    "region_sync_lag_messages",
    "gauge",
    ("topic",),
    "Messages of a topic that its consumers have not acknowledged",
)
LAG_AGE: Final = Metric(
    "region_sync_lag_seconds",
    "gauge",
    ("topic",),
    "How long a topic's oldest message that its consumers have not acknowledged has waited; 0: none",
)
COMMITTED: Final = Metric(
    "region_sync_committed_total",
    "counter",
    ("topic",),
    "Messages of a topic that its consumers have acknowledged",
)
SOURCE_UP: Final = Metric(
    "region_sync_source_up",
    "gauge",
    ("source",),
    "Whether what the numbers above are read from answered just now. source: database, kafka",
)

WORKERS: Final = (
    EVENTS,
    OBSERVATIONS,
    CONFLICTS,
    VIOLATIONS,
    DEAD_LETTERS,
    STOPPED,
    APPLIED,
    DELIVERY,
    REVOCATION,
    REMOVALS,
    CALLS,
    LANES,
    LANES_BUSY,
    LANES_WAITING,
    LANE_SILENT,
    STALLED,
    RETRYING,
    TASKS,
    BATCH_SECONDS,
    BATCH_ROWS,
    PURGED,
)
"""What a worker counts of its own work: the hub, or a region's."""
SHARED: Final = (
    OUTBOX_ROWS,
    OUTBOX_OLDEST,
    HOLDS,
    EXPOSURES,
    EXPOSED,
    NO_PROGRESS,
    LOST,
    FILLED,
    BUS_SILENT,
    SCAN_NEEDED,
    SCAN_INTERVAL,
    SCAN_DONE,
    SCAN_RESULT,
    SCAN_FOUND,
    DIFFERENCES,
    VERIFIED,
    LAG,
    LAG_AGE,
    COMMITTED,
    SOURCE_UP,
)
"""What all processes have in common: told by the hub."""
ALL: Final = (*WORKERS, *SHARED, *BRIDGES)
