"""Numbers that are looked up, in Prometheus's own terms.

In: a metric of the catalogue and its samples. Out: what a collector yields. Used by `shared` and `relaying`;
apart from them, so that a bridge loads no database.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from pipeline.metrics.metric import Metric

Sample = tuple[tuple[str, ...], float]
"""Values of the labels, and the number."""


def family(metric: Metric, samples: Sequence[Sample]) -> Family:
    """A counter or a gauge."""
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    made = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        made.add_metric(labels, value)
    return made
